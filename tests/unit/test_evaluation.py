from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from schemas import Call, Reason, Ticket, Tier
from streams.core.memory.recall import Recalled
from streams.errors import SettingsError, StopWorker
from streams.evaluation import RecordFile, evaluate, read_records, read_tickets
from streams.models.classifier import ModelClient
from tests.support.memories import memory_of
from tests.support.messages import call, ticket, unscorable


class Client:
    """Stands where a ModelClient does: answers at once, counts what it is asked."""

    def __init__(self, tier: Tier, *, fails_on: str = "", stops_on: str = "") -> None:
        self.tier = tier
        self.endpoint = type("Endpoint", (), {"model": f"{tier}-model"})()
        self.prompt_hash = "0123456789ab"
        self.asked: list[str] = []
        self.recalled: list[Recalled] = []
        self.most_at_once = self._at_once = 0
        self._fails_on, self._stops_on = fails_on, stops_on

    async def ask(self, text: str, recalled: Recalled) -> Call:
        self.asked.append(text)
        self.recalled.append(recalled)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0)
        self._at_once -= 1
        if text == self._stops_on:
            raise StopWorker("the endpoint does not know the key")
        if text == self._fails_on:
            return call(self.tier, unscorable(Reason.NO_ANSWER), model_returned=None)
        return call(self.tier)


TICKETS = tuple(ticket(f"t-{number}", f"text {number}") for number in range(200))


async def ask(path: Path, cheap: Client, big: Client, tickets: tuple[Ticket, ...] = TICKETS, **more: Any) -> int:
    with RecordFile(path) as file:
        return await evaluate(tickets, cast("ModelClient", cheap), cast("ModelClient", big), file, **more)


async def test_both_tiers_are_asked_once_about_every_ticket(tmp_path: Path) -> None:
    cheap, big = Client("cheap"), Client("big")
    steps: list[None] = []
    assert await ask(tmp_path / "r", cheap, big, progress=lambda: steps.append(None)) == 0
    rows = read_records(tmp_path / "r")
    assert sorted(row.ticket.ticket_id for row in rows) == sorted(each.ticket_id for each in TICKETS)
    assert all((row.cheap.tier, row.big.tier) == ("cheap", "big") for row in rows)
    assert sorted(cheap.asked) == sorted(big.asked) == sorted(each.text for each in TICKETS)
    assert len(steps) == len(TICKETS)
    assert 1 < cheap.most_at_once <= 64


async def test_what_is_recorded_is_not_asked_again(tmp_path: Path) -> None:
    await ask(tmp_path / "r", Client("cheap"), Client("big"), TICKETS[:150])
    cheap, big = Client("cheap"), Client("big")
    await ask(tmp_path / "r", cheap, big)
    assert sorted(cheap.asked) == sorted(each.text for each in TICKETS[150:])
    assert len(read_records(tmp_path / "r")) == 200


async def test_a_ticket_without_an_answer_is_left_for_the_next_time(tmp_path: Path) -> None:
    assert await ask(tmp_path / "r", Client("cheap"), Client("big", fails_on="text 7")) == 1
    assert len(read_records(tmp_path / "r")) == 199
    again = Client("cheap")
    assert await ask(tmp_path / "r", again, Client("big")) == 0
    assert again.asked == ["text 7"]


async def test_an_unscorable_answer_is_an_answer(tmp_path: Path) -> None:
    class Blind(Client):
        async def ask(self, text: str, recalled: Recalled) -> Call:
            return call(self.tier, unscorable(Reason.LOGPROBS_NULL))

    assert await ask(tmp_path / "r", Blind("cheap"), Client("big"), TICKETS[:3]) == 0
    assert len(read_records(tmp_path / "r")) == 3


async def test_a_wrong_key_stops_everything_and_what_was_paid_is_kept(tmp_path: Path) -> None:
    cheap = Client("cheap", stops_on="text 100")
    with pytest.raises(StopWorker, match="does not know the key"):
        await ask(tmp_path / "r", cheap, Client("big"))
    asked = len(cheap.asked)
    await asyncio.sleep(0)
    assert len(cheap.asked) == asked < 200
    assert read_records(tmp_path / "r")


@pytest.mark.parametrize("change", ["model", "prompt"])
async def test_a_file_of_another_model_or_prompt_is_refused_before_anything_is_asked(
    tmp_path: Path, change: str
) -> None:
    await ask(tmp_path / "r", Client("cheap"), Client("big"), TICKETS[:2])
    other = Client("big")
    if change == "model":
        other.endpoint.model = "newer"
    else:
        other.prompt_hash = "ffff"
    cheap = Client("cheap")
    with pytest.raises(SettingsError, match=r"holds answers of big-model .*\(big tier\): name another file"):
        await ask(tmp_path / "r", cheap, other)
    assert cheap.asked == other.asked == []


def test_rows_that_are_no_tickets_and_repeated_ids_are_counted() -> None:
    good = [each.model_dump_json().encode() for each in TICKETS[:3]]
    found = read_tickets([*good, b"no json", b'{"ticket_id": "x", "text": " "}', good[0]])
    assert (found.tickets, found.invalid, found.repeated) == (TICKETS[:3], 2, 1)


async def test_both_tiers_are_shown_the_same_examples_and_the_records_name_the_memory(tmp_path: Path) -> None:
    cheap, big = Client("cheap"), Client("big")
    memory = await memory_of({"text 1": "refund", "text 2": "account"}, shown=1)
    await ask(tmp_path / "r", cheap, big, TICKETS[:3], memory=memory)
    assert cheap.recalled == big.recalled == await memory.recall(TICKETS[:3])
    assert [len(recalled.shown) for recalled in cheap.recalled] == [1, 1, 1]
    assert {row.memory for row in read_records(tmp_path / "r")} == {memory.fitted}


async def test_a_file_of_another_memory_is_refused_and_a_larger_one_is_not(tmp_path: Path) -> None:
    few = await memory_of({"text 1": "refund"}, shown=0)
    await ask(tmp_path / "r", Client("cheap"), Client("big"), TICKETS[:2], memory=few)
    for other in (None, await memory_of({"text 1": "refund"}, shown=2)):
        with pytest.raises(SettingsError, match=r"answers with a memory of letters that shows 0 examples, not with"):
            await ask(tmp_path / "r", Client("cheap"), Client("big"), memory=other)
    more = await memory_of({"text 1": "refund", "text 2": "account"}, shown=0)
    assert await ask(tmp_path / "r", Client("cheap"), Client("big"), TICKETS[:4], memory=more) == 0
