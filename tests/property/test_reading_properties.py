"""The reading against a slow and plain second version of itself, over answers drawn at random."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal.labels import LabelSet, fold
from streams.core.signal.score import score
from tests.support import bodies
from tests.support.bodies import SHAPES, Tok

NAMES = ("transfers", "transactions", "top ups", "topics", "fees", "Rückgabe", "rückruf")
LABELS = LabelSet(NAMES)
seeded = settings(max_examples=150, deadline=None, derandomize=True)


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, list[Tok]]:
    """Return a label and the tokens that spell it, with alternatives from the same alphabet."""
    label = draw(st.sampled_from(NAMES))
    cuts = sorted(draw(st.sets(st.integers(1, len(label) - 1), max_size=4)))
    pieces = [label[a:b] for a, b in zip([0, *cuts], [*cuts, len(label)], strict=True)]
    words = sorted({name[a:b] for name in NAMES for a in range(4) for b in range(a + 1, len(name) + 1)})
    tokens = []
    for number, piece in enumerate(pieces):
        texts = draw(
            st.lists(st.sampled_from([*words, "x", " ", "", "T", " t", '"fee', "fees."]), max_size=8, unique=True)
        )
        weights = draw(st.lists(st.integers(1, 100), min_size=len(texts) + 2, max_size=len(texts) + 2))
        texts = [text for text in texts if text not in (piece, " " + piece)] or ["zz"]
        shares = [weight / sum(weights) for weight in weights]
        own = " " + piece if number == 0 and draw(st.booleans()) else piece
        others = dict(zip([text for text in texts if text != own], shares[1:], strict=False))
        tokens.append(Tok(own, shares[0], others, listed=draw(st.booleans())))
    return label, tokens


def slow_masses(tokens: list[Tok]) -> dict[str, float] | None:
    """Return the labels' masses by looking at every label for every token.

    None if they stay ambiguous; none at all if the model went on with something else than the label.
    """

    def fits(text: str) -> list[str]:
        bare = fold(text.lstrip(" \"'"))
        return [name for name in NAMES if bare and (fold(name).startswith(bare) or bare.rstrip(" .") == fold(name))]

    def elsewhere(text: str, own: str) -> bool:
        if path:
            return own.startswith(text) and text != own
        bare, own = text.lstrip(" "), own.lstrip(" ")
        if own.startswith(bare):
            return bare != own
        return len(bare) == 1 and not fits(text)[0].startswith(bare)

    masses = dict.fromkeys(NAMES, 0.0)
    path, carried = "", 1.0
    for number, token in enumerate(tokens):
        if path and not token.others:
            return None
        for text, share in token.others.items():
            if len(fits(path + text)) == 1 and not elsewhere(text, token.text):
                masses[fits(path + text)[0]] += carried * share
        path, carried = path + token.text, carried * (token.p or 0)
        if len(fits(path)) == 1:
            masses[fits(path)[0]] += carried
            for later in tokens[number + 1 :]:
                same = [
                    text for text in later.others if len(fits(path + text)) == 1 and not elsewhere(text, later.text)
                ]
                if (later.p or 0) + sum(later.others[text] for text in same) < 0.5:
                    return {}
                path += later.text
            return masses
    return None


@seeded
@given(answers())
def test_label_masses_equal_the_slow_version(answer: tuple[str, list[Tok]]) -> None:
    label, tokens = answer
    signal = score(bodies.chat(tokens), LABELS).signal
    masses = slow_masses(tokens)
    if masses == {} and tokens[0].others:
        assert isinstance(signal, Unscorable)
        assert signal.reason is Reason.NOT_A_LABEL
        return
    if not masses or not tokens[0].others:
        assert isinstance(signal, Unscorable)
        assert signal.reason in (Reason.AMBIGUOUS_LABEL, Reason.NO_ALTERNATIVES)
        return
    assert isinstance(signal, Scored), signal
    assert signal.label == label
    total = sum(masses.values())
    assert signal.confidence == pytest.approx(masses[label])
    assert signal.label_probs == pytest.approx({name: mass / total for name, mass in masses.items()})
    shown = (tokens[0].p or 0) + sum(tokens[0].others.values())
    assert signal.top_k_mass == pytest.approx(shown)
    assert signal.out_of_label + total == pytest.approx(shown), "no shown mass gets lost"
    assert signal.k == len(tokens[0].others) + tokens[0].listed
    logprobs = [math.log(token.p or 0) for token in tokens]
    assert signal.min_logprob == pytest.approx(min(logprobs))
    assert signal.mean_logprob == pytest.approx(sum(logprobs) / len(logprobs))


@seeded
@given(answers(), st.sampled_from(sorted(SHAPES)))
def test_every_shape_gives_the_same_reading(answer: tuple[str, list[Tok]], shape: str) -> None:
    tokens = answer[1]
    if shape == "llama_cpp_old":  # has no place for the number of a token that is not in its list
        tokens = [Tok(token.text, token.p, token.others) for token in tokens]
    expected = score(bodies.chat(tokens), LABELS).signal
    signal = score(SHAPES[shape](tokens), LABELS).signal
    if isinstance(expected, Unscorable):
        assert signal == expected
        return
    assert isinstance(signal, Scored)
    assert signal.label == expected.label
    for name in ("confidence", "entropy", "top_k_mass", "token_entropy", "margin", "mean_logprob"):
        assert getattr(signal, name) == pytest.approx(getattr(expected, name), abs=1e-9)


@seeded
@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(answer: tuple[str, list[Tok]], random: object) -> None:
    body = bodies.chat(answer[1])
    before = score(body, LABELS).signal
    for entry in body["choices"][0]["logprobs"]["content"]:
        random.shuffle(entry["top_logprobs"])  # type: ignore[attr-defined]
    after = score(body, LABELS).signal
    if isinstance(before, Unscorable) or isinstance(after, Unscorable):
        assert before == after
    else:
        assert after.confidence == pytest.approx(before.confidence)
        assert after.label_probs == pytest.approx(before.label_probs)


@seeded
@given(answers())
def test_a_shorter_list_never_makes_the_answer_surer(answer: tuple[str, list[Tok]]) -> None:
    """Absence is doubt: leaving alternatives out can lower the confidence, never raise it."""
    tokens = answer[1]
    whole = score(bodies.chat(tokens), LABELS).signal
    shorter = [Tok(t.text, t.p, dict(list(t.others.items())[: len(t.others) // 2]), t.listed) for t in tokens]
    part = score(bodies.chat(shorter), LABELS).signal
    if isinstance(part, Scored):
        assert isinstance(whole, Scored)
        assert part.confidence <= whole.confidence + 1e-12
        assert part.top_k_mass <= whole.top_k_mass + 1e-12


@seeded
@given(st.text(max_size=30))
def test_a_label_set_never_raises_on_text(text: str) -> None:
    owners = LABELS.owners(text)
    assert set(owners) <= set(NAMES)
    label = LABELS.match(text)
    assert label is None or LABELS.match(f' "{label}". ') == label
