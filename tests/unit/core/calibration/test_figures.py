from __future__ import annotations

import pytest

from streams.core.calibration.figures import figures, whatif
from streams.core.calibration.policy_replay import replay
from streams.core.calibration.records import Record
from streams.core.policy.policy import BigRule, CheapRule, Policy
from tests.support.answers import answer_of, records
from tests.support.messages import attempt, call, ticket

NAMED = (
    "saving accuracy accuracy_all_cheap accuracy_all_big accepted_error ece review_rate escalation_rate cost_usd "
    "cost_per_correct"
).split()


def row(
    number: int, gold: str | None, cheap: tuple[str, float], big: tuple[str, float], part: str | None = None
) -> Record:
    """A ticket with each tier's (label, confidence); a cheap call costs 1 USD, a big one 10."""
    return Record(
        ticket=ticket(f"t-{number}", label=gold, slice=part),
        cheap=call("cheap", answer_of(*cheap), attempts=(attempt(cost_usd=1.0),)),
        big=call("big", answer_of(*big), attempts=(attempt(cost_usd=10.0),)),
    )


ROWS = [
    row(1, "refund", ("refund", 0.95), ("refund", 0.99), "easy"),
    row(2, "refund", ("account", 0.90), ("refund", 0.99), "easy"),  # accepted from the cheap tier, and wrong
    row(3, "account", ("refund", 0.60), ("account", 0.90), "hard"),  # escalated
    row(4, "account", ("refund", 0.60), ("refund", 0.50), "hard"),  # escalated, then a person
    row(5, None, ("refund", 0.95), ("refund", 0.95)),  # out of scope, and accepted
    row(6, None, ("refund", 0.55), ("refund", 0.40)),
]
POLICY = Policy(cheap=CheapRule(min_confidence=0.8), big=BigRule(min_confidence=0.8))


def test_the_figures_of_a_handful_of_tickets_by_hand() -> None:
    found = figures(replay(POLICY, ROWS))
    assert list(found)[: len(NAMED)] == NAMED
    assert found["saving"] == pytest.approx(1 - 36 / 60)
    assert found["cost_usd"] == pytest.approx(36.0)
    assert found["cost_all_big_usd"] == pytest.approx(60.0)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["accepted_error"] == pytest.approx((1 + 1) / 4)  # the one out of scope is an error
    assert found["accepted_error_in_scope"] == pytest.approx(1 / 3)
    assert found["out_of_scope_share"] == pytest.approx(2 / 6)
    assert found["out_of_scope_routed"] == pytest.approx(1 / 2)
    assert found["out_of_scope_auroc"] == pytest.approx((0.5 + 4) / 8)  # by confidence: there is no novelty
    assert found["accuracy_all_cheap"] == pytest.approx(1 / 3)
    assert found["accuracy_all_big"] == 1.0
    assert found["accuracy_cheap_alone"] == pytest.approx(1 / 4)
    assert found["accuracy_big_alone"] == pytest.approx(3 / 4)
    assert found["review_rate"] == pytest.approx(2 / 6)
    assert found["escalation_rate"] == pytest.approx(3 / 6)
    assert found["cost_per_correct"] == pytest.approx((1 + 1 + 11 + 11) / 2)
    assert found["ece"] == pytest.approx((2 * 0.4 + 0.05) / 3)  # two of 0.90, one of them right
    counts = ("tickets", "labelled", "routed", "routed_cheap", "routed_big", "in_review")
    assert [found[name] for name in counts] == [6, 4, 4, 3, 1, 2]
    assert (found["accepted_labelled"], found["accepted_wrong"], found["accepted_unlabelled"]) == (3, 1, 1)


def test_each_slice_has_figures_of_its_own() -> None:
    found = whatif(POLICY, ROWS)
    assert list(found["slices"]) == ["easy", "hard"]
    assert found["slices"]["easy"]["accuracy"] == 0.5
    assert found["slices"]["hard"]["accuracy"] == 1.0
    assert found["slices"]["hard"]["escalation_rate"] == 1.0
    assert found["slices"]["easy"].keys() == found.keys() - {"slices", "labels", "confusion"}
    assert "slices" not in found["slices"]["easy"]


def test_nothing_accepted_and_nothing_at_all_have_no_accuracy() -> None:
    nobody = Policy(cheap=CheapRule(abstain_entropy=0.0))
    found = figures(replay(nobody, ROWS))
    names = ("accuracy", "accepted_error", "accepted_error_in_scope", "ece", "cost_per_correct")
    assert [found[name] for name in names] == [None] * 5
    assert found["out_of_scope_routed"] == 0.0
    assert found["review_rate"] == 1.0
    assert figures([])["saving"] is None


def test_slices_add_up() -> None:
    found = whatif(Policy(), records(80))
    parts = found["slices"].values()
    for name in ("tickets", "routed", "in_review", "accepted_wrong"):
        assert sum(part[name] for part in parts) == found[name]
    assert sum(part["cost_usd"] for part in parts) == pytest.approx(found["cost_usd"])


def test_the_error_at_another_share_of_tickets_out_of_scope_is_what_such_tickets_would_show() -> None:
    """Twice the tickets in scope are a third less out of scope: counted out, and computed from the fewer."""
    outside, inside = [one for one in ROWS if one.gold is None], [one for one in ROWS if one.gold is not None]
    doubled = figures(replay(POLICY, [*outside, *inside, *inside]))
    assert doubled["out_of_scope_share"] == pytest.approx(0.2)
    found = figures(replay(POLICY, ROWS), 0.2)
    assert found["accepted_error"] == pytest.approx(doubled["accepted_error"])
    assert found["out_of_scope_share"] == 0.2
    assert figures(replay(POLICY, ROWS), 0.0)["accepted_error"] == pytest.approx(1 / 3)
    assert figures(replay(POLICY, ROWS), 1.0)["accepted_error"] == 1.0
    assert figures([], 0.5)["accepted_error"] is None
    assert figures(replay(POLICY, inside), 0.2)["accepted_error"] is None, (
        "nothing says how many of the others are routed"
    )
    assert figures(replay(POLICY, outside), 0.2)["accepted_error"] is None


def test_novelty_tells_in_from_out_of_scope_if_the_records_have_it() -> None:
    def novel(one: Record, novelty: float) -> Record:
        return one.model_copy(update={"cheap": one.cheap.model_copy(update={"novelty": novelty})})

    rows = [novel(one, 0.9 if one.gold is None else 0.2) for one in ROWS]
    assert figures(replay(POLICY, rows))["out_of_scope_auroc"] == 1.0
    assert figures(replay(POLICY, ROWS[:4]))["out_of_scope_auroc"] is None
