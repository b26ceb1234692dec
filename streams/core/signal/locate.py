"""Where in an answer's text the label stands. The text is data: it is compared, never evaluated."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice

from streams.core.signal.labels import LEADING, TRAILING, LabelSet, fold
from streams.core.signal.thought import has_marker, inside_frame, says_thought

#: An answer longer than this many characters after its reasoning is prose, whatever its first word is.
MAX_ANSWER = 4000

_NAMES = "label|category|class|classification|intent|queue|answer|topic|output|result"
#: What may announce a label: "Label:", "The predicted category is", "Final answer =".
_NAMED = re.compile(
    r"(?:(?:sure|okay|certainly)[!,.]\s+|based on [^,\n]{1,80},\s+)?"
    rf"(?:(?:the\s+)?(?:(?:final|predicted|correct|chosen|best|most likely)\s+)*(?:{_NAMES})"
    r"(?:\s+is\b(?:[\s*\"'`]*[:=\uff1a])?|[\s*\"'`]*[:=\uff1a])"
    r"|(?:(?:this|the)\s+(?:ticket|message|request|text)\s+(?:is|should be|would be|can be)\s+"
    r"(?:classified|labell?ed|categori[sz]ed)|i\s+would\s+(?:classify|label|categori[sz]e)\s+(?:this|it|the\s+ticket))"
    r"\s+as\b:?)",
    re.IGNORECASE,
)
_NAME = re.compile(
    rf"(?:final[_ ]|predicted[_ ])?(?:(?:{_NAMES})s?|categories|classes|final|prediction|decision|choice)",
    re.IGNORECASE,
)
#: An answer of so few letters may be a part of any word.
_SHORT_ANSWER = 3
_BULLET = re.compile(r"[-\u2022\u2013]\s+")
#: What may stand between a label and what is said about it.
_SEPARATOR = re.compile(rf"\n|[:.,)]\s+|\uff1a|\s+[-\u2013\u2014]\s+|\s+\(|\s*</(?:{_NAMES})>")
#: The number of places at which a label could end that are tried.
_MAX_SEPARATORS = 8
_ASKS = re.compile("[?\uff1f\u061f]")
_FENCE = re.compile(r"\s*```[\w+-]*\s")
_JSON = json.JSONDecoder()
#: Members of a JSON object that make it a tool call, written as text.
_CALLEE = frozenset({"name", "function", "tool", "tool_name", "action"})
_ARGUMENTS = frozenset({"arguments", "parameters", "args", "input", "action_input", "tool_input"})
#: A member with this in its name says what the answer is not.
_NOT_IT = re.compile(r"reject|second|alternat|previous|exclud|unlikely|wrong|tool|(?:^|_)(?:not|no|un)(?:_|$)")
#: An answer lies no deeper than this in a JSON object.
_MAX_DEPTH = 3
#: A sole text with this in its name is what somebody else said.
_NOT_SAID = re.compile(r"error|input|example|ticket|message|said|expected|customer|user|question|query|quote")
_CONFIDENCE_NAME = re.compile(r"(?:\w+_)?(?:confidence|certainty|probability)(?:_\w+)?")
#: Members that say with "false" or "no" that the answer is none, and those that say it with anything else.
_SAYS_YES = re.compile(
    r"(?:is_|are_)?(?:valid|correct|match(?:es|ed)?|fits?|applies|applicable|confident|certain|sure)"
)
_SAYS_NO = re.compile(r"error|needs_(?:human_)?review|(?:is_)?(?:uncertain|unsure|ambiguous|unclear)")
_FALSE = frozenset({"false", "no", "null", "none", "0", "n/a", "", "[]", "{}"})
#: How an object may break off behind a text: at its end, or inside of the next member.
_BREAKS_OFF = re.compile(r'"?\s*(?:,\s*(?:"(?P<name>[^"]*)(?:"\s*(?::.*)?)?)?)?', re.DOTALL)
#: A sentence behind the answer shorter than this many words, or characters of a script without spaces, may be an answer.
_MIN_WORDS = 4
_MIN_CHARACTERS = 10
#: From Thai on, most scripts put no spaces between words.
_WITHOUT_SPACES = "\u0e00"
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)|[\u3002\uff01\uff1f]")
#: What says that nothing fits, or that the answer was not chosen for the ticket's sake.
_NOT_CHOSEN = re.compile(
    r"\b(?:options?|choos\w+|choice|pick(?:ed|ing)?|assign\w*|forced?|random\w*|default|placeholder|coin|instructions?|by hand"
    r"|manual(?:ly)?|human|unrelated|out of scope|insufficient|not enough|enough information|too (?:short|little)|whether this"
    r"|nothing match\w*|(?:final|right|correct|real) (?:category|label|class|answer)|no language|language i|spam|is empty"
    r"|discard\w*)\b"
)
_EXPLANATION_TAG = re.compile(r"</?(?:explanation|justification|comment)>", re.IGNORECASE)
#: What an explanation of the answer is called.
_EXPLANATIONS = ("reason", "reasoning", "explanation", "rationale", "why", "justification", "evidence")
_EXPLANATION = "|".join(_EXPLANATIONS)
#: The members that may break off behind an answer.
_HARMLESS_NAMES = (*_EXPLANATIONS, "summary")
_EXPLAINS_BY_NAME = re.compile(
    rf"(?:{_EXPLANATION}|confidence|score|certainty)\s*[:=]",
    re.IGNORECASE,
)
#: How a sentence begins that explains an answer: with the customer, the ticket or a reason. In a language that is not
#: here nobody can tell an explanation from a second thought, so such an answer is none.
_EXPLAINS = re.compile(
    rf"(?:{_EXPLANATION}|begründung|grund|raison|explication|raz[oó]n"
    r"|motivo|explicación|spiegazione|explicação|reden|uitleg|理由|原因)\s*[:=\uff1a]"
    r"|(?:because|since|based on|weil|da|parce que|car|porque|perché|omdat)\b"
    r"|(?:(?:the|this|that|a|an|their|der|die|das|diese[rs]?|eine?|le|la|l['’]|ce|cette|un|une|el|este|esta|una|il|lo|questo"
    r"|questa|o|a|os|um|uma|de|het|dit|deze|een) ?)?"
    r"(?:customer|user|client|sender|author|writer|person|caller|shopper|buyer|ticket|message|request|e-?mail|text|issue"
    r"|query|question|inquiry|enquiry|complaint|kund|benutzer|nutzer|nachricht|anfrage|absender|utilisat|demande|personne"
    r"|expéditeur|usuari|mensaje|solicitud|persona|remitente|utente|messaggio|richiesta|usuári|mensagem|pedido"
    r"|solicitação|klant|gebruiker|bericht|vraag|verzoek)"
    r"|(?:he|she|they|it) (?:wants?|asks?|mentions?|says?|is about|needs?|reports?|requests?|describes?|talks?|concerns?)\b"
    r"|this is (?:about|a|an|because)\b|es geht um|il s['’]agit"
    r"|客户|用户|顾客|因为|お客様|顧客|ユーザー|고객|이유"
)
#: Other members of an answer that is written as lines of "name: value".
_ASIDE = re.compile(r"(?:sentiment|priority|urgency|severity|language|tone|emotion|summary|subject|product)\s*[:=]")
_CONFIDENCE = re.compile(r"(?:confidence|score|certainty|probability)(?: score| level)?\s*(?:is|[:=])\s*(?P<value>.*)")
_CONFIDENT = re.compile(r"(?:very )?(?:high|certain)|0?\.[5-9]\d*|1(?:\.0+)?|(?:[5-9]\d(?:\.\d+)?|100) ?%?")
#: Words that take an answer back.
_SECOND_THOUGHTS = re.compile(
    r"\b(?:actually|wait|instead|rather|neither|none of|nothing fits|correction|on second thought|scratch that|never mind|"
    r"however|mistake|(?:a|my|best|wild|pure) guess|guess(?:ing|ed)|ambiguous|vague|on reflection|hard to (?:say|tell)|"
    r"(?:could|might|may) (?:be|fit|mean)|perhaps|maybe|possibly|vielleicht|möglicherweise|peut-être|quizás?|tal vez|forse|"
    r"talvez|misschien|ignore|wrong|(?:an)?other (?:category|queue|label|class|one)|different (?:category|queue|label|class)|"
    r"(?:the )?other (?:two|three|labels|options|categories)|second choice|"
    r"cannot (?:classify|decide|tell)|not sure|unsure|unclear|or maybe|could also|alternatively|sorry|but|although|though|"
    r"nein|doch|eigentlich|lieber|keine[srmn]?|unsicher|aber|fehler|plutôt|en fait|aucune?|ou bien|mais|trompée?|en realidad|"
    r"mejor dicho|ninguna?|pero|equivo\w+|anzi|invece|nessuna?|ma|na verdade|nenhuma?|aliás|mas|nee|eigenlijk|geen|maar|"
    r"hayir|aslinda|нет|скорее|вернее|но)\b"
    r"|\b(?:no|non)[,.:;!]|其实|或者|更正|忽略|另外|不是|而是|但|いや|ではなく|または|しかし|아니|하지만|可能|也许|かもしれ|아마"
)
#: Words that deny what they stand with.
_DENIALS = re.compile(
    r"\b(?:not|no|never|nor|cannot|nicht|pas|ne|não|не|değil|niet|without|hardly|barely)\b|n['’]t\b|不|ない|않"
)
#: What a sentence is about that speaks of the answer and not of the ticket.
_ABOUT_ANSWERS = re.compile(
    r"\b(?:identify|determine|tell|understand|label|categor|class|queue|match|fit|answer|option|choice|choose|chose|appl(?:y|ies|icable)|suit|belong|correct"
    r"|right|certain|sure|relevant|pass(?:en|t)\b|zutreff|richtig|kategorie|convien|correspond|catégorie|encaja|etiqueta"
    r"|categoría|adecuad|categoria|corrett|past\b|juist)"
)


@dataclass(frozen=True, slots=True)
class Located:
    """A label in a text, at these characters."""

    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Member:
    """One member of a JSON object: its name in lower case, its value, and the value's place without quotes."""

    name: str
    value: str
    """The text, or how a whole number, true or false is written; empty for anything else."""
    start: int
    end: int
    is_text: bool = False
    written: str = ""
    """The whole value as it is written."""


def locate(text: str, part: tuple[int, int], labels: LabelSet) -> Located | None:
    """Return the label that the answer names, or None; ``part`` is where it stands in the text (``answer_part``).

    The label may stand alone, be the value of a JSON object, follow "Label:", or come first if what follows only
    explains it. Around it whitespace, quotes, punctuation and a code fence do not count.
    """
    start, end = part
    if end - start > MAX_ANSWER:
        return None
    if text.startswith("```", start):
        return _in_fence(text, start, end, labels)
    found = _named_by(text, *bare(text, start, end), labels)
    return None if found is None or _is_asked(text[found.end : end], found.label, labels) else found


def _named_by(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    return (
        _at(text, start, end, labels) or _in_json(text, start, end, labels) or _with_a_comment(text, start, end, labels)
    )


def _is_asked(rest: str, label: str, labels: LabelSet) -> bool:
    """Return whether nothing but a question mark follows an answer: ``refund?``."""
    rest = rest.rpartition("}")[2]
    return bool(_ASKS.search(rest)) and not any(map(str.isalnum, rest)) and not _ASKS.search(labels.written[label])


def _in_fence(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    """Return the label inside a code fence that is not named after a thought or a tool, if what follows says nothing."""
    name = text[start + 3 : end].split("\n", 1)[0].strip().lower()
    if says_thought(name) or "tool" in name:
        return None
    inner = _unwrap(text, start, end)
    found = _named_by(text, *inner, labels)
    behind = text.rfind("```", inner[1], end)
    if found is None or behind < 0:
        return found
    return found if _only_explains(text[behind + 3 : end], found.label, labels) else None


def could_become(text: str, part: tuple[int, int], labels: LabelSet) -> bool:
    """Return whether a cut answer is the beginning of one with a label."""
    if part[1] - part[0] > MAX_ANSWER:
        return False
    start, end = _unwrap(text, *part)
    if start == end:
        return True
    if text[start] == "{":
        return not _is_json(text[start:])
    named = _NAMED.match(text, start)
    rest = text[named.end() if named else start :].lstrip(LEADING)
    return not rest or bool(labels.owners(rest))


def bare(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the part of ``text[start:end]`` without whitespace, quotes and punctuation around it."""
    part = text[start:end]
    first = start + len(part) - len(part.lstrip(LEADING))
    return first, max(first, end - len(part) + len(part.rstrip(TRAILING)))


def _unwrap(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the answer stands inside a code fence, quotes and the like."""
    fence = _FENCE.match(text, start, end)
    if fence:
        close = text.rfind("```", fence.end(), end)
        start, end = fence.end(), close if close >= 0 else end
    return bare(text, start, end)


def _at(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    """Return the label that the part is, alone, as the only item of a list or after "Label:"."""
    label = labels.match(text[start:end])
    if label is None:
        named = _NAMED.match(text, start, end) or _BULLET.match(text, start, end)
        if not named:
            return None
        start, end = bare(text, *inside_frame(text, *bare(text, named.end(), end)))
        label = labels.match(text[start:end])
    return None if label is None else Located(label, start, end)


def _with_a_comment(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    """Return the label that the part begins with, if what follows it only explains it."""
    for separator in islice(_SEPARATOR.finditer(text, start, end), _MAX_SEPARATORS):
        found = _at(text, *bare(text, start, separator.start()), labels)
        if found is not None:
            asked = _is_asked(text[found.end : separator.end()], found.label, labels)
            return None if asked or not _only_explains(text[separator.end() : end], found.label, labels) else found
    return None


def _only_explains(rest: str, label: str, labels: LabelSet) -> bool:
    """Return whether what follows an answer holds nothing that could be another answer, a doubt or a marker."""
    if not rest.strip():
        return True
    rest = _EXPLANATION_TAG.sub(" ", rest)
    folded = fold(rest)
    if fold(rest.strip(LEADING + TRAILING)) == fold(label):
        return True  # "A - refund": the code and what it stands for
    if has_marker(rest) or _takes_back(folded) or _names_another(rest, folded, label, labels):
        return False
    written = re.compile(rf"(?<!\w){re.escape(fold(labels.written[label]))}(?!\w)")
    explained = False
    for sentence in _SENTENCE_END.split(folded):
        start, end = bare(sentence, 0, len(sentence))
        sentence = sentence[start:end]
        if not any(map(str.isalnum, sentence)) or _at(sentence, 0, len(sentence), labels):
            continue
        confidence = _CONFIDENCE.match(sentence)
        if confidence:
            if not _CONFIDENT.fullmatch(confidence["value"].strip()):
                return False
            continue
        if _ASIDE.match(sentence):
            continue
        if _EXPLAINS.match(sentence):
            explained = True
        elif not explained or _is_short(sentence):
            return False
        if _DENIALS.search(sentence) and (written.search(sentence) or _ABOUT_ANSWERS.search(sentence)):
            return False
    return True


def _is_short(sentence: str) -> bool:
    """Return whether a sentence is short enough to be another answer."""
    characters = sum(character >= _WITHOUT_SPACES for character in sentence)
    return len(sentence.split()) < _MIN_WORDS and characters < _MIN_CHARACTERS


def _takes_back(folded: str) -> bool:
    return bool(_SECOND_THOUGHTS.search(folded) or _NOT_CHOSEN.search(folded))


def _names_another(text: str, folded: str, label: str, labels: LabelSet) -> bool:
    """Return whether a text, and what it is folded to, holds another label than this one, as the model writes it.

    A short answer must stand alone: a word of the text may hold it ("no" in "knows"), and be it ("a").
    """
    others = (answer for other, answer in labels.written.items() if other != label)
    return any(_holds(text, folded, answer) for answer in others)


def _holds(text: str, folded: str, answer: str) -> bool:
    key = fold(answer)
    if len(key) > _SHORT_ANSWER or not key.isascii():
        return key in folded
    if len(key) == 1 and key.isalpha():
        return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)(?!\s+[a-z])", text) is not None
    return re.search(rf"(?<!\w){re.escape(key)}(?!\w)", folded) is not None


def _in_json(text: str, start: int, end: int, labels: LabelSet, depth: int = _MAX_DEPTH) -> Located | None:
    """Return the label that a JSON object holds: under a name such as "label", or as the only text of a whole object.

    A member whose name says thought is none. Two labels are two answers, and so are two names of which one holds
    something else. Under such a name may stand another object, which then is the answer.
    """
    if not depth or not text.startswith("{", start):
        return None
    members, after = _members(text, start, end)
    names = {member.name for member in members}
    if names & _CALLEE and names & _ARGUMENTS:
        return None
    if len(members) > 1 and any(map(_doubts, members)):
        return None
    members = [member for member in members if not _is_aside(member.name)]
    named = [member for member in members if _NAME.fullmatch(member.name)]
    if (
        not named
        and after is not None
        and not any(map(_NOT_IT.search, names))
        and not any(map(_NOT_SAID.search, names))
    ):
        texts = [member for member in members if member.value and not _explains(member)]
        named = texts if len(texts) == 1 else []
    first = [member for member in named if member.name == "label"]
    held = {member: _held(text, member, labels, depth) for member in members}
    # Under "label" stands the answer, whatever the other names hold; without it each of them must hold the same.
    found = [held[member] for member in first or named]
    answer = found[0] if found and len(first) <= 1 else None
    if answer is None or any(each is None or each.label != answer.label for each in found):
        return None
    # Numbers under other names ({"priority": 2, "label": 8}) are seldom a second answer.
    others = (held[member] for member in members if member.is_text or member in named)
    if any(each is not None and each.label != answer.label for each in others):
        return None
    harmless = (
        _is_cut(text[members[-1].end : end], answer.label, labels)
        if after is None
        else _only_explains(text[after:end], answer.label, labels)
    )
    return answer if harmless else None


def _doubts(member: _Member) -> bool:
    """Return whether a member beside the answer says that it may not be one."""
    said = fold(member.written).strip()
    if _CONFIDENCE_NAME.fullmatch(member.name):
        return not said.startswith("{") and _CONFIDENT.fullmatch(said) is None
    if member.name == "score":
        return said.startswith(("0.0", "0.1", "0.2", "0.3", "0.4")) or said in ("0", "low")
    if _SAYS_YES.fullmatch(member.name):
        return said in _FALSE
    if _SAYS_NO.fullmatch(member.name):
        return said not in _FALSE
    if not _explains(member) or not member.is_text:
        return False
    return _takes_back(said) or bool(_DENIALS.search(said) and _ABOUT_ANSWERS.search(said))


def _held(text: str, member: _Member, labels: LabelSet, depth: int) -> Located | None:
    """Return the label that one member holds, as a text, a number or a separate object."""
    label = labels.match(member.value)
    if label is not None:
        return Located(label, *bare(text, member.start, member.end))
    return _in_json(text, member.start, member.end, labels, depth - 1)


def _is_cut(rest: str, label: str, labels: LabelSet) -> bool:
    """Return whether an object that breaks off does so cleanly, and not inside of a second answer."""
    match = _BREAKS_OFF.fullmatch(rest)
    folded = fold(rest)
    if match is None or _takes_back(folded) or _DENIALS.search(folded) or _names_another(rest, folded, label, labels):
        return False
    name = match["name"]
    return not name or any(known.startswith(name.lower()) for known in _HARMLESS_NAMES)


def _is_aside(name: str) -> bool:
    """Return whether a member holds something else than the answer: a thought, a tool's name, or what it is not."""
    return name in _CALLEE - {"name"} or says_thought(name) or _NOT_IT.search(name) is not None


def _explains(member: _Member) -> bool:
    """Return whether a member explains the answer, by its name or its length, and so could not be one."""
    return _EXPLAINS_BY_NAME.match(f"{member.name}:") is not None or len(member.value.split()) >= _MIN_WORDS


def _members(text: str, start: int, end: int) -> tuple[list[_Member], int | None]:
    """Return the members of the object that begins at ``start``, and where it ends.

    An object that breaks off gives what it has, and no end; a number must be complete, since a cut one looks whole.
    """
    members: list[_Member] = []
    at = start + 1
    try:
        while at < end:
            key, at = _JSON.raw_decode(text, _skip(text, at))
            at = _skip(text, at)
            if not isinstance(key, str) or text[at : at + 1] != ":":
                return members, None
            first = _skip(text, at + 1)
            value, last = _JSON.raw_decode(text, first)
            at = _skip(text, last)
            name, written = key.lower(), text[first:last]
            if isinstance(value, str):
                members.append(_Member(name, value, first + 1, last - 1, is_text=True, written=value))
            elif isinstance(value, int) and text[at : at + 1] in (",", "}"):
                members.append(_Member(name, written, first, last, written=written))
            elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
                inner = text.index('"', first) + 1, text.rindex('"', first, last)
                members.append(_Member(name, value[0], *inner, is_text=True, written=value[0]))
            else:
                members.append(_Member(name, "", first, last, written=written))
            if text[at : at + 1] == "}":
                return members, at + 1
            if text[at : at + 1] != ",":
                return members, None
            at += 1
    except (ValueError, RecursionError):
        pass  # cut or broken: the members before the break still stand
    return members, None


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _is_json(text: str) -> bool:
    try:
        _JSON.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return True
