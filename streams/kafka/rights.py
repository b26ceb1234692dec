"""The rights that Kafka users need, as a file and as access control entries."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from schemas import TOPICS
from streams.errors import SettingsError
from streams.files import one_line, read_document

Resource = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs", "AlterConfigs"]
Pattern = Literal["literal", "prefixed"]

_Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class UserRights(BaseModel):
    """What one Kafka user may do; topics and groups without the prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: _Name
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    groups: tuple[_Name, ...] = ()
    """The consumer groups that it may join."""
    progress: tuple[_Name, ...] = ()
    """The consumer groups of which it may see how far they have come."""
    transactions: tuple[_Name, ...] = ()
    """How its transactional ids may begin, for exactly-once delivery."""
    create: tuple[str, ...] = ()
    """The topics that it may create, look at and have kept for another time, and whose messages it may not read."""

    keeping: tuple[str, ...] = ()
    """The topics of which it may see how they are kept."""

    @field_validator("read", "write", "create", "keeping")
    @classmethod
    def _known(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(topics) - TOPICS.keys()):
            raise ValueError(f"no topic {', '.join(unknown)}")
        return topics


@dataclass(frozen=True, slots=True)
class Acl:
    """One access control entry: from any host, ``user`` is allowed ``operation``."""

    user: str
    operation: Operation
    resource: Resource
    name: str
    pattern: Pattern = "literal"

    @property
    def command(self) -> str:
        """The arguments of Kafka's own ``kafka-acls.sh``, ready for a shell."""
        where = f"--{self.resource} {shlex.quote(self.name)} --resource-pattern-type {self.pattern}"
        return f"--add --allow-principal {shlex.quote(f'User:{self.user}')} --operation {self.operation} {where}"


def load_rights(path: Path) -> tuple[UserRights, ...]:
    """Read and check a list of users; raises SettingsError with one line that names the fault."""
    try:
        users = TypeAdapter(tuple[UserRights, ...]).validate_python(read_document(path, "rights"))
    except ValidationError as error:
        raise SettingsError(f"{path}: {one_line(error, tuple[UserRights, ...])}") from None
    if twice := _repeated(each.user for each in users):
        raise SettingsError(f"{path}: user {twice} is there twice")
    return users


def acls_of(users: Collection[UserRights], prefix: str) -> Iterator[Acl]:
    """Yield the entries that give these rights. Read and Write include Describe; Write, to be idempotent."""
    for each in users:
        for topic in each.read:
            yield Acl(each.user, "Read", "topic", prefix + topic)
        for topic in each.write:
            yield Acl(each.user, "Write", "topic", prefix + topic)
        for topic in each.create:
            yield Acl(each.user, "Create", "topic", prefix + topic)
            yield Acl(each.user, "Describe", "topic", prefix + topic)
            yield Acl(each.user, "DescribeConfigs", "topic", prefix + topic)
            yield Acl(each.user, "AlterConfigs", "topic", prefix + topic)
        for topic in each.keeping:
            yield Acl(each.user, "DescribeConfigs", "topic", prefix + topic)
        for group in each.groups:
            yield Acl(each.user, "Read", "group", prefix + group)
        for group in each.progress:
            yield Acl(each.user, "Describe", "group", prefix + group)
        for beginning in each.transactions:
            yield Acl(each.user, "Write", "transactional-id", prefix + beginning, "prefixed")


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]
