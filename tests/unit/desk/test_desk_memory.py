"""What the desk shows of the memory and of the policy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from schemas import ShownExample
from streams.core.policy.policy import Policy
from streams.desk.desk import Desk
from streams.settings import MemorySettings
from tests.support.desks import Browser, desk_settings, doubt, users_file
from tests.support.messages import call, example

EXAMPLES = {
    "e-1": ("Where is my <b>parcel</b>?", "shipping"),
    "e-2": ("write to ann@shop.test about my refund", "refund"),
    "e-3": ("hi", None),
}


@dataclass
class Record:
    key: bytes
    value: bytes | None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    settings = desk_settings(tmp_path, users=str(users_file(tmp_path)))
    desk = Desk(settings.model_copy(update={"memory": MemorySettings()}))
    for number, (name, (text, label)) in enumerate(EXAMPLES.items()):
        one = example(name, text=text, label=label, at_ms=number)
        desk.topics.memory.add(Record(name.encode(), one.encode()))
    return desk


@pytest.fixture
async def lea(desk: Desk) -> AsyncIterator[Browser]:
    async with Browser(desk) as browser:
        await browser.log_in("lea")
        yield browser


async def test_the_memory_is_listed_and_searched(lea: Browser) -> None:
    async def found(query: str) -> list[str]:
        return [each["example_id"] for each in (await lea.get(f"/api/memory?{query}")).json()["examples"]]

    assert await found("") == ["e-3", "e-2", "e-1"], "the newest first"
    assert await found("text=PARCEL+where") == ["e-1"]
    assert await found("label=refund") == ["e-2"]
    assert await found("none=1") == ["e-3"]
    assert await found("text=nothing") == []
    page = (await lea.see("/memory")).text
    assert page.count('data-testid="example"') == 3
    assert "Where is my &lt;b&gt;parcel&lt;/b&gt;?" in page
    assert "ann@shop.test" not in page, "it is redacted as tickets are"
    assert 'data-testid="forget"' in page


async def test_the_nearest_labelled_tickets_are_shown_as_texts(desk: Desk, lea: Browser) -> None:
    near = tuple(ShownExample(id=name, similarity=0.5) for name in ("e-9", "e-2", "e-1"))
    asked = call("cheap", shown=near, novelty=0.31, neighbour_label="shipping", neighbour_share=0.75)
    desk.store.add(doubt("t-1").model_copy(update={"calls": (asked,)}))
    page = re.sub(r"<[^>]+>", " ", (await lea.see("/tickets/t-1")).text)
    assert "Novelty 0.31" in page
    assert re.search(r"75% of the nearest labelled tickets:\s+shipping", page)
    nearest = page.partition("Nearest labelled tickets")[2]
    assert re.search(
        r"shipping\s+0.50 Where is my &lt;b&gt;parcel.*refund\s+0.50 write to .* about my refund.*e-9", nearest, re.S
    )
    assert "ann@shop.test" not in nearest


async def test_a_file_is_shown_and_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "labelled.jsonl"
    file.write_text('{"text": "Where is my parcel?", "label": "shipping", "ticket_id": "f-1"}\n')
    settings = desk_settings(tmp_path, users=str(users_file(tmp_path)))
    desk = Desk(settings.model_copy(update={"memory": MemorySettings(file=str(file))}))
    async with Browser(desk) as lea:
        await lea.log_in("lea")
        page = (await lea.see("/memory")).text
        assert "Where is my parcel?" in page
        assert 'data-testid="forget"' not in page
        refused = await lea.submit("/memory/forget", example="f-1")
        assert refused.status_code == 409


async def test_a_proposed_policy_is_compared_and_changes_nothing(desk: Desk, lea: Browser) -> None:
    page = (await lea.see("/policies")).text
    assert desk.settings.policy.id in page
    assert "It comes from no calibration" in page
    values = Policy().model_dump(mode="json")
    values["cheap"]["max_entropy"] = 0.5
    compared = (await lea.submit("/policies/compare", policy=yaml.safe_dump(values))).text
    assert compared.count('data-testid="policy-change"') >= 1
    assert re.search(r"<td>cheap.max_entropy</td><td>0.8</td><td>0.5</td>", compared)
    same = await lea.submit("/policies/compare", policy=yaml.safe_dump(desk.settings.policy.model_dump(mode="json")))
    assert "the rules are the same" in same.text
    for wrong in ("cheap: {max_entropy: much}", "[", "3", "a: &a [*a]", "cheap: " + "[" * 5_000):
        refused = await lea.submit("/policies/compare", policy=wrong)
        assert refused.status_code == 400, wrong
    twice = await lea.submit("/policies/compare", policy="cheap: {max_entropy: 0.5}\ncheap: {max_entropy: 0.6}")
    assert twice.status_code == 400
    assert "line 2, column 1: this key is there twice" in twice.text, "as a command says it"
    assert desk.settings.policy == Policy()
