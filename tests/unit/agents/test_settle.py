"""The result that counts stands last on the topic, whatever came after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from schemas import Routed, rank
from streams.agents.settle import Forgotten, SettleHandler
from tests.support.messages import routed

PLACE = ("routed", 0)


class Topic:
    """What was on the topic, in order."""

    def __init__(self, *results: Routed | Forgotten) -> None:
        self.results = results

    async def __call__(self, before: Mapping[tuple[str, int], int], limit: int) -> AsyncIterator[Routed | Forgotten]:
        for result in self.results[max(0, before[PLACE] - limit) : before[PLACE]]:
            yield result


def human(ticket_id: str = "t", **changes: int) -> Routed:
    return routed(ticket_id, label="account", decided_by="human", decision=1, **changes)


def test_what_counts_less_is_followed_by_what_counts() -> None:
    settle = SettleHandler(100, Topic())
    assert settle(routed("t")) == ()
    assert settle(human()) == ()
    assert settle(routed("t")) == (human(),)
    assert settle(human()) == (), "its own message changes nothing"
    assert settle(routed("other")) == ()


def test_a_later_text_counts_more_than_a_decision_on_an_earlier_one() -> None:
    settle = SettleHandler(100, Topic())
    later = routed("t", revision=2)
    assert settle(later) == ()
    assert settle(human(revision=1)) == (later,)
    assert settle.turn_of("t") == (2, 0)
    assert settle.turn_of("stranger") is None


def test_of_equals_the_last_one_stands() -> None:
    settle = SettleHandler(100, Topic())
    for label in ("refund", "account"):
        assert settle(routed("t", label=label, revision=1)) == ()
    assert settle(routed("t")) == (routed("t", label="account", revision=1),)


async def test_a_restart_knows_what_stood_before() -> None:
    settle = SettleHandler(100, Topic(human(), routed("t")))
    await settle.catch_up({PLACE: 1})
    assert settle(routed("t")) == (human(),)
    settle.forget()
    assert settle(routed("t")) == ()


def test_what_is_forgotten_is_not_written_again() -> None:
    settle = SettleHandler(100, Topic())
    settle(human("t"))
    settle(human("other"))
    assert settle(Forgotten("t")) == ()
    assert settle.turn_of("t") is None
    assert settle(routed("t")) == (), "it counts, as there is nothing else"
    assert settle(routed("other")) == (human("other"),)


async def test_a_restart_knows_what_was_forgotten() -> None:
    settle = SettleHandler(100, Topic(human("t"), Forgotten("t"), human("other")))
    await settle.catch_up({PLACE: 3})
    assert (settle(routed("t")), settle(routed("other"))) == ((), (human("other"),))


def test_the_memory_is_bounded_and_whole_results_are_kept_of_the_last_tenth() -> None:
    settle = SettleHandler(100, Topic())
    for number in range(1000):
        settle(human(f"t-{number}"))
    assert settle.turn_of("t-999") == (0, 0)
    assert settle.turn_of("t-0") is None
    assert sum(settle.turn_of(f"t-{number}") is not None for number in range(1000)) <= 100
    assert settle(routed("t-999")) == (human("t-999"),)
    assert settle(routed("t-960")) == ()
    assert rank(human()) > rank(routed())
