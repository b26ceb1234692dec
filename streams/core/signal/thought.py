"""Thought and answer: which part of what a model wrote is its answer.

Reasoning models write a thought first. Servers may leave it in the text, cut it out of the text but not out of the
tokens, or cut out only the markers. The same grammar therefore reads the text and what the tokens spell.

- Tag pairs: ``<think>``, ``<seed:think>``, ``[THINK]``, ``◁think▷``, ``<|START_THINKING|>``, Gemma's
  ``<|channel>thought ... <channel|>``, and any other tag whose name says thought. Text before a closing tag that was
  never opened is thought too: the opening tag stood in the prompt.
- Channels, the harmony format of gpt-oss: ``<|channel|>analysis<|message|>...``. Only ``final`` is an answer. If a
  server drops the special tokens, what is left is ``analysis...assistantfinal...``.
- Tool calls written as text are no answer.
- Around the answer: special tokens, a turn's header, ``<answer>`` and other tags that say answer, ``\\boxed{...}``.

What cannot be told is never an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from functools import lru_cache

from schemas.signal import Reason, Unscorable

_CUT = Unscorable(reason=Reason.REASONING_ONLY, detail="the reasoning does not end")
_NO_ANSWER = Unscorable(reason=Reason.REASONING_ONLY, detail="nothing follows the reasoning")
_NO_FINAL = Unscorable(reason=Reason.REASONING_ONLY, detail="no message on the final channel")
_NOT_LAST = Unscorable(
    reason=Reason.NOT_A_LABEL, detail="the final channel is not the last message, or not the only one"
)
_BOTH_SIDES = Unscorable(reason=Reason.NOT_A_LABEL, detail="there is text before and after the reasoning")
_TOOL_CALL = Unscorable(reason=Reason.TOOL_CALL, detail="the answer is a tool call, written as text")


class _Kind(Enum):
    """What a marker says about the text around it."""

    OPEN = auto()
    """A thought begins."""
    CLOSE = auto()
    """A thought ends."""
    TOOL = auto()
    """A tool call."""
    FRAME = auto()
    """Stands around an answer: a special token, or a tag that says answer."""
    HEADER = auto()
    """Begins a turn; the name of the role follows."""
    SPECIAL = auto()
    """A special token that is not known: harmless behind an answer, but not before one."""
    TEXT = auto()
    """No marker: other markup, or brackets in prose."""


#: Anything in brackets that could be a marker. Bounded, so that a text full of brackets is read in linear time.
_MARKER = re.compile(
    r"<[|｜/ ]{0,3}[^\W\d][^<>\n]{0,80}>"  # <think>, </think>, <|END_THINKING|>, <|channel>, <channel|>
    r"|\[/?[A-Za-z_]{3,24}\]"  # [THINK], [/INST]
    r"|◁/?[^\W\d][^◁▷\n]{0,40}▷"  # ◁think▷
)
#: What is left of harmony's markers if a server drops its special tokens.
_GLUED = re.compile(r"assistant(final|analysis|commentary)")
#: A text without any of these has no marker, and is all answer.
_SIGNS = re.compile(rf"[<\[◁\\]|{_GLUED.pattern}|thought process:")
#: What is a marker, or looks like a part of one.
_LOOKS_LIKE_MARKER = re.compile(rf"<[|｜/\w]|[|｜]>|\[/|◁|▷|\\boxed|{_GLUED.pattern}|```")
#: Granite 3.2 announces both in prose.
_THOUGHT_PROSE = re.compile(r"\s*Here(?: is|'s) my thought process:")
_RESPONSE_PROSE = re.compile(r"Here(?: is|'s) my response:")
#: Gemma's opening marker is followed by the channel's name.
_CHANNEL_NAME = re.compile(r"\s*(\w*)")

_SAYS_THOUGHT = re.compile(
    r"think|thought|reason|reflect|scratch|rational|monolog|deliberat|ponder|contemplat|cogitat|brainstorm|introspect"
    r"|musing|思|推理"
)
_THOUGHT_WORDS = frozenset(
    {"analysis", "analyze", "analyse", "cot", "inner", "plan", "planning", "draft", "unused94", "details"}
)
_WORDS = re.compile(r"[^\W_]+")
_SAYS_TOOL = re.compile(r"tool|function|plugin|invoke|python_tag")
_TOOL_WORDS = frozenset({"action", "call", "calls", "ipython"})
_CLOSING = frozenset({"end", "close", "stop", "suffix", "unused95"})
_OPENING = frozenset({"begin", "start", "open", "prefix", "of"})
_ANSWER_WORDS = frozenset(
    "answer final response output result label category class classification intent queue topic prediction solution box"
    " text".split()
)
#: Special tokens that may also stand before an answer.
_FRAME_WORDS = frozenset(
    "s bos eos pad unk sep mask eot eod eos_token bos_token im_end im_sep eot_id eom_id end_header_id turn utterance token"
    " startoftext endoftext begin_of_text end_of_text start_of_turn end_of_turn assistant bot model chatbot gmask sop"
    " inst end return sentence of begin start role header id w stop content".split()
)
_HEADERS = frozenset({"im_start", "start_header_id", "start_of_turn", "begin"})
_ROLE = re.compile(r"\s*(?:assistant|model|bot|gpt)\b[ \t]*\n?")

_HARMONY = re.compile(r"<\|(start|channel|constrain|message|end|return|call)\|>")
_HARMONY_SIGNS = ("<|channel|>", "<|message|>", "<|start|>")
_HARMONY_GOES_ON = re.compile(r"<\|(?:start|channel|message|call)\|>")

_BOX_OPENS = re.compile(r"(?:\$\$?|\\\(|\\\[)?\s*\\boxed\s*\{\s*(?:\\(?:text|textbf|texttt|mathrm|mathbf)\s*\{)?")
_BOX_CLOSES = re.compile(r"\s*\}?\s*\}\s*(?:\$\$?|\\\)|\\\])?\s*[.]?")


def answer_part(text: str) -> tuple[int, int] | Unscorable:
    """Return where in a model's output its answer stands, as start and end in characters.

    Unscorable if the output is only a thought, ends within one, is a tool call, or does not say which part is the
    answer. Whitespace around the answer is left out; an empty text is an empty answer.
    """
    if _SIGNS.search(text) is None:
        return _stripped(text, 0, len(text))
    start, end = 0, len(text)
    if any(sign in text for sign in _HARMONY_SIGNS):
        final = _final_message(text)
    elif _GLUED.search(text):
        final = _final_segment(text)
    elif _THOUGHT_PROSE.match(text):
        responses = list(_RESPONSE_PROSE.finditer(text))
        final = (responses[-1].end(), end) if responses else _CUT
    else:
        final = (start, end)
    if isinstance(final, Unscorable):
        return final
    return _outside_thoughts(text, *final)


def says_thought(name: str) -> bool:
    """Return whether the name of a tag or of a part of a message says that it holds a thought."""
    return bool(_SAYS_THOUGHT.search(name) or _THOUGHT_WORDS.intersection(_WORDS.findall(name)))


def has_marker(text: str) -> bool:
    """Return whether anything in the text is a marker, or looks like a part of one."""
    return _LOOKS_LIKE_MARKER.search(text) is not None


def _final_message(text: str) -> tuple[int, int] | Unscorable:
    """Return where the only message on harmony's final channel stands, which must be the last one.

    A message is ``[<|start|>role][<|channel|>name]<|message|>body`` and ends with ``<|end|>``, ``<|return|>`` or
    ``<|call|>``. A recipient (``to=functions.x``) makes it a tool call.
    """
    finals: list[tuple[int, int]] = []
    called = False
    for head, start, end, ended_by in _messages(text):
        # Without <|channel|> the name follows a marker that stood in the prompt.
        name = head.rpartition("<|channel|>")[2].partition("<|constrain|>")[0].split()[:1]
        recipient = "to=" in head
        called = called or recipient or ended_by == "call"
        if name == ["final"] and not recipient:
            finals.append((start, end))
    if finals:
        alone = len(finals) == 1 and not _HARMONY_GOES_ON.search(text, finals[0][1])
        return finals[0] if alone else _NOT_LAST
    return _TOOL_CALL if called else _NO_FINAL


def _messages(text: str) -> Iterator[tuple[str, int, int, str]]:
    """Yield header, body's start and end, and the name of the marker that ends it (empty: the text ends)."""
    head, header, body = "", 0, -1
    for mark in _HARMONY.finditer(text):
        name = mark[1]
        if name == "constrain":
            continue
        if body >= 0:
            yield head, body, mark.start(), name
            header, body = mark.start(), -1
        if name == "message":
            head, body = text[header : mark.start()], mark.end()
        elif name != "channel":
            header = mark.end()
    if body >= 0:
        yield head, body, len(text), ""


def _final_segment(text: str) -> tuple[int, int] | Unscorable:
    """Return where the final channel's text stands if a server dropped harmony's special tokens."""
    marks = list(_GLUED.finditer(text))
    finals = [mark for mark in marks if mark[1] == "final"]
    if not finals:
        return _TOOL_CALL if " to=" in text else _NO_FINAL
    if len(finals) > 1 or marks[-1] is not finals[0]:
        return _NOT_LAST
    return finals[0].end(), len(text)


def _outside_thoughts(text: str, start: int, end: int) -> tuple[int, int] | Unscorable:
    """Return the part of ``text[start:end]`` behind the last thought, without what stands around an answer."""
    open_tags: list[str] = []
    opened: dict[str, int] = {}
    thought = tool = spoken = False
    for mark in _MARKER.finditer(text, start, end):
        kind, tag = _classify(mark[0])
        if kind is _Kind.OPEN and not (tag == "<|channel>" and _names_answer(text, mark.end())):
            if not open_tags and not _is_frame(text, start, mark.start()):
                spoken = True
            open_tags.append(tag)
            opened[tag] = opened.get(tag, 0) + 1
            thought = True
        elif kind is _Kind.CLOSE or (mark[0] == "<|end|>" and open_tags and open_tags[-1].startswith("<|")):
            thought, tag = True, tag or open_tags[-1]  # the end of a message ends its thought too
            if not open_tags:  # its opening tag stood in the prompt: all before it was thought
                start, tool, spoken = mark.end(), False, False
            elif opened.get(tag):
                while (last := open_tags.pop()) != tag:
                    opened[last] -= 1
                opened[tag] -= 1
                if not open_tags:
                    start = mark.end()
        elif kind is _Kind.TOOL and not open_tags:
            tool = True
    if open_tags:
        return _CUT
    if tool:
        return _TOOL_CALL
    part = inside_frame(text, start, end)
    if thought and part[0] == part[1]:
        return _NO_ANSWER
    return _BOTH_SIDES if spoken else part


def _names_answer(text: str, at: int) -> bool:
    """Return whether the name of Gemma's channel is one that holds the answer."""
    name = _CHANNEL_NAME.match(text, at)
    return name is not None and name[1].lower() in _ANSWER_WORDS


def _is_frame(text: str, start: int, end: int) -> bool:
    first, last = inside_frame(text, start, end)
    return first == last


def inside_frame(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the part without whitespace, special tokens, turn headers, answer tags and a box around it."""
    while True:
        start, end = _stripped(text, start, end)
        inner = _without_last(text, *_without_first(text, start, end))
        if inner == (start, end):
            return inner
        start, end = inner


def _without_first(text: str, start: int, end: int) -> tuple[int, int]:
    mark = _MARKER.match(text, start, end)
    if mark:
        kind, tag = _classify(mark[0])
        if kind is _Kind.FRAME:
            return mark.end(), end
        if kind is _Kind.OPEN and tag == "<|channel>":  # Gemma's, and its name says answer
            name = _CHANNEL_NAME.match(text, mark.end(), end)
            return (name or mark).end(), end
        if kind is _Kind.HEADER:
            role = _ROLE.match(text, mark.end(), end)
            if role:
                return role.end(), end
    box = _BOX_OPENS.match(text, start, end)
    if box:
        closing = text.find("}", box.end(), end)
        closed = _BOX_CLOSES.fullmatch(text, closing, end) if closing >= 0 else None
        if closed:
            return box.end(), closing
    return start, end


def _without_last(text: str, start: int, end: int) -> tuple[int, int]:
    if start < end and text[end - 1] in ">]":
        opening = text.rfind("<" if text[end - 1] == ">" else "[", start, end)
        mark = _MARKER.fullmatch(text, opening, end) if opening >= 0 else None
        if mark and _classify(mark[0])[0] in (_Kind.FRAME, _Kind.SPECIAL):
            return start, opening
    return start, end


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    # Character by character: a text with a hundred thousand special tokens around it must not be copied for each.
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


@lru_cache(maxsize=1024)
def _classify(mark: str) -> tuple[_Kind, str]:
    """Return what a marker says, and for a thought's the name that its opening and its closing tag share."""
    inner = mark[1:-1]
    special = mark[0] == "<" and (inner[:1] in "|｜" or inner[-1:] in "|｜")
    name = inner.strip("|｜/ ").lower()
    if not special:
        name = re.split(r"[\s=]", name, maxsplit=1)[0]
    words = set(_WORDS.findall(name))
    closes = "/" in inner[:3] or bool(words & _CLOSING) or (inner.endswith("|") and not inner.startswith("|"))
    if says_thought(name) or words == {"unused95"}:
        if inner.endswith("/"):
            return _Kind.TEXT, ""  # <think/> opens and closes
        family = " ".join(sorted(words - _CLOSING - _OPENING)).replace("unused94", "") or "unused"
        return (_Kind.CLOSE if closes else _Kind.OPEN), mark[0] + "|" * special + family
    if name == "channel" and special:  # Gemma's; harmony's have bars on both sides and were read before
        return (_Kind.CLOSE if closes else _Kind.OPEN), "<|channel>"
    if _SAYS_TOOL.search(name) or (words & _TOOL_WORDS and (special or mark[0] == "[")):
        return _Kind.TOOL, ""
    if name in _HEADERS or (special and name == "turn" and not closes):
        return _Kind.HEADER, ""
    if mark[0] == "[":
        # Inside of [INST] ... [/INST] the user speaks.
        frame = name in ("eos", "sep", "gmask", "answer") or (name == "inst" and closes)
        return (_Kind.FRAME if frame else _Kind.TEXT), ""
    if words <= _ANSWER_WORDS | _FRAME_WORDS or name in _FRAME_WORDS or name.startswith("reserved_special"):
        return _Kind.FRAME, ""
    return (_Kind.SPECIAL if special else _Kind.TEXT), ""
