"""The account of a demo: every ticket has its end, or is counted as lost, doubled or unscored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import Call, Neighbour, Ticket
from streams.core.memory.recall import Recalled
from streams.demo.account import Account, Row
from streams.demo.baseline import Baseline, baseline
from streams.demo.report import report
from streams.kafka.produce import Sent
from tests.support.messages import (
    attempt,
    call,
    classification,
    dead_letter,
    escalation,
    review,
    routed,
    scored,
    ticket,
    unscorable,
)


def rows(*lines: Any) -> list[Row]:
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return [Row.read(number, line) for number, line in enumerate(raw)]


def account_of(*ids: str, label: str | None = "refund") -> Account:
    return Account(rows(*({"ticket_id": key, "text": "x", "label": label} for key in ids)))


def nothing() -> Baseline:
    return Baseline({}, {})


class TestRows:
    def test_a_valid_row_is_its_ticket_and_any_other_row_a_ticket_of_its_own(self) -> None:
        read = rows({"ticket_id": "a", "text": "x"}, b"not json", {"ticket_id": "a", "text": ""}, {"ticket_id": "a"})
        assert [row.key for row in read] == ["ticket a", "row 1", "row 2", "row 3"]
        assert [row.ticket is None for row in read] == [False, True, True, True]

    def test_an_id_that_looks_like_a_row_is_no_row(self) -> None:
        assert len(Account(rows(b"bad", {"ticket_id": "row 0", "text": "x"})).tickets) == 2

    def test_rows_of_one_id_are_one_ticket_with_the_last_text(self) -> None:
        account = Account(rows({"ticket_id": "a", "text": "first"}, {"ticket_id": "a", "text": "second"}))
        assert len(account.tickets) == 1
        last = account.tickets["ticket a"]
        assert last is not None
        assert last.text == "second"


class TestOutcomes:
    def test_each_kind_of_end(self) -> None:
        account = Account(rows(*({"ticket_id": key, "text": "x"} for key in "abc"), b"bad"))
        account.sent([Sent(number, None, 0, number) for number in range(4)])
        assert (account.settled, account.lost, account.complete) == (0, 4, False)
        account.see(routed("a"))
        account.see(review("b"))
        account.see(dead_letter(topic="p.tickets", partition=0, offset=3, key=None))
        assert (account.settled, account.lost, account.complete) == (3, 1, False)
        account.see(dead_letter(letter_id="2", topic="p.classifications", partition=0, offset=3, key=b"c"))
        assert (account.settled, account.lost, account.complete, account.duplicates) == (4, 0, True, 0)
        assert set(account.dead) == {"row 3", "ticket c"}

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_result_that_counts_is_kept_in_whichever_order_they_come(self, order: int) -> None:
        account = account_of("a")
        for message in [routed("a"), routed("a", label="account", decided_by="human", decision=1)][::order]:
            account.see(message)
        assert account.routed["ticket a"].label == "account"
        assert account.duplicates == 0

    def test_a_result_of_an_earlier_text_does_not_end_a_review_of_a_later_one(self) -> None:
        account = account_of("a")
        account.see(review("a", revision=2))
        account.see(routed("a", revision=1))
        assert account.in_review == {"ticket a"}
        account.see(routed("a", revision=2))
        assert account.in_review == set()

    def test_steps_on_the_way_are_no_ends(self) -> None:
        account = account_of("t-1")
        account.see(classification())
        account.see(escalation())
        assert account.lost == 1
        assert account.escalated == {"ticket t-1"}

    def test_the_same_result_again_is_a_redelivery_and_no_duplicate(self) -> None:
        account = account_of("a", "b")
        for message in (routed("a"), routed("a", decided_by="big"), review("b"), review("b")):
            account.see(message)
        assert (account.duplicates, account.redelivered) == (0, 2)
        assert account.routed["ticket a"].decided_by == "big"

    def test_a_review_beside_a_result_is_no_end(self) -> None:
        account = account_of("a")
        account.see(review("a"))
        assert account.in_review == {"ticket a"}
        account.see(routed("a"))
        assert account.duplicates == 0
        assert account.in_review == set()

    @pytest.mark.parametrize("second", [routed("a", result_id="other"), dead_letter(topic="t.reviews", key=b"a")])
    def test_a_second_end_is_a_duplicate(self, second: Any) -> None:
        account = account_of("a")
        account.see(routed("a"))
        account.see(second)
        assert account.duplicates == 1
        assert account.settled == 1

    def test_a_dead_letter_is_found_by_its_origin_and_not_by_its_key(self) -> None:
        """A row without text has a key that belongs to a good ticket."""
        account = Account(rows({"ticket_id": "a", "text": ""}, {"ticket_id": "a", "text": "x"}))
        account.sent([Sent(0, "a", 5, 0), Sent(1, "a", 5, 1)])
        account.see(dead_letter(topic="demo.tickets", partition=5, offset=0, key=b"a"))
        account.see(routed("a"))
        assert account.complete
        assert account.duplicates == 0

    def test_an_end_of_a_ticket_that_nobody_sent_settles_none(self) -> None:
        account = account_of("a")
        account.see(routed("stranger"))
        assert (account.settled, account.lost) == (0, 1)

    def test_a_row_that_the_broker_refuses_is_counted(self) -> None:
        account = Account(rows(b"x" * 10, {"ticket_id": "a", "text": "x"}))
        account.sent([Sent(0, None, None, None), Sent(1, "a", None, None)])
        assert account.refused == 2
        assert set(account.tickets) == {"ticket a"}
        assert account.lost == 1  # a good ticket that never arrived is lost, whoever refused it

    @pytest.mark.parametrize(
        ("by", "calls", "count"),
        [
            ("cheap", (call(signal=unscorable(label="refund")),), 1),
            ("cheap", (), 1),
            ("big", (call(), call("big", unscorable())), 1),
            ("big", (call(signal=unscorable()), call("big")), 0),
            ("cheap", (call(),), 0),
            ("human", (call(signal=unscorable()),), 0),
            ("memory", (), 1),
        ],
    )
    def test_an_accept_without_a_signal_is_counted(self, by: str, calls: tuple[Call, ...], count: int) -> None:
        account = account_of("a")
        account.see(routed("a", decided_by=by, calls=calls))
        assert account.unscored_accepts == count

    def test_an_answer_of_labelled_tickets_rests_on_their_votes_and_is_counted_apart(self) -> None:
        account = account_of("a")
        voters = (Neighbour(id="e-1", similarity=0.99, label="refund"),)
        account.see(routed("a", decided_by="memory", calls=(), neighbours=voters, confidence=1.0, entropy=0.0))
        assert (account.memory_accepts, account.unscored_accepts) == (1, 0)
        assert account.cost_usd == 0.0


class TestCosts:
    def test_of_every_call_of_every_ticket_that_ended(self) -> None:
        one, two = call(attempts=(attempt(cost_usd=1.0),)), call("big", attempts=(attempt(cost_usd=10.0),) * 2)
        account = account_of("a", "b", "c", "d")
        account.see(routed("a", calls=(one,)))
        account.see(review("b", calls=(one, two)))
        account.see(classification(ticket_id="c").model_copy(update={"call": one}))
        account.see(dead_letter(topic="t.escalations", key=b"c"))
        assert account.cost_usd == pytest.approx(1 + 21 + 1)
        assert account.calls("ticket d") == ()


class TestReport:
    def figures(self) -> dict[str, Any]:
        labels = {"a": "refund", "b": "refund", "c": "refund", "d": None}
        account = Account(
            rows(*({"ticket_id": key, "text": "x", "label": label} for key, label in labels.items()), b"bad")
        )
        account.sent([Sent(4, None, 0, 4)])
        for message in (
            routed("a", label="refund", calls=(call(attempts=(attempt(cost_usd=1.0),)),)),
            escalation(ticket_id="b"),
            routed("b", label="shipping", decided_by="big", calls=(call(attempts=(attempt(cost_usd=2.0),)),)),
            review("c", calls=()),
            review("d", calls=()),
            dead_letter(topic="tickets", partition=0, offset=4),
        ):
            account.see(message)
        keys = ["ticket a", "ticket b", "ticket c", "ticket d"]
        cheap = Baseline(dict.fromkeys(keys, "shipping"), dict.fromkeys(keys, 0.1))
        big = Baseline(dict.fromkeys(keys, "refund"), dict.fromkeys(keys, 3.0))
        return report(account, cheap, big, seconds=2.0)

    def test_figures(self) -> None:
        assert self.figures() == {
            "tickets": 5,
            "routed": 2,
            "in_review": 2,
            "dead_letters": 1,
            "lost": 0,
            "duplicates": 0,
            "unscored_accepts": 0,
            "memory_accepts": 0,
            "labelled": 3,
            "routed_labelled": 2,
            "accuracy": 0.5,
            "accuracy_all_cheap": 0.0,
            "accuracy_all_big": 1.0,
            "accepted_error": 0.5,
            "accuracy_kept": 0.5,
            "accuracy_cheap_alone": 0.0,
            "accuracy_big_alone": 1.0,
            "cost_usd": 3.0,
            "cost_all_cheap_usd": 0.4,
            "cost_all_big_usd": 12.0,
            "saving": 0.75,
            "escalation_rate": 0.2,
            "review_rate": 0.4,
            "seconds": 2.0,
            "tickets_per_second": 2.5,
            "redelivered": 0,
            "rows": 5,
            "refused_rows": 0,
            "out_of_scope": {"tickets": 1, "in_review": 1, "routed": 0},
            "dead_letter_reasons": {"not_json": 1},
            "alerts": {},
            "none_of_these": 0,
            "escalations_over_budget": 0,
        }

    def test_is_json(self) -> None:
        assert json.loads(json.dumps(self.figures(), allow_nan=False)) == self.figures()

    def test_nothing_in_nothing_out(self) -> None:
        figures = report(Account([]), nothing(), nothing(), 0.0)
        assert figures["accuracy"] is figures["saving"] is figures["tickets_per_second"] is None
        assert figures["escalation_rate"] == figures["review_rate"] == 0

    def test_accuracies_are_over_the_same_routed_tickets_that_have_a_label(self) -> None:
        account = account_of("a", "b")
        account.see(routed("a", label="refund"))
        account.see(review("b"))
        cheap = Baseline({"ticket a": "refund", "ticket b": "shipping"}, {})
        figures = report(account, cheap, Baseline({"ticket a": None, "ticket b": "refund"}, {}), 1.0)
        assert (figures["accuracy"], figures["accuracy_all_cheap"], figures["accuracy_all_big"]) == (1.0, 1.0, 0.0)
        assert figures["accuracy_kept"] is None, "a big model that is never right leaves nothing to keep"

    def test_accuracies_alone_are_over_every_labelled_ticket(self) -> None:
        labels = {"a": "refund", "b": "shipping", "c": "billing", "d": None}
        account = Account(rows(*({"ticket_id": key, "text": "x", "label": label} for key, label in labels.items())))
        account.see(routed("a", label="refund"))
        answers = {f"ticket {key}": "shipping" for key in "abcd"}
        figures = report(account, Baseline(answers, {}), Baseline(answers | {"ticket a": "refund"}, {}), 1.0)
        assert figures["accuracy_cheap_alone"] == pytest.approx(1 / 3)
        assert figures["accuracy_big_alone"] == pytest.approx(2 / 3)


class Client:
    """Answers every text in the same way, and counts."""

    def __init__(self, answer: Call) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def ask(self, text: str, recalled: Recalled) -> Call:
        self.asked.append(text)
        return self.answer


class TestBaseline:
    async def test_asks_only_for_what_is_not_on_record_and_costs_one_answer_each(self) -> None:
        paid = (attempt(outcome="http_500", cost_usd=5.0), attempt(cost_usd=1.0))
        tickets: dict[str, Ticket] = {key: ticket(key, f"text {key}") for key in "abc"}
        recorded = {"a": call(signal=scored("shipping"), attempts=paid), "b": call(signal=unscorable(), attempts=paid)}
        client = Client(call(signal=unscorable(label="account"), attempts=paid))
        figures = await baseline(client, tickets, recorded, {})  # type: ignore[arg-type]
        assert sorted(client.asked) == ["text b", "text c"]
        assert figures.labels == {"a": "shipping", "b": "account", "c": "account"}
        assert figures.cost_usd == pytest.approx(3.0)

    async def test_a_call_without_attempts_costs_nothing(self) -> None:
        client = Client(call(signal=unscorable(), attempts=()))
        figures = await baseline(client, {"a": ticket("a")}, {}, {})  # type: ignore[arg-type]
        assert (figures.labels, figures.cost_usd) == ({"a": None}, 0)
