"""What a refused request means: try again, no answer from this endpoint for this ticket, or stop."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import orjson

from schemas import Reason
from streams.errors import StopWorker, TryAgain
from streams.models.retry_after import retry_after

_AGAIN = frozenset({408, 409, 425, 429})
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


def judge(response: httpx.Response, secret: str | None) -> Refusal:
    """Say what a response with an error status means.

    Raises Passing for 408, 409, 425, 429 and 5xx, StopWorker for a key or a model that the endpoint does not know. A 400
    or 403 that names logprobs is a capability error, which is no outage; other 4xx are about this one request.
    """
    status = response.status_code
    outcome = f"http_{status}"
    detail = f"{status}: {_message(response, secret)}"
    if status in _AGAIN or status >= 500:
        raise Passing(outcome, detail, after=retry_after(response.headers))
    if status in {400, 403, 422} and "logprobs" in detail:
        return Refusal(outcome, Reason.CAPABILITY, detail)
    if status in {401, 403, 404}:
        raise StopWorker(
            f"the endpoint at {response.request.url.host} refuses: {detail}; check key, model and base_url"
        )
    return Refusal(outcome, Reason.REQUEST_REFUSED, detail)


def _message(response: httpx.Response, secret: str | None) -> str:
    """Return the error text of a body, one line, without the key: some providers repeat it in the message."""
    try:
        body = orjson.loads(response.content)
        error = body.get("error", body) if isinstance(body, dict) else {}
        text = str(error.get("message", "")) if isinstance(error, dict) else str(error)
    except orjson.JSONDecodeError:
        text = "no readable error"
    text = " ".join(text.split())
    return (text.replace(secret, "[key]") if secret else text)[:_MAX_DETAIL]
