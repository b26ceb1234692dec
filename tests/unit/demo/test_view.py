"""What a person sees while a demo runs."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from streams.demo.account import Account, Row
from streams.demo.view import View, histogram
from streams.models.prices import Price
from tests.support.messages import call, classification, dead_letter, escalation, review, routed, unscorable


def account() -> Account:
    filled = Account([Row.read(0, json.dumps({"ticket_id": key, "text": "x"}).encode()) for key in "abcd"])
    for message in (
        classification(ticket_id="a"),
        classification(unscorable(), ticket_id="b"),
        routed("a"),
        escalation(ticket_id="b"),
        review("b", calls=(call(), call("big"))),
        dead_letter(topic="x.escalations", key=b"c"),
    ):
        filled.see(message)
    return filled


def shown(*, terminal: bool, updates: int = 1, of: Account | None = None) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    with View(of or account(), Price(2.5, 10.0), console) as view:
        for _ in range(updates):
            view.update()
    return text.getvalue()


class TestLines:
    def test_without_a_terminal_a_line_now_and_then_and_one_at_the_end(self) -> None:
        [line] = shown(terminal=False, updates=50).splitlines()
        assert "3/4 tickets: routed 1, in review 1, dead letters 1, escalated 1" in line
        assert "\x1b" not in line

    def test_a_line_is_due_after_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = iter(range(0, 1000, 3))
        monkeypatch.setattr("streams.demo.view.time.monotonic", lambda: float(next(now)))
        assert 2 < len(shown(terminal=False, updates=20).splitlines()) <= 21

    def test_nothing_yet(self) -> None:
        assert "0/0 tickets" in shown(terminal=False, of=Account([]))


class TestPanel:
    def test_a_terminal_shows_routes_histograms_and_cost(self) -> None:
        text = shown(terminal=True)
        assert "3 of 4 tickets have their outcome" in text
        for words in (
            "cheap model was sure",
            "left to a reviewer",
            "dead letters",
            "confidence 0",
            "nats",
            "all-big",
        ):
            assert words in text

    def test_it_leaves_one_line_behind(self) -> None:
        assert (
            shown(terminal=True)
            .splitlines()[-1]
            .endswith("3/4 tickets: routed 1, in review 1, dead letters 1, escalated 1")
        )

    def test_nothing_yet(self) -> None:
        assert "0 of 0 tickets" in shown(terminal=True, of=Account([]))

    def test_an_error_inside_still_ends_the_live_display(self) -> None:
        console = Console(file=io.StringIO(), force_terminal=True)
        with pytest.raises(ValueError, match="inside"), View(account(), Price(1, 1), console):
            raise ValueError("inside")
        assert "\x1b[?25h" in console.file.getvalue()  # type: ignore[attr-defined]  # the cursor is shown again


class TestHistogram:
    def test_one_character_a_bin_and_the_fullest_is_full(self) -> None:
        assert histogram([0.1] * 8 + [0.9], 1.0, bins=2) == "\u2588\u2581"

    def test_a_bin_that_holds_anything_is_seen(self) -> None:
        assert histogram([0.1] * 10_000 + [0.9], 1.0, bins=2)[1] != " "

    def test_edges_and_what_lies_above(self) -> None:
        assert histogram([0.0, 1.0, 7.0], 1.0, bins=4) == "\u2584  \u2588"

    def test_empty(self) -> None:
        assert histogram([], 1.0, bins=5) == "     "
