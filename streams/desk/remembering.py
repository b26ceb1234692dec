"""The pages of the memory: the labelled tickets that models are shown, searched and forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Annotated, ClassVar

from pydantic import Field

from schemas import Example as Remembered
from schemas.base import Name
from schemas.results import Note
from streams.core.memory.example import Example
from streams.desk.facts import Facts
from streams.desk.page import Ask, Done, Fields, Page, Refused, View
from streams.desk.roles import Role
from streams.kafka.example_book import example_topic
from streams.reviews.journal import Action, Entry

_Text = Annotated[str, Field(max_length=200)]
_SHOWN = 100
_AT_ONCE = 1_000


class MemoryFilter(Fields):
    """Which labelled tickets."""

    text: _Text = ""
    """Words that the text has, all of them, in any case."""
    label: _Text = ""
    none: bool = False
    """Those that fit no label."""


class ForgetFields(Fields):
    """Labelled tickets by their ids, and why they are forgotten."""

    many: ClassVar[Collection[str]] = ("example",)

    example: Annotated[tuple[Name, ...], Field(min_length=1, max_length=_AT_ONCE)]
    note: Note = ""


async def show_memory(ask: Ask, fields: MemoryFilter) -> View:
    """List labelled tickets: of the topic the newest first, of a file in its order."""
    desk = ask.desk
    settings = desk.settings.memory
    on_topic = settings is not None and settings.on_topic
    known: list[Example | Remembered] = []
    if on_topic:
        known += await asyncio.to_thread(_newest_first, list(desk.topics.memory.examples))
    elif desk.examples is not None:
        known += desk.examples.values()
    found = await asyncio.to_thread(_fitting, known, fields)
    return View(
        "memory.html",
        {
            "where": None if settings is None else "topic" if on_topic else "file",
            "examples": [_facts(ask, each) for each in found[:_SHOWN]],
            "count": len(found),
            "total": len(known),
            "labels": list(desk.sight.labels),
            "filter": fields.model_dump(),
            "problem": desk.topics.problems.get("memory"),
        },
    )


async def forget(ask: Ask, fields: ForgetFields) -> Done:
    """Forget labelled tickets: no worker shows them to a model from then on."""
    desk, settings, by = ask.desk, ask.desk.settings, ask.person.name
    if settings.memory is None or not settings.memory.on_topic:
        raise Refused(409, "The labelled tickets are not on the topic: change the file.")
    async with example_topic(settings.broker.connection, prefix=settings.topics.prefix) as topic:
        known = [each for each in dict.fromkeys(fields.example) if topic.book.get(each) is not None]
        if not known:
            raise Refused(404, "There is no such labelled ticket.")
        await topic.forget(known, by)
    detail = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    entry = Entry(ask.at_ms, by, Action.FORGET_EXAMPLE, detail=f"{detail}{': ' if fields.note else ''}{fields.note}")
    await asyncio.to_thread(desk.journal.add, entry)
    return Done("/memory", {"forgotten": known})


def _newest_first(examples: Iterable[Remembered]) -> list[Remembered]:
    return sorted(examples, key=lambda each: (-each.at_ms, each.example_id))


def _fitting(examples: Iterable[Example | Remembered], fields: MemoryFilter) -> list[Example | Remembered]:
    words = fields.text.casefold().split()
    return [
        each
        for each in examples
        if (each.label is None if fields.none else not fields.label or each.label == fields.label)
        and (not words or all(word in each.text.casefold() for word in words))
    ]


def _facts(ask: Ask, example: Example | Remembered) -> Facts:
    facts: Facts = {
        "example_id": example.example_id if isinstance(example, Remembered) else example.id,
        "ticket_id": example.ticket_id,
        "text": ask.desk.sight.redacted(example.text),
        "label": example.label,
        "source": "file",
        "by": None,
        "at_ms": None,
    }
    if isinstance(example, Remembered):
        facts |= {"source": example.source, "by": example.by, "at_ms": example.at_ms}
    return facts


PAGES: tuple[Page, ...] = (
    Page("GET", "/memory", Role.REVIEWER, show_memory, "The labelled tickets that models are shown", MemoryFilter),
    Page("POST", "/memory/forget", Role.LEAD, forget, "Forget labelled tickets", ForgetFields),
)
