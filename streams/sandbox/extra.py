"""What the sandbox needs beyond a worker's packages."""

from __future__ import annotations

from streams.errors import SandboxError
from streams.extras import missing_extra


def require_extra() -> None:
    """Return if the extra ``sandbox`` is installed; raises SandboxError that says how to install it."""
    missing = missing_extra("the sandbox", "sandbox")
    if missing is not None:
        raise SandboxError(missing)
