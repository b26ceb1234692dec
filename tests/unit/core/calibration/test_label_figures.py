from __future__ import annotations

import pytest

from streams.core.calibration.figures import figures, whatif
from streams.core.calibration.label_figures import confusion, label_figures, top_confusions
from streams.core.calibration.policy_replay import replay
from streams.core.policy.policy import BigRule, CheapRule, Policy
from tests.support.answers import records
from tests.unit.core.calibration.test_figures import POLICY, row

# gold, the cheap answer, the big answer; under POLICY a confidence of 0.8 is accepted
ROWS = [
    row(1, "refund", ("refund", 0.95), ("refund", 0.99)),
    row(2, "refund", ("account", 0.90), ("refund", 0.99)),  # wrong, from the cheap tier
    row(3, "account", ("refund", 0.60), ("account", 0.90)),  # escalated
    row(4, "account", ("refund", 0.60), ("refund", 0.50)),  # escalated, then in review
    row(5, "refund", ("account", 0.85), ("refund", 0.99)),  # wrong again
    row(6, None, ("refund", 0.95), ("refund", 0.95)),  # without a gold label: counts nowhere
]


def test_the_figures_of_each_label_by_hand() -> None:
    found = label_figures(replay(POLICY, ROWS))
    assert list(found) == ["account", "refund"]
    assert found["refund"] == {
        "support": 3,
        "routed": 3,
        "precision": 1.0,
        "recall": pytest.approx(1 / 3),
        "escalation_rate": 0.0,
        "review_rate": 0.0,
    }
    assert found["account"] == {
        "support": 2,
        "routed": 1,
        "precision": pytest.approx(1 / 3),
        "recall": 1.0,
        "escalation_rate": 1.0,
        "review_rate": 0.5,
    }


def test_the_confusion_matrix_has_a_row_and_a_column_for_every_label() -> None:
    matrix = confusion(replay(POLICY, ROWS))
    assert matrix == {"account": {"account": 1, "refund": 0}, "refund": {"account": 2, "refund": 1}}
    assert top_confusions(matrix, 5) == [("refund", "account", 2)]


def test_a_label_that_is_only_ever_answered_has_a_precision_and_no_recall() -> None:
    found = label_figures(replay(POLICY, [row(1, "refund", ("account", 0.95), ("account", 0.99))]))
    assert (found["account"]["support"], found["account"]["precision"], found["account"]["recall"]) == (0, 0.0, None)
    assert (found["refund"]["precision"], found["refund"]["recall"]) == (None, 0.0)


def test_no_tickets_have_no_labels() -> None:
    assert label_figures([]) == confusion([]) == {}
    assert top_confusions({}, 3) == []


def test_the_top_confusions_are_the_most_frequent_errors_and_the_order_is_fixed() -> None:
    matrix = {"a": {"a": 9, "b": 2, "c": 2}, "b": {"a": 3, "b": 0, "c": 0}, "c": {"a": 0, "b": 1, "c": 4}}
    assert top_confusions(matrix, 3) == [("b", "a", 3), ("a", "b", 2), ("a", "c", 2)]


@pytest.mark.parametrize("policy", [Policy(), POLICY, Policy(cheap=CheapRule(), big=BigRule(min_confidence=0.99))])
def test_labels_and_confusions_add_up_to_the_figures_of_all_tickets(policy: Policy) -> None:
    rows = records(300, seed=3)
    whole, found = figures(replay(policy, rows)), whatif(policy, rows)
    labels, matrix = found["labels"], found["confusion"]
    assert sum(one["support"] for one in labels.values()) == whole["labelled"]
    assert sum(one["routed"] for one in labels.values()) == whole["accepted_labelled"]
    counted = sum(count for counts in matrix.values() for count in counts.values())
    assert counted == whole["accepted_labelled"]
    assert counted - sum(matrix[name][name] for name in matrix) == whole["accepted_wrong"]
    assert sum(count for _, _, count in top_confusions(matrix, 100)) == whole["accepted_wrong"]
    for name, one in labels.items():
        assert sum(matrix[name].values()) == one["routed"]
