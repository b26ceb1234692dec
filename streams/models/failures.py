"""What a refused request means: try again, no answer from this endpoint for this ticket, or stop."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx
import orjson

from schemas import Reason
from streams.errors import StopWorker, TryAgain
from streams.models.endpoint import HttpEndpoint
from streams.models.retry_after import retry_after

_AGAIN = frozenset({408, 409, 425, 429})
#: 405: another service answers.
_STOP = frozenset({401, 403, 404, 405})
_QUOTA_USED_UP = "insufficient_quota"
_FLAGGED = re.compile(r"moderat|flagged|content.?(?:policy|filter)|safety")
_MAX_DETAIL = 300


class Passing(TryAgain):
    """A failure of one attempt that may pass; ``outcome`` is the short name that the attempt is recorded under."""

    def __init__(self, outcome: str, message: str, *, after: float | None = None) -> None:
        super().__init__(message, after=after)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Refusal:
    """The endpoint will not answer this request, however often it is asked."""

    outcome: str
    reason: Reason
    detail: str


def judge(response: httpx.Response, name: str, endpoint: HttpEndpoint, secret: str | None) -> Refusal:
    """Say what a response with an error status means; ``name`` is the endpoint's, with its address.

    Raises Passing for 408, 409, 425, 429 and 5xx; StopWorker for a key or a model that the endpoint does not take, and for
    a redirect, which is the answer of a wrong base_url. An account without money (402) or without quota (a 429 that does
    not pass by itself) is no answer. A 400, 403 or 422 that names logprobs is a capability error, which is no outage; a
    403 for a text that a moderation flagged (OpenRouter) and other 4xx are about this one request.
    """
    status = response.status_code
    outcome = f"http_{status}"
    message, about = _message(response, secret)
    detail = f"{status}: {message[:_MAX_DETAIL]}"
    said = f"{message} {about}".lower()
    if status == 402 or (status == 429 and _QUOTA_USED_UP in said):
        # Only the account's owner can mend it; until then it is as if the endpoint did not answer, and no attempt helps.
        detail = f"the account of {name} has no money or no quota left: {detail}"
        return Refusal(outcome if status == 402 else "quota_used_up", Reason.NO_ANSWER, detail)
    if status in _AGAIN or status >= 500:
        way_out = "; lower its concurrency, or ask for a higher limit" if status == 429 else ""
        after = retry_after(response.headers, limited=status == 429)
        raise Passing(outcome, f"{name} answers {detail}{way_out}", after=after)
    if status in {400, 403, 422} and "logprobs" in said:
        return Refusal(outcome, Reason.CAPABILITY, detail)
    if (status < 400 or status in _STOP) and not (status == 403 and _FLAGGED.search(said)):
        raise StopWorker(f"{name} refuses: {detail}; {_way_out(status, endpoint)}")
    return Refusal(outcome, Reason.REQUEST_REFUSED, detail)


def _way_out(status: int, endpoint: HttpEndpoint) -> str:
    if status in {401, 403}:
        variable = endpoint.api_key_env
        return "name the variable with the key in api_key_env" if variable is None else f"check the key in {variable}"
    return f"check model ({endpoint.model}) and base_url" if status == 404 else "check base_url"


def _message(response: httpx.Response, secret: str | None) -> tuple[str, str]:
    """Return the error text of a body, and the field, code and type that it names, each one line, without the key.

    Some providers repeat the key in the message.
    """
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return "no readable error", ""
    error = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(error, dict):
        error = {"message": error}
    texts = (" ".join(str(error.get(name) or "").split()) for name in ("message", "param", "code", "type"))
    message, *about = (text.replace(secret, "[key]") if secret else text for text in texts)
    return message or "no readable error", " ".join(about)
