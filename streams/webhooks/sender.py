"""Posts notices to one webhook: signed, tried again within bounds, and never in the way of anything else."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx
import stamina
import structlog

from streams.webhooks.notice import Notice
from streams.webhooks.signature import headers
from streams.webhooks.webhook import Webhook

log = structlog.get_logger(__name__)

_LONGEST_PAUSE_S = 15.0
#: What may pass by itself; so may every 5xx.
_AGAIN = frozenset({408, 425, 429})


class _Passing(Exception):
    """An attempt failed, and the next one may not."""


class WebhookSender:
    """One webhook's connections. An async context manager; ``send`` raises nothing but cancellation.

    ``sent`` is called with the webhook's name and what came of each notice: ok, refused or unavailable. Raises
    SettingsError if URL or secret are not to be had.
    """

    def __init__(
        self,
        webhook: Webhook,
        sent: Callable[[str, str], None] = lambda _name, _outcome: None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.webhook = webhook
        self._sent = sent
        self._url = webhook.address()
        secret = webhook.secret()
        self._secret = None if secret is None else secret.get_secret_value()
        self._wall_s = wall_s
        self._client = httpx.AsyncClient(timeout=webhook.timeout_s, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, notice: Notice, *, attempts: int | None = None) -> bool:
        """Post a notice and return whether the webhook took it, within ``attempts`` (default: the webhook's)."""
        try:
            problem = await self._deliver(notice, attempts or self.webhook.attempts)
            outcome = "ok" if problem is None else "refused"
        except _Passing as last:
            problem, outcome = str(last), "unavailable"
        self._sent(self.webhook.name, outcome)
        if problem is not None:
            log.error("a webhook failed", webhook=self.webhook.name, problem=problem, notice=notice.line)
        return problem is None

    async def _deliver(self, notice: Notice, attempts: int) -> str | None:
        """Return why the webhook refuses the notice, or None; raises _Passing if no attempt was answered."""
        body = notice.body(self.webhook.shape)
        async for attempt in stamina.retry_context(
            on=_Passing, attempts=attempts, timeout=None, wait_initial=1.0, wait_max=_LONGEST_PAUSE_S
        ):
            with attempt:
                return await self._post(notice, body)
        raise AssertionError("stamina ends in a return or an error")

    def _trouble(self, error: httpx.HTTPError) -> str:
        if isinstance(error, httpx.TimeoutException):
            return f"gave no answer within {self.webhook.timeout_s:g} s"
        if isinstance(error, httpx.ConnectError):
            return "cannot be reached"
        return f"broke the connection off before it had answered ({type(error).__name__})"

    async def _post(self, notice: Notice, body: bytes) -> str | None:
        # Signed for each attempt: a receiver refuses a time stamp that is too old.
        signed = {} if self._secret is None else headers(notice.message_id, int(self._wall_s()), body, self._secret)
        try:
            async with self._client.stream(
                "POST", self._url, content=body, headers={"content-type": "application/json", **signed}
            ) as response:
                status = response.status_code
        except httpx.HTTPError as error:
            # Neither the URL nor what the error says of it: for some services the URL is a secret.
            raise _Passing(self._trouble(error)) from error
        if status in _AGAIN or status >= 500:
            raise _Passing(f"answered {status}")
        return None if 200 <= status < 300 else f"answered {status}"
