"""Which of Kafka's compressions can be read here: a topic has the compression that its producer chose."""

from __future__ import annotations

from aiokafka import codec

_SAMPLE = b"hedgerow " * 50
_ENCODERS = {
    "gzip": (codec.gzip_encode, codec.gzip_decode),
    "snappy": (codec.snappy_encode, codec.snappy_decode),
    "lz4": (codec.lz4_encode, codec.lz4_decode),
    "zstd": (codec.zstd_encode, codec.zstd_decode),
}
COMPRESSIONS = ("none", *_ENCODERS)


def unreadable() -> list[str]:
    """Return the compressions that do not come back as they were; aiokafka needs cramjam for all but gzip."""
    return [name for name in _ENCODERS if not _comes_back(name)]


def _comes_back(name: str) -> bool:
    encode, decode = _ENCODERS[name]
    try:
        return bytes(decode(encode(_SAMPLE))) == _SAMPLE
    except Exception:  # noqa: BLE001 - a library that is absent or of another version fails in its own way
        return False
