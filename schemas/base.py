"""What every message shares: frozen, versioned, JSON in and out, limits on size."""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

#: The longest ticket text in characters. Every message derived from a ticket stays below Kafka's 1 MiB default.
MAX_TEXT = 100_000
#: The longest name of anything (ticket, label, model, endpoint) in characters.
MAX_NAME = 256

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Millis = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class InvalidMessage(ValueError):
    """Bytes that are not a valid message; ``reason`` is a short name, the text says where and why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Value(BaseModel):
    """A frozen value inside a message. Unknown fields are ignored, so that an older reader survives a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")


class Message(Value):
    """One message on a topic.

    ``v`` is the schema version: it grows when a field changes its meaning. A reader takes its own version and every
    older one; a newer one is refused by name, because it may mean something this reader does not know.
    """

    VERSION: ClassVar[int] = 1

    v: Annotated[int, Field(ge=1)] = 1

    @field_validator("v")
    @classmethod
    def _known_version(cls, v: int) -> int:
        if v > cls.VERSION:
            raise ValueError(f"schema version {v} is newer than {cls.VERSION}, the newest this reader knows")
        return v

    def encode(self) -> bytes:
        """Return the message as UTF-8 JSON."""
        return self.__pydantic_serializer__.to_json(self)

    @classmethod
    def decode(cls, data: bytes | None) -> Self:
        """Read one message from bytes; raises InvalidMessage with a named reason and nothing else."""
        if data is None:
            raise InvalidMessage("empty_message", "the message has no value")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise _invalid(error) from None


def _invalid(error: ValidationError) -> InvalidMessage:
    # include_input=False: a ticket's text belongs neither in a log line nor in an error.
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return InvalidMessage("not_json", first["msg"])
    if where == "v":
        return InvalidMessage("unknown_schema_version", first["msg"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidMessage("wrong_schema", f"{where or 'message'}: {first['msg']}{more}")


def stable_id(*parts: str) -> str:
    """Return a deterministic 32-digit id of the parts, the same in every process and at every redelivery."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
