"""One page: what it takes, who may have it, and what comes of it. Each is served as HTML and, under /api, as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from streams.desk.roles import Role

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.desk.access import Person
    from streams.desk.desk import Desk


class Fields(BaseModel):
    """What a page takes from its form or its query; a field that is left empty is not given."""

    many: ClassVar[Collection[str]] = ()
    """The fields that a form may have several times."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if value != ""} if isinstance(values, dict) else values


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, by somebody who may make it."""

    desk: Desk
    person: Person
    path: Mapping[str, str]
    """The parts of the path that a page names."""
    query: str
    """The query as it came, without the question mark."""
    at_ms: int
    ahead: bool = False
    """Whether the browser fetches the page before anybody wants to see it."""


@dataclass(frozen=True, slots=True)
class View:
    """What a page says, and the template that shows it."""

    template: str
    facts: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, and the page to go on to."""

    to: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Refused(Exception):
    """A request that is not carried out, with an HTTP status and one sentence for the person who made it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Page:
    """One row of the table of pages."""

    method: Literal["GET", "POST"]
    path: str
    role: Role
    """The least role that may have it."""
    handler: Callable[[Ask, Any], Awaitable[View | Done | Response]]
    summary: str
    fields: type[Fields] = Fields
    json: bool = True
    """Whether it is served under /api too."""
