"""What every message shares: frozen, versioned, JSON in and out, limits on size."""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

#: The longest ticket text in characters. Every message derived from a ticket stays below Kafka's 1 MiB default.
MAX_TEXT = 100_000
#: The longest name of anything (ticket, label, model, endpoint) in characters.
MAX_NAME = 256
#: The longest text in a ticket's metadata in characters, and the most entries: they fit alongside the longest text.
MAX_METADATA = 512
MAX_METADATA_ENTRIES = 64
#: The largest integer in a message: what a BIGINT holds, and what every JSON library reads.
MAX_INTEGER = 2**63 - 1
_MAX_DETAIL = 500
_VERSIONS = {("v",), ("ticket", "v")}

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Cost = Usd | None
Millis = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


def not_blank(text: str) -> str:
    """Return the text; raises ValueError for one of nothing but white space."""
    if not text.strip():
        raise ValueError("the text is empty")
    return text


class InvalidMessage(ValueError):
    """Bytes that are not a valid message; ``reason`` is a short name, the text says where and why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Value(BaseModel):
    """A frozen value inside a message. Unknown fields are ignored, so that an older reader survives a newer writer.

    A ticket keeps those of its producer (``Ticket``).
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64", use_attribute_docstrings=True
    )


_NEWEST = 2


class Message(Value):
    """One message on a topic.

    ``v`` is the schema version: it grows when a field changes its meaning. A reader takes its own version and every
    older one; a newer one is refused by name, because it may mean something this reader does not know. What was read
    has the newest version, whichever it was written in; ``WireFormat`` writes older ones.
    """

    VERSION: ClassVar[int] = _NEWEST

    v: Annotated[int, Field(ge=1, le=_NEWEST), AfterValidator(lambda _: _NEWEST)] = _NEWEST

    def encode(self) -> bytes:
        """Return the message as UTF-8 JSON, in the newest version."""
        return self.__pydantic_serializer__.to_json(self)

    @classmethod
    def decode(cls, data: bytes | None) -> Self:
        """Read one message from bytes; raises InvalidMessage with a named reason and nothing else."""
        if not data:
            raise InvalidMessage("empty_message", "the message has no value")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise _invalid(error) from None


def _invalid(error: ValidationError) -> InvalidMessage:
    # include_input=False: a ticket's text belongs neither in a log line nor in an error.
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    if first["type"] == "json_invalid":
        return InvalidMessage("not_json", first["msg"])
    # Before all else: a newer message may have any other fault in the eyes of this reader. A ticket inside has its own.
    version = next((problem for problem in problems if problem["loc"] in _VERSIONS), None)
    if version is not None:
        newer = ", the newest this reader knows" if version["type"] == "less_than_equal" else ""
        return InvalidMessage("unknown_schema_version", f"schema version: {version['msg']}{newer}")
    where = ".".join(str(part) for part in first["loc"]) or "message"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    # Where and what may quote a key or a tag of the message, which can be of any length.
    return InvalidMessage("wrong_schema", f"{where}: {first['msg']}"[:_MAX_DETAIL] + more)


def bytes_of(text: str) -> bytes:
    """Return a text as bytes, halves of characters too, which a shell may hand over: they are then found nowhere."""
    return text.encode("utf-8", "surrogatepass")


def stable_id(*parts: str) -> str:
    """Return a deterministic 32-digit id of the parts, the same in every process and at every redelivery."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = bytes_of(part)
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def digest_of(text: str) -> bytes:
    """Return a digest of 16 bytes by which two texts are told apart, the same in every process."""
    return hashlib.blake2b(bytes_of(text), digest_size=16).digest()
