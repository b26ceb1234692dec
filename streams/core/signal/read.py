"""From a response body of any provider to one Answer."""

from __future__ import annotations

from schemas.signal import Reason, Unscorable
from streams.core.signal.answer import Answer, Finish, Token
from streams.core.signal.body import parse
from streams.core.signal.providers import Place, find
from streams.core.signal.tokens import read_tokens
from streams.core.signal.usage import fingerprint_of, model_of, usage_of

_NO_ANSWER_IN_IT: dict[Finish | None, Unscorable] = {
    "refusal": Unscorable(reason=Reason.REFUSED, detail="the model refused to answer"),
    "filter": Unscorable(reason=Reason.FILTERED, detail="a content filter stopped the answer"),
    "cut": Unscorable(reason=Reason.TRUNCATED, detail="the stream broke off before it said why it ended"),
    "tool": Unscorable(reason=Reason.TOOL_CALL, detail="the answer is a tool call"),
    "error": Unscorable(reason=Reason.ERROR_BODY, detail="the answer ended in an error"),
}


def read_answer(body: object) -> Answer:
    """Read a response body: an object, a list of stream chunks, or bytes or text of either.

    Never raises. What cannot be used is named in ``Answer.tokens``; the model and the usage are read in every case,
    because an answer without a signal was paid for too.
    """
    document = parse(body)
    if isinstance(document, Unscorable):
        return Answer(tokens=document)
    place = find(document)
    prompt, completion = usage_of(document)
    model, fingerprint = model_of(document), fingerprint_of(document)
    if isinstance(place, Unscorable):
        return Answer(place, model=model, fingerprint=fingerprint, prompt_tokens=prompt, completion_tokens=completion)
    return Answer(
        _tokens(place), place.text, place.thought, place.finish, place.shape, model, fingerprint, prompt, completion
    )


def no_text(finish: Finish | None, thought: str | None) -> Unscorable:
    """Return why an answer without any text cannot be used."""
    if finish == "length":
        return Unscorable(reason=Reason.TRUNCATED, detail="the answer was cut before its first character")
    if thought:
        return Unscorable(reason=Reason.REASONING_ONLY, detail="nothing follows the reasoning")
    return Unscorable(reason=Reason.NO_CONTENT, detail="the answer has no text")


def _tokens(place: Place) -> tuple[Token, ...] | Unscorable:
    unusable = _NO_ANSWER_IN_IT.get(place.finish)
    if unusable is not None:
        return unusable
    tokens = read_tokens(place.logprobs)
    if isinstance(tokens, Unscorable) and not (place.text or "").strip():
        return no_text(place.finish, place.thought)
    return tokens
