"""What every request and every answer passes: a limit on bodies, the names that the desk answers to, and security headers."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A note has 4,000 characters at most, a bulk some thousand ids.
MAX_BODY = 256 * 1024
#: No script or style but our own files, nothing from anywhere else, and no frame around a page.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Gate:
    """Wraps an application. ``hosts``, if given, are the only names in a request's Host header."""

    def __init__(self, app: ASGIApp, *, secure: bool, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        headers = dict(_HEADERS)
        if secure:
            headers["strict-transport-security"] = "max-age=31536000"
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        # A page of another site may have made its own name one of this machine, to be let in as if it were the desk.
        if self._hosts and _host(headers.get(b"host", b"")) not in self._hosts:
            await self._answer(send, 421, b"The desk is not reached under this name.")
            return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:12]) > MAX_BODY:
            await self._answer(send, 413, b"The body is too long.")
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise HTTPException(413, "The body is too long.")
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *self._headers]
                if b"cache-control" not in named:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        await self._app(scope, bounded, with_headers)

    async def _answer(self, send: Send, status: int, text: bytes) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode()), *self._headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})


def _host(header: bytes) -> str:
    """Return the name in a Host header, without its port."""
    text = header.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]
