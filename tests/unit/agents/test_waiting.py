"""A model that does not answer: tickets wait, a ticket that no endpoint can take does not, and operators are told once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from schemas import MAX_NAME, Alert, Call, Reason
from streams.agents.guards import Clock
from streams.agents.waiting import OWN_FAILURES, WaitingModel
from streams.core.fleet.others import Others
from streams.core.guards.availability import FAILURES, Availability, OutageRule, is_unanswered
from streams.errors import Hold, StopWorker
from streams.models.outlook import Failure, Outlook
from tests.support.handlers import AskedModel
from tests.support.messages import alert, attempt, call, ticket, unscorable

ANSWERED = call("cheap")
SILENT = call("cheap", unscorable(Reason.NO_ANSWER), model_returned=None, attempts=(attempt(outcome="connection"),))
UNPAID = SILENT.model_copy(update={"attempts": (attempt(outcome="http_402"),)})


class Endpoint:
    """Answers, or not, as ``answers`` says; ``poison`` is never answered."""

    def __init__(self, answer: Callable[[], Call] = lambda: SILENT, poison: str | None = None) -> None:
        self.answer = answer
        self.poison = poison
        self.asked: list[str] = []

    async def ask(self, text: str) -> Call:
        self.asked.append(text)
        return SILENT if text == self.poison else self.answer()


def waiting_model(
    endpoint: Endpoint,
    now: Callable[[], float] = time.monotonic,
    tried: list[Call] | None = None,
    outlook: Outlook | None = None,
    **rule: Any,
) -> tuple[WaitingModel, list[Alert]]:
    alerts: list[Alert] = []
    tried = [] if tried is None else tried
    outlook = outlook or Outlook()
    limits = {"trial_every_s": 0.01, "resume_per_s": 10_000} | rule
    clock = Clock(now, lambda: 0)
    model = AskedModel("cheap", endpoint.ask)
    return WaitingModel(model, OutageRule(**limits), clock, alerts.append, tried.append, outlook), alerts


async def ask(model: WaitingModel, text: str) -> Call:
    """Ask as delivery does: again after each hold."""
    while True:
        try:
            return await model.ask(ticket(text=text))
        except Hold as hold:
            await hold.over()


def test_what_was_answered_badly_is_an_answer() -> None:
    assert is_unanswered(SILENT)
    assert not is_unanswered(ANSWERED)
    assert not is_unanswered(call("cheap", unscorable(Reason.REFUSED)))
    too_long = SILENT.model_copy(update={"attempts": (attempt(outcome="body_too_long"),)})
    assert not is_unanswered(too_long)


def test_an_outage_begins_once_and_ends_once() -> None:
    availability = Availability()
    assert [availability.unanswered() for _ in range(FAILURES + 2)] == [False] * (FAILURES - 1) + [True, False, False]
    assert availability.is_down
    assert [availability.answered(), availability.answered()] == [True, False]
    assert not availability.is_down


async def test_tickets_wait_until_the_endpoint_answers_and_only_trials_are_sent_meanwhile() -> None:
    endpoint = Endpoint()
    model, alerts = waiting_model(endpoint)
    tickets = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(20)]
    while not model.is_down or endpoint.asked.count("try out") < 3:
        await asyncio.sleep(0)
    assert not any(ticket.done() for ticket in tickets)
    assert sum(text != "try out" for text in endpoint.asked) <= 20
    late = asyncio.create_task(ask(model, "a later ticket"))
    await asyncio.sleep(0)
    assert "a later ticket" not in endpoint.asked
    endpoint.answer = lambda: ANSWERED
    assert await asyncio.gather(*tickets, late) == [ANSWERED] * 21
    assert [alert.kind for alert in alerts] == ["endpoint_down", "recovered"]
    assert "tickets wait" in alerts[0].summary


async def test_a_ticket_that_is_never_answered_goes_on_if_the_endpoint_answers_others() -> None:
    endpoint = Endpoint(lambda: ANSWERED, poison="poison")
    model, alerts = waiting_model(endpoint)
    assert await ask(model, "poison") == SILENT
    assert endpoint.asked.count("poison") == OWN_FAILURES
    assert alerts == []


async def test_tickets_of_one_text_wait_each_for_itself() -> None:
    """Found by a template that many tickets repeat: the third one that failed passed for a ticket that is never answered."""
    endpoint = Endpoint()
    model, _ = waiting_model(endpoint)
    tickets = [asyncio.create_task(ask(model, "unsubscribe")) for _ in range(20)]
    while not model.is_down:
        await asyncio.sleep(0)
    endpoint.answer = lambda: ANSWERED
    assert await asyncio.gather(*tickets) == [ANSWERED] * 20


async def test_tickets_of_one_text_wait_no_longer_than_others() -> None:
    seconds = 0.0
    model, _ = waiting_model(Endpoint(), now=lambda: seconds, hold_s=0.05)
    tickets = [asyncio.create_task(ask(model, "unsubscribe")) for _ in range(20)]
    while not model.is_down:
        await asyncio.sleep(0)
    seconds = 0.05
    async with asyncio.timeout(10):
        assert all(map(is_unanswered, await asyncio.gather(*tickets)))


async def test_a_ticket_that_has_waited_long_enough_goes_on_without_an_answer() -> None:
    model, _ = waiting_model(Endpoint(), hold_s=0.05)
    assert is_unanswered(await ask(model, "ticket"))


@pytest.mark.parametrize("mode", ["escalate", "review"])
async def test_without_holding_tickets_pass_an_endpoint_by_that_is_down(mode: str) -> None:
    endpoint = Endpoint()
    model, alerts = waiting_model(endpoint, mode=mode)
    calls = [await model.ask(ticket(text=f"ticket {n}")) for n in range(FAILURES + 3)]
    assert all(map(is_unanswered, calls))
    assert len(endpoint.asked) <= FAILURES + 1
    endpoint.answer = lambda: ANSWERED
    async with asyncio.timeout(10):
        while model.is_down:  # though no ticket comes
            await asyncio.sleep(0.001)
    assert await model.ask(ticket(text="ticket")) == ANSWERED
    assert [alert.kind for alert in alerts] == ["endpoint_down", "recovered"]


async def test_without_holding_a_key_that_is_refused_in_an_outage_ends_the_worker_too() -> None:
    def refused() -> Call:
        raise StopWorker("the endpoint refuses: 401")

    endpoint = Endpoint()
    model, _ = waiting_model(endpoint, mode="review")
    for number in range(FAILURES):
        await model.ask(ticket(text=f"ticket {number}"))
    endpoint.answer = refused

    async def until_answered() -> None:
        while await model.ask(ticket(text="ticket")) != ANSWERED:
            await asyncio.sleep(0.001)

    with pytest.raises(StopWorker, match="401"):
        await asyncio.wait_for(until_answered(), 10)
    await model.close()


async def test_an_account_without_money_is_an_outage_with_an_alert_of_its_own() -> None:
    endpoint = Endpoint(lambda: UNPAID)
    model, alerts = waiting_model(endpoint)
    waiting = asyncio.create_task(ask(model, "ticket"))
    while not alerts:
        await asyncio.sleep(0)
    endpoint.answer = lambda: ANSWERED
    assert await waiting == ANSWERED
    assert [alert.kind for alert in alerts] == ["account", "recovered"]


async def test_a_key_that_is_refused_in_an_outage_ends_the_worker() -> None:
    def refused() -> Call:
        raise StopWorker("the endpoint refuses: 401")

    endpoint = Endpoint()
    model, _ = waiting_model(endpoint)
    waiting = asyncio.create_task(ask(model, "ticket"))
    while not model.is_down:
        await asyncio.sleep(0)
    endpoint.answer = refused
    with pytest.raises(StopWorker, match="401"):
        await waiting


async def test_another_ticket_sends_the_trials_if_the_one_that_did_is_cancelled() -> None:
    endpoint = Endpoint()
    model, _ = waiting_model(endpoint)
    first, second = asyncio.create_task(ask(model, "first")), asyncio.create_task(ask(model, "second"))
    while not model.is_down:
        await asyncio.sleep(0)
    first.cancel()
    endpoint.answer = lambda: ANSWERED
    assert await second == ANSWERED
    assert first.cancelled()


class Hangs:
    """Answers no call that was made before ``back``, and every one after it; never those of before, as a server may."""

    def __init__(self) -> None:
        self.back = False
        self.trials = self.ended = 0

    async def ask(self, text: str) -> Call:
        if self.back:
            return ANSWERED
        if text != "try out":
            return SILENT
        self.trials += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1
        raise AssertionError


async def test_a_return_is_seen_though_the_trials_before_it_hang() -> None:
    endpoint, alerts = Hangs(), list[Alert]()
    rule, clock = OutageRule(trial_every_s=0.001, resume_per_s=10_000), Clock(time.monotonic, lambda: 0)
    model = WaitingModel(
        AskedModel("cheap", endpoint.ask), rule, clock, alerts.append, [].append, Outlook(), most_trials=3
    )
    tickets = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(FAILURES)]
    while endpoint.trials < 2:
        await asyncio.sleep(0)
    endpoint.back = True
    async with asyncio.timeout(10):
        assert await asyncio.gather(*tickets) == [ANSWERED] * FAILURES
    assert endpoint.ended == endpoint.trials  # what hangs is not waited for
    assert [alert.kind for alert in alerts] == ["endpoint_down", "recovered"]


async def test_no_more_trials_hang_at_once_than_are_allowed_and_close_ends_them() -> None:
    endpoint = Hangs()
    rule, clock = OutageRule(trial_every_s=0.001), Clock(time.monotonic, lambda: 0)
    model = WaitingModel(AskedModel("cheap", endpoint.ask), rule, clock, [].append, [].append, Outlook(), most_trials=3)
    tickets = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(FAILURES)]
    while endpoint.trials < 3:
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    assert (endpoint.trials, endpoint.ended) == (3, 0)
    for task in tickets:
        task.cancel()
    await model.close()
    assert endpoint.ended == 3


async def test_without_holding_no_ticket_waits_for_trials_that_hang() -> None:
    endpoint = Hangs()
    rule, clock = OutageRule(mode="escalate", trial_every_s=0.01), Clock(time.monotonic, lambda: 0)
    model = WaitingModel(AskedModel("cheap", endpoint.ask), rule, clock, [].append, [].append, Outlook())
    async with asyncio.timeout(10):
        calls = [await model.ask(ticket(text=f"ticket {n}")) for n in range(FAILURES + 100)]
        assert all(map(is_unanswered, calls))
        assert endpoint.trials <= 1
        while endpoint.trials < 3:
            await asyncio.sleep(0.001)
        endpoint.back = True
        while model.is_down:
            await asyncio.sleep(0.001)
    await model.close()


async def test_a_call_from_before_the_last_answer_begins_no_outage() -> None:
    release = asyncio.Event()

    async def slow(text: str) -> Call:
        if text.startswith("slow"):
            await release.wait()
            return SILENT
        return ANSWERED

    alerts: list[Alert] = []
    clock = Clock(time.monotonic, lambda: 0)
    model = WaitingModel(
        AskedModel("cheap", slow), OutageRule(mode="review"), clock, alerts.append, lambda _: None, Outlook()
    )
    waiting = [asyncio.create_task(model.ask(ticket(text=f"slow {n}"))) for n in range(2 * FAILURES)]
    await asyncio.sleep(0.001)
    assert await model.ask(ticket(text="quick")) == ANSWERED
    release.set()
    assert all(map(is_unanswered, await asyncio.gather(*waiting)))
    assert not model.is_down
    assert alerts == []


@pytest.mark.parametrize("name", ["small", "m" * MAX_NAME])
async def test_a_call_from_before_another_worker_saw_the_return_begins_no_outage(name: str) -> None:
    """A worker that starts while calls hang has no answer of its own, and its first calls time out after the return."""
    alerts: list[Alert] = []
    now = [0.0]
    clock = Clock(lambda: now[0], lambda: 1_000_000 + round(now[0] * 1000))
    outlook = Outlook()
    asked = AskedModel("cheap", Endpoint().ask)
    asked.model_asked = name
    model = WaitingModel(asked, OutageRule(), clock, alerts.append, lambda _: None, outlook)
    source = f"cheap:{name}"[:MAX_NAME]
    down = alert(alert_id="down", source=source, kind="endpoint_down", at_ms=990_000)
    back = alert(alert_id="back", source=source, kind="recovered", at_ms=1_004_000, details={"was": ["endpoint_down"]})
    for told in (down, back):
        clock.book.take(told)
    for now[0] in (5.0, 5.5):
        for _ in range(FAILURES):
            outlook.failed(Failure("no answer within 5 s", took_s=now[0] - 4.0, first_timeout=True))
    assert not model.is_down
    for now[0] in (9.1, 9.2, 9.3, 9.4, 9.5):
        outlook.failed(Failure("no answer within 5 s", took_s=5.0, first_timeout=True))
    assert model.is_down
    assert [each.kind for each in alerts] == ["endpoint_down"]


async def test_every_trial_is_told_and_costs_what_it_costs() -> None:
    tried: list[Call] = []
    endpoint = Endpoint()
    model, _ = waiting_model(endpoint, tried=tried)
    waiting = asyncio.create_task(ask(model, "ticket"))
    while not model.is_down:
        await asyncio.sleep(0)
    endpoint.answer = lambda: ANSWERED
    await waiting
    assert len(tried) == endpoint.asked.count("try out")
    assert tried[-1].cost_usd == ANSWERED.cost_usd > 0


async def test_a_call_whose_time_out_says_nothing_counts_if_it_is_not_answered_in_the_end() -> None:
    """As one does of a worker that was frozen, whose endpoint is unavailable when it goes on."""
    outlook = Outlook()

    async def stalls(_: str) -> Call:
        outlook.failed(Failure("no answer within 20 s", 60.0, first_timeout=False))
        return SILENT.model_copy(update={"attempts": (attempt(outcome="timeout"), *SILENT.attempts)})

    clock = Clock(time.monotonic, lambda: 1_000_000)
    model = WaitingModel(
        AskedModel("cheap", stalls), OutageRule(mode="review"), clock, lambda _: None, lambda _: None, outlook
    )
    for number in range(FAILURES):
        assert not model.is_down
        await model.ask(ticket(text=f"ticket {number}"))
    assert model.is_down
    await model.close()


async def test_calls_that_hang_are_noticed_at_their_first_time_outs() -> None:
    outlook, never = Outlook(), asyncio.Event()

    async def hangs(_: str) -> Call:
        await never.wait()
        raise AssertionError

    alerts: list[Alert] = []
    clock = Clock(time.monotonic, lambda: 0)
    rule = OutageRule()
    model = WaitingModel(AskedModel("cheap", hangs), rule, clock, alerts.append, lambda _: None, outlook)
    tickets = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(FAILURES)]
    await asyncio.sleep(0)
    for _ in tickets:
        assert not model.is_down
        outlook.failed(Failure("no answer within 20 s", 0.0, first_timeout=True))
    assert model.is_down
    assert outlook.is_down
    assert "no answer within 20 s" in alerts[0].summary
    for task in tickets:
        task.cancel()


async def test_a_call_that_was_counted_at_its_time_out_is_not_counted_again() -> None:
    outlook = Outlook()
    late = SILENT.model_copy(update={"attempts": (attempt(outcome="timeout"), attempt(outcome="connection"))})

    async def answer() -> Call:
        outlook.failed(Failure("no answer within 20 s", 0.0, first_timeout=True))
        return late

    alerts: list[Alert] = []
    model = WaitingModel(
        AskedModel("cheap", lambda _: answer()),
        OutageRule(mode="review"),
        Clock(time.monotonic, lambda: 0),
        alerts.append,
        lambda _: None,
        outlook,
    )
    for _ in range(FAILURES - 1):
        await model.ask(ticket(text="ticket"))
    assert not model.is_down
    await model.ask(ticket(text="ticket"))
    assert model.is_down


async def test_a_trial_waits_for_as_long_as_the_endpoint_asks_and_an_answer_to_another_call_ends_that() -> None:
    outlook, release = Outlook(), asyncio.Event()

    async def answer(text: str) -> Call:
        if text == "slow":
            await release.wait()
            return ANSWERED
        outlook.failed(Failure("429", 0.0, after_s=300.0))
        return SILENT

    asked: list[str] = []

    async def noted(text: str) -> Call:
        asked.append(text)
        return await answer(text)

    model = WaitingModel(
        AskedModel("cheap", noted), OutageRule(), Clock(time.monotonic, lambda: 0), [].append, [].append, outlook
    )
    slow = asyncio.create_task(ask(model, "slow"))
    tickets = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(2 * FAILURES)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert model.is_down
    assert "try out" not in asked
    before = len(asked)
    release.set()
    assert await slow == ANSWERED
    while len(asked) == before:
        await asyncio.sleep(0)
    for task in tickets:
        task.cancel()


async def test_after_a_hold_tickets_go_on_at_a_set_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, asleep = 0.0, asyncio.sleep
    endpoint = Endpoint()

    async def sleep(pause_s: float) -> None:
        nonlocal seconds
        pauses.append(pause_s)
        await asleep(0)

    pauses: list[float] = []
    model, _ = waiting_model(endpoint, now=lambda: seconds, resume_per_s=20)
    tickets = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(10)]
    while not model.is_down:
        await asleep(0)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    endpoint.answer = lambda: ANSWERED
    seconds += 1
    await asyncio.gather(*tickets)
    went_on = sorted(pause for pause in pauses if pause >= 0)
    assert went_on == pytest.approx([n / 20 for n in range(10)])


async def test_of_workers_without_answers_one_tries_also_if_no_ticket_of_it_waits() -> None:
    endpoint, others = Endpoint(), Others(are_there=True, leads_in_outage=False)
    rule, clock = OutageRule(trial_every_s=0.01, resume_per_s=10_000), Clock(time.monotonic, lambda: 0)
    model = WaitingModel(
        AskedModel("cheap", endpoint.ask), rule, clock, [].append, [].append, Outlook(), others=lambda: others
    )
    following = asyncio.create_task(model.follow([].append))
    waiting = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(FAILURES)]
    while not model.is_down:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)  # ten trials would be due
    assert endpoint.asked.count("try out") <= 1  # before it was down, the first failure may have led to one
    before = endpoint.asked.count("try out")
    for task in waiting:
        task.cancel()
    endpoint.answer = lambda: ANSWERED
    others = Others(are_there=True)
    while model.is_down:
        await asyncio.sleep(0.01)
    assert endpoint.asked.count("try out") == before + 1
    following.cancel()


@pytest.mark.parametrize("mode", ["hold", "review"])
async def test_a_trial_that_says_to_stop_is_heard_though_no_ticket_comes(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("streams.agents.waiting._LOOK_EVERY_S", 0.01)
    endpoint, stopped = Endpoint(), asyncio.Queue[StopWorker]()
    model, _ = waiting_model(endpoint, mode=mode)
    tickets = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(FAILURES)]
    while not model.is_down:
        await asyncio.sleep(0)
    for task in tickets:
        task.cancel()

    def refused() -> Call:
        raise StopWorker("the key is not taken")

    endpoint.answer = refused
    await model.follow(stopped.put_nowait)
    assert str(stopped.get_nowait()) == "the key is not taken"
    await model.close()


async def test_a_waiting_ticket_tries_once_it_is_this_workers_turn() -> None:
    endpoint, others = Endpoint(), Others(are_there=True, leads_in_outage=False)
    rule, clock = OutageRule(trial_every_s=0.01, resume_per_s=10_000), Clock(time.monotonic, lambda: 0)
    model = WaitingModel(
        AskedModel("cheap", endpoint.ask), rule, clock, [].append, [].append, Outlook(), others=lambda: others
    )
    waiting = [asyncio.create_task(ask(model, f"ticket {n}")) for n in range(FAILURES)]
    while not model.is_down:
        await asyncio.sleep(0)
    endpoint.answer = lambda: ANSWERED
    others = Others()
    assert await asyncio.gather(*waiting) == [ANSWERED] * FAILURES
