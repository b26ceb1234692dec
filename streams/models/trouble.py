"""Says why an endpoint cannot be asked: what it is called, its address with the port, the cause and the way out."""

from __future__ import annotations

import aiohttp
import httpx


def address_of(base_url: str) -> str:
    """Return a URL with its port, which the one in the settings may leave out."""
    url = httpx.URL(base_url)
    port = url.port or {"https": 443}.get(url.scheme, 80)
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}:{port}{url.path.rstrip('/')}"


def was_sent(error: BaseException) -> bool:
    """Return whether the endpoint may have received a request that ended with this error; False: it never was connected."""
    cause = error.__cause__ or error
    never = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, httpx.ConnectError, httpx.ConnectTimeout)
    return not isinstance(cause, never)


def unreachable(endpoint: str, error: BaseException) -> str:
    """Return the line about a connection that failed; ``endpoint`` is its name and address."""
    cause = error.__cause__ or error
    match cause:
        case aiohttp.ClientConnectorDNSError():
            return f"the host of {endpoint} is not known (DNS): check base_url"
        case aiohttp.ClientConnectorCertificateError():
            said = getattr(cause.certificate_error, "verify_message", "") or str(cause.certificate_error)
            return f"{endpoint} shows a certificate that is not trusted (TLS): {said}"
        case aiohttp.ClientConnectorSSLError():
            return f"{endpoint} speaks no TLS that this client knows: should base_url begin with http:?"
        case aiohttp.ClientConnectorError() if isinstance(cause.os_error, ConnectionRefusedError):
            return f"{endpoint} refuses connections: is the server running, and is this its port?"
        case aiohttp.ClientConnectorError():
            return f"{endpoint} cannot be reached: {cause.os_error.strerror or cause.os_error}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return f"{endpoint} broke the connection off before it had answered"
    return f"{endpoint} cannot be asked: connection failed, {type(error).__name__}"
