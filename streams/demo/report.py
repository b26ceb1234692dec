"""The figures of a run, from its account and the two baselines. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.demo.account import Account
from streams.demo.baseline import Baseline


def report(account: Account, cheap: Baseline, big: Baseline, seconds: float) -> dict[str, Any]:
    """Return the report; None for an accuracy of no ticket, and for a cost that is unknown.

    Shares are of all tickets, accuracies of the routed tickets that have a label; ``accuracy_*_alone`` of all that have
    one, and ``accuracy_kept`` is ``accuracy`` over ``accuracy_all_big``.
    """
    labelled = {
        key: ticket.label for key, ticket in account.tickets.items() if ticket is not None and ticket.label is not None
    }
    gold = {key: label for key, label in labelled.items() if key in account.routed}
    accuracy = _accuracy(gold, {key: account.routed[key].label for key in gold})
    all_big = _accuracy(gold, big.labels)
    tickets = len(account.tickets)
    cost = account.cost_usd
    return {
        "tickets": tickets,
        "routed": len(account.routed.keys() & account.tickets.keys()),
        "in_review": len(account.in_review & account.tickets.keys()),
        "dead_letters": len(account.dead.keys() & account.tickets.keys()),
        "lost": account.lost,
        "duplicates": account.duplicates,
        "unscored_accepts": account.unscored_accepts,
        "memory_accepts": account.memory_accepts,
        "labelled": len(labelled),
        "routed_labelled": len(gold),
        "accuracy": accuracy,
        "accepted_error": _accepted_error(gold, account),
        "accuracy_all_cheap": _accuracy(gold, cheap.labels),
        "accuracy_all_big": all_big,
        "accuracy_kept": accuracy / all_big if accuracy is not None and all_big else None,
        "accuracy_cheap_alone": _accuracy(labelled, cheap.labels),
        "accuracy_big_alone": _accuracy(labelled, big.labels),
        "cost_usd": cost,
        "cost_all_cheap_usd": cheap.cost_usd,
        "cost_all_big_usd": big.cost_usd,
        "saving": 1 - cost / big.cost_usd if big.cost_usd and cost is not None else None,
        "escalation_rate": len(account.escalated) / tickets if tickets else 0.0,
        "review_rate": len(account.in_review) / tickets if tickets else 0.0,
        "seconds": seconds,
        "tickets_per_second": tickets / seconds if seconds else None,
        "redelivered": account.redelivered,
        "rows": len(account.rows),
        "refused_rows": account.refused,
        "none_of_these": sum(routed.label is None for routed in account.routed.values()),
        "out_of_scope": _out_of_scope(account),
        "dead_letter_reasons": _counts([letter.reason for letter in account.dead.values()]),
        "alerts": _counts([alert.kind for alert in account.alerts.values()]),
        "escalations_over_budget": account.over_budget,
    }


def _accuracy(gold: Mapping[str, str], answers: Mapping[str, str | None]) -> float | None:
    return sum(answers[key] == label for key, label in gold.items()) / len(gold) if gold else None


def _accepted_error(gold: Mapping[str, str], account: Account) -> float | None:
    """Return the share of errors among the routed tickets: another label than the gold one, or out of scope."""
    outside = _out_of_scope(account)["routed"]
    wrong = sum(account.routed[key].label != label for key, label in gold.items())
    return (wrong + outside) / (len(gold) + outside) if gold or outside else None


def _out_of_scope(account: Account) -> dict[str, int]:
    """Where the tickets without a label ended; a reviewer is the right end."""
    keys = [key for key, ticket in account.tickets.items() if ticket is not None and ticket.label is None]
    return {
        "tickets": len(keys),
        "in_review": sum(key in account.in_review for key in keys),
        "routed": sum(key in account.routed for key in keys),
    }


def _counts(names: list[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}
