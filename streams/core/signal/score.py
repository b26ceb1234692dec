"""How sure the model was about a label: from a response body to ``Scored`` or the reason why that cannot be known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from schemas.signal import Reason, Scored, Unscorable, entropy_with_none
from streams.core.signal import Alternatives, Answer, Token, align, alternatives, answer_part, no_text, read_answer
from streams.core.signal.labels import LabelSet
from streams.core.signal.locate import Located, could_become, locate
from streams.core.signal.token_bytes import UNDECODED, from_byte_level, from_bytes, is_partial, to_bytes

_MISSING = Unscorable(reason=Reason.ANSWER_TOKEN_MISSING, detail="no token spells the label")
_CUT_OFF = Unscorable(reason=Reason.TRUNCATED, detail="the answer was cut inside of the reasoning")
_NOT_DECODED = Unscorable(reason=Reason.UNREADABLE_TOKENS, detail="the token that decides was not decoded")
_HALF_MEANT = Unscorable(
    reason=Reason.NOT_A_LABEL,
    detail="after the label's first tokens, words that are no label were likelier than the rest",
)
_HALF = math.log(0.5)
_AMBIGUOUS = Unscorable(reason=Reason.AMBIGUOUS_LABEL, detail="several labels begin with the answer's tokens")


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything the rest of the system needs from one response body."""

    signal: Scored | Unscorable
    text: str | None
    """The raw answer, uncut."""
    model: str | None
    fingerprint: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    novelty: float | None = None
    """What a memory says of the ticket, if the caller has one: as in ``schemas.Call``."""
    neighbour_label: str | None = None
    neighbour_share: float | None = None
    neighbour_novelty: float | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """One token of the label, and what was written before it."""

    token: Token
    before: bytes
    lead: str
    """What the token holds before the label begins: a space, a quote, JSON punctuation."""
    written: str
    """The label as it was written, up to where the token ends."""

    def begun(self, text: str) -> str:
        """Return the label up to where the token ends, if the token were this text."""
        return from_bytes(self.before + to_bytes(text)) if self.before else text.removeprefix(self.lead)


def score(body: object, labels: LabelSet) -> Reading:
    """Read a response body and score its answer in label space. Never raises, whatever the body is.

    An Unscorable carries the label that the text names, if it names one, for a reviewer to see.
    """
    answer = read_answer(body)
    text, part, found = _find(answer.text or "", labels)
    signal = _score(answer, text, part, found, labels)
    if isinstance(signal, Unscorable) and found is not None:
        signal = Unscorable(reason=signal.reason, detail=signal.detail, label=found.label)
    return Reading(
        signal, answer.text, answer.model, answer.fingerprint, answer.prompt_tokens, answer.completion_tokens
    )


def _find(text: str, labels: LabelSet) -> tuple[str, tuple[int, int] | Unscorable, Located | None]:
    """Return the text, where the answer stands in it, and the label.

    A text that names no label as it stands is tried in the alphabet of byte-level BPE.
    """
    part = answer_part(text)
    found = None if isinstance(part, Unscorable) else locate(text, part, labels)
    if found is None and not isinstance(part, Unscorable):
        plain = from_byte_level(text)
        if plain is not None:
            again, at, label = _find(plain, labels)
            if label is not None:
                return again, at, label
    return text, part, found


def entropy(probabilities: list[float]) -> float:
    """Return the Shannon entropy in nats of probabilities that sum to one."""
    return max(0.0, -sum([p * math.log(p) for p in probabilities if p > 0]))


def _score(
    answer: Answer, text: str, part: tuple[int, int] | Unscorable, found: Located | None, labels: LabelSet
) -> Scored | Unscorable:
    if isinstance(answer.tokens, Unscorable):
        return answer.tokens
    if not text.strip():
        return no_text(answer.finish, answer.thought)
    if isinstance(part, Unscorable):
        return _CUT_OFF if answer.finish == "length" and part.reason is Reason.REASONING_ONLY else part
    placed = align(text, part, answer.tokens, answer.thought)
    if isinstance(placed, Unscorable):
        return placed
    if found is None:
        return _no_label(answer, text, part, labels)
    steps = _steps(text, found, placed)
    first = alternatives(steps[0].token) if steps else _MISSING
    if isinstance(first, Unscorable):
        return first
    masses = _label_masses(steps, first, labels)
    if isinstance(masses, Unscorable):
        return masses
    return _scored(found.label, masses, first, steps) if masses[found.label] > 0 else _MISSING


def _no_label(answer: Answer, text: str, part: tuple[int, int], labels: LabelSet) -> Unscorable:
    if answer.finish == "length" and could_become(text, part, labels):
        return Unscorable(reason=Reason.TRUNCATED, detail="the answer was cut before its label was complete")
    return Unscorable(reason=Reason.NOT_A_LABEL, detail="the answer is none of the labels")


def _steps(text: str, found: Located, spelled: list[tuple[Token, int, int]]) -> list[_Step]:
    """Return the tokens that spell the label, in order."""
    start = len(to_bytes(text[: found.start]))
    label = to_bytes(text[found.start : found.end])
    steps: list[_Step] = []
    for token, first, last in spelled:
        if first >= start + len(label):
            break
        if last <= start or (first == last and not steps):
            continue
        lead = from_bytes(to_bytes(token.text or "")[: start - first]) if first < start else ""
        steps.append(_Step(token, label[: max(0, first - start)], lead, from_bytes(label[: last - start])))
    return steps


def _label_masses(steps: list[_Step], first: Alternatives, labels: LabelSet) -> dict[str, float] | Unscorable:
    """Return the probability that the response shows for each label.

    Every listed token counts for the label that alone begins with it. A token that several labels begin with is
    resolved only if it was written: its mass is shared out by the distribution at the answer's next token, and so
    on until one label is left. One that was not written has no next token to look at, so it counts for no label.
    A token that decides nothing between labels (the ``_`` of ``card_lost`` and ``card_stolen``) may stand alone in its
    list, as the only one a grammar allows: what it does not show is lost to every label.
    """
    masses = dict.fromkeys(labels, 0.0)
    carried = 1.0
    left: tuple[str, ...] = ()
    shown: Alternatives | Unscorable = first
    for number, step in enumerate(steps):
        if UNDECODED in (step.token.text or ""):
            return _NOT_DECODED
        owners = labels.owners(step.written)
        if number:
            shown = _alone(step.token) if owners == left else alternatives(step.token)
        left = owners
        if isinstance(shown, Unscorable):
            return _AMBIGUOUS if shown.reason is Reason.NO_ALTERNATIVES else shown
        lead, before, beside = step.lead, step.before, labels.beside(step.written)
        for text, probability in shown.others:
            if text is None:
                continue
            owner = beside[from_bytes(before + to_bytes(text)) if before else text.removeprefix(lead)]
            if owner is None and not text.isascii():
                owner = _byte_level_owner(text, step, labels)
            if owner is not None:
                masses[owner] += carried * probability
        carried *= math.exp(shown.own)
        if len(owners) == 1:
            masses[owners[0]] += carried
            return masses if _goes_on_as(owners[0], steps[number + 1 :], labels) else _HALF_MEANT
        if not owners:
            return _MISSING
    return _AMBIGUOUS


def _goes_on_as(label: str, steps: list[_Step], labels: LabelSet) -> bool:
    """Return whether the model went on with the label that its tokens had decided for.

    A sampler or a grammar may have taken the label's next token although most of the probability was on words that are
    no label: then what was decided was not this label.
    """
    for step in steps:
        own = _own_logprob(step.token)
        if own >= _HALF or own == -math.inf:
            continue
        shown = alternatives(step.token)
        others = () if isinstance(shown, Unscorable) else shown.others
        beside = labels.beside(step.written)
        same = (share for text, share in others if text is not None and beside[step.begun(text)] == label)
        if math.exp(own) + sum(same) < 0.5:
            return False
    return True


def _byte_level_owner(text: str, step: _Step, labels: LabelSet) -> str | None:
    """Return the label that an alternative begins in the alphabet of byte-level BPE."""
    plain = from_byte_level(text)
    # Half a character in it could as well be one letter with an accent.
    if plain is None or (is_partial(plain) and not step.token.byte_level):
        return None
    return labels.beside(step.written)[step.begun(plain)]


def _alone(token: Token) -> Alternatives | Unscorable:
    """Return the distribution at a token, which may be the only one shown."""
    shown = alternatives(token)
    if isinstance(shown, Alternatives) or shown.reason is not Reason.NO_ALTERNATIVES or token.logprob is None:
        return shown
    return Alternatives(own=token.logprob, others=(), k=1, mass=math.exp(token.logprob))


def _scored(label: str, masses: dict[str, float], first: Alternatives, steps: list[_Step]) -> Scored | Unscorable:
    own = [_own_logprob(step.token) for step in steps]
    total = sum(masses.values())
    if -math.inf in own or total <= 0:
        return Unscorable(reason=Reason.FLOOR_LOGPROB, detail="a token of the label has no separate logprob")
    # Rounding may bring the sum a little over one; then everything is scaled to it.
    scale = 1 / max(1.0, first.mass)
    shown = [math.exp(first.own), *[probability for _, probability in first.others]]
    top_k_mass = min(1.0, first.mass)
    out_of_label = min(1.0, max(0.0, top_k_mass - total * scale))
    probabilities = {name: mass / total for name, mass in masses.items()}
    best, second = sorted(probabilities.values(), reverse=True)[:2]
    label_entropy = entropy(list(probabilities.values()))
    return Scored(
        label=label,
        confidence=min(1.0, masses[label] * scale),
        entropy=label_entropy,
        decision_entropy=entropy_with_none(label_entropy, 1 - out_of_label / top_k_mass),
        token_confidence=shown[0],
        token_entropy=entropy([p / first.mass for p in shown]),
        top_k_mass=top_k_mass,
        k=first.k,
        label_probs=probabilities,
        out_of_label=out_of_label,
        margin=min(1.0, best - second),
        min_logprob=min(own),
        mean_logprob=sum(own) / len(own),
    )


def _own_logprob(token: Token) -> float:
    if token.logprob is not None:
        return token.logprob
    shown = alternatives(token)  # some shapes give a token's own number only in its list
    return -math.inf if isinstance(shown, Unscorable) else shown.own
