"""Every combination of thresholds at once: what it accepts, gets wrong, sends to reviewers and costs.

A proposal, not a proof: `select` takes the promising ones from here and tests them on other records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from schemas import Call, Scored
from streams.core.calibration.records import Record
from streams.core.policy.calibration_map import CalibrationMap
from streams.core.policy.policy import BigRule, CheapRule, Policy, decide_memory, evidence, objection
from streams.errors import SettingsError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# How finely each threshold is searched: quantiles of what the records show.
_CHEAP_CONFIDENCE = np.linspace(0.0, 0.98, 60)
_CHEAP_ENTROPY = (0.6, 0.8)
_ABSTAIN = np.concatenate((np.linspace(0.5, 0.7, 6), np.linspace(0.72, 0.99, 28)))
_CHARS = (0.5, 0.75, 0.9)
_BIG_CONFIDENCE = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3)
_BIG_ENTROPY = (0.8, 0.95)
_DISAGREEMENT = (0.4, 0.6, 0.75, 0.9)
#: The last is the most novel ticket in scope: what is more novel is like nothing that was seen, and costs no second call.
_NOVELTY = (0.8, 0.86, 0.9, 0.93, 0.95, 0.97, 0.985, 1.0)
#: Of the neighbours' votes: more than half of them under one other label.
_OBJECTIONS = (None, 0.5)
#: No answer is accepted that is likelier wrong than right: what the records hold none of, such as tickets that fit no
#: label, shows in doubts like that.
_LEAST = 0.5
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Sweep:
    """The figures of every pair of a cheap rule (rows) and a big rule (columns).

    Counts of tickets: ``accepted``, ``wrong``, ``out_of_scope`` of the wrong ones, and ``big_wrong`` if the big model
    alone would be wrong on the accepted ones: a ticket out of scope is wrong under any label. ``lost`` are the accepted
    answers of the cheap tier that are wrong while the big one is right, ``won`` the other way round. ``review`` is what
    is not accepted, ``cost_usd`` is what all of them cost, and ``outside_usd`` what those out of scope cost. ``lost`` and
    ``won`` have one dimension.
    """

    cheap: tuple[CheapRule, ...]
    big: tuple[BigRule, ...]
    accepted: Floats
    wrong: Floats
    out_of_scope: Floats
    big_wrong: Floats
    lost: Floats
    won: Floats
    review: Floats
    cost_usd: Floats
    outside_usd: Floats

    def saving(self, records: Sequence[Record], share: float | None = None) -> Floats:
        """Return what each pair saves against asking the big model about every one of the records swept.

        With a ``share`` (0 to 1, not 1): what it would save if that share of the tickets were out of scope.
        """
        inside, outside = (_costs([one.big for one in records if (one.gold is None) is out]) for out in (False, True))
        weight = 1.0
        if share is not None and inside and outside:
            weight = share / (1 - share) * len(inside) / len(outside)
        all_big = sum(inside) + weight * sum(outside)
        cost = self.cost_usd + (weight - 1) * self.outside_usd
        return 1 - cost / all_big if all_big else np.zeros_like(cost)


def sweep(records: Sequence[Record], policy: Policy) -> Sweep:
    """Try all thresholds on the records; ``policy`` gives what is not searched: basis, maps, memory, least covered mass."""
    alone = [decide_memory(policy, record.ticket.ticket_id, record.near) for record in records]
    answered = [(known.label, record) for known, record in zip(alone, records, strict=True) if known is not None]
    asked_about = [record for known, record in zip(alone, records, strict=True) if known is None]
    columns = _Columns(asked_about, policy)
    cheap_rules, big_rules = _cheap_rules(columns), _big_rules(columns)
    after_cheap = np.array([columns.big_accepts(rule, after_cheap=True) for rule in big_rules])
    straight = np.array([columns.big_accepts(rule, after_cheap=False) for rule in big_rules])
    asked = np.array([columns.big_cost * (columns.novelty <= _limit(rule.max_novelty)) for rule in big_rules])
    parts = [
        _figures(columns, cheap_rules[start : start + _CHUNK], after_cheap, straight, asked)
        for start in range(0, len(cheap_rules), _CHUNK)
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name, count in _of_memory(answered).items():
        joined[name] += count
    return Sweep(cheap=cheap_rules, big=big_rules, **joined)


def _of_memory(answered: Sequence[tuple[str, Record]]) -> dict[str, int]:
    """Count the tickets that the memory answers without a call, whatever the rules of the tiers are."""
    rows = [(label == one.gold, one.gold is not None and one.big.signal.label == one.gold) for label, one in answered]
    return {
        "accepted": len(rows),
        "wrong": sum(not right for right, _ in rows),
        "out_of_scope": sum(one.gold is None for _, one in answered),
        "big_wrong": sum(not big for _, big in rows),
        "lost": sum(big and not right for right, big in rows),
        "won": sum(right and not big for right, big in rows),
    }


def _costs(calls: Sequence[Call]) -> list[float]:
    """Return what each call cost, USD; raises SettingsError if that is unknown: the cheapest rules cannot be found then."""
    costs = []
    for call in calls:
        if call.cost_usd is None:
            raise SettingsError(
                f"the records hold calls of {call.model_asked} at an unknown cost: set input_usd_per_million and "
                f"output_usd_per_million of the {call.tier} tier, and evaluate again"
            )
        costs.append(call.cost_usd)
    return costs


class _Columns:
    """The records as arrays, and each rule as the tickets that it takes."""

    def __init__(self, records: Sequence[Record], policy: Policy) -> None:
        calibration = policy.calibration
        cheap = [_numbers(record.cheap, policy, calibration.cheap) for record in records]
        big = [_numbers(record.big, policy, calibration.big) for record in records]
        self.cheap_confidence, self.cheap_entropy, self.cheap_usable = _arrays(cheap)
        self.big_confidence, self.big_entropy, self.big_usable = _arrays(big)
        self.cheap_scored = np.array([isinstance(record.cheap.signal, Scored) for record in records])
        named = [(record.cheap.signal.label, record.big.signal.label) for record in records]
        self.differ = np.array([cheap is not None and cheap != big for cheap, big in named])
        gold = [record.gold for record in records]
        #: Out of scope: whatever label is routed, it is wrong.
        self.outside = np.array([label is None for label in gold])
        self.cheap_wrong = self.outside | np.array([one[0] != label for one, label in zip(named, gold, strict=True)])
        self.big_wrong = self.outside | np.array([one[1] != label for one, label in zip(named, gold, strict=True)])
        self.cheap_cost = np.array(_costs([record.cheap for record in records]))
        self.big_cost = np.array(_costs([record.big for record in records]))
        novelties = [record.cheap.novelty for record in records]
        self.has_novelty = any(novelty is not None for novelty in novelties)
        self.novelty = np.array([math.inf if novelty is None else novelty for novelty in novelties])
        self.cheap_objection = np.array([objection(record.cheap.signal.label, record.cheap) for record in records])
        self.big_objection = np.array([objection(record.big.signal.label, record.big) for record in records])
        self.chars = np.array([len(record.ticket.text) for record in records])
        spread = [len(call.signal.label_probs) for call in _calls(records) if isinstance(call.signal, Scored)]
        #: No entropy over the labels reaches it: a limit that is switched off.
        self.ceiling = math.ceil(100 * math.log(max(spread, default=2)) + 1) / 100

    def cheap_takes(self, rules: Sequence[CheapRule]) -> tuple[Bools, Bools, Bools]:
        """Return (accepted, sent to review, sent straight to the big tier), a row for each rule.

        What is in none of them is escalated.
        """
        limits = np.array(
            [
                (
                    _limit(rule.max_chars),
                    _limit(rule.abstain_entropy),
                    rule.min_confidence,
                    rule.max_entropy,
                    _limit(rule.max_novelty),
                    _limit(rule.neighbours_disagree),
                )
                for rule in rules
            ]
        )
        most, doubt, least, limit, novel, objecting = (limits[:, [place]] for place in range(6))
        straight = self.chars > most
        abstained = ~straight & self.cheap_scored & (self.cheap_entropy >= doubt)
        sure = self.cheap_usable & (self.cheap_confidence >= least) & (self.cheap_entropy < limit)
        sure &= (self.novelty <= novel) & (self.cheap_objection < objecting)
        return sure & ~straight & ~abstained, abstained, straight

    def big_accepts(self, rule: BigRule, *, after_cheap: bool) -> Bools:
        """Return which answers of the big tier are accepted, after the cheap tier was asked or without it."""
        accepts = (
            self.big_usable & (self.big_confidence >= rule.min_confidence) & (self.big_entropy <= rule.max_entropy)
        )
        accepts &= (self.novelty <= _limit(rule.max_novelty)) & (self.big_objection < _limit(rule.neighbours_disagree))
        return accepts & ~(self.differ & (self.big_entropy >= rule.disagreement_entropy)) if after_cheap else accepts


def _limit(value: float | None) -> float:
    return math.inf if value is None else value


def _figures(
    columns: _Columns, rules: Sequence[CheapRule], after_cheap: Bools, straight: Bools, asked: Floats
) -> dict[str, Floats]:
    """Count by matrix products: rows are cheap rules, columns big rules, summed over tickets.

    ``asked`` is what the big tier costs for each ticket after the cheap one, under each big rule.
    """
    accepted, abstained, skipped = columns.cheap_takes(rules)
    escalated = ~accepted & ~abstained & ~skipped

    def count(weight: Bools) -> Floats:
        sums = escalated.astype(np.float32) @ (after_cheap & weight).T.astype(np.float32)
        if skipped.any():
            sums = sums + skipped.astype(np.float32) @ (straight & weight).T.astype(np.float32)
        return np.asarray(sums, dtype=np.float64)

    outside, wrong, big_wrong = columns.outside, columns.cheap_wrong, columns.big_wrong
    by_big, wrong_by_big = count(np.ones_like(outside)), count(big_wrong)
    outside_by_big = count(outside) if outside.any() else np.zeros_like(by_big)
    return {
        "accepted": by_big + accepted.sum(axis=1)[:, None],
        "wrong": wrong_by_big + (accepted & wrong).sum(axis=1)[:, None],
        "out_of_scope": outside_by_big + (accepted & outside).sum(axis=1)[:, None],
        "big_wrong": wrong_by_big + (accepted & big_wrong).sum(axis=1)[:, None],
        "lost": (accepted & wrong & ~big_wrong).sum(axis=1).astype(np.float64),
        "won": (accepted & ~wrong & big_wrong).sum(axis=1).astype(np.float64),
        "review": len(outside) - accepted.sum(axis=1)[:, None] - by_big,
        "cost_usd": _cost(columns, skipped, escalated, asked, np.ones_like(outside)),
        "outside_usd": _cost(columns, skipped, escalated, asked, outside),
    }


def _cost(columns: _Columns, skipped: Bools, escalated: Bools, asked: Floats, which: Bools) -> Floats:
    """Return what these of the tickets cost under each pair of rules, USD."""
    first = (~skipped)[:, which] @ columns.cheap_cost[which] + skipped[:, which] @ columns.big_cost[which]
    return np.asarray(first[:, None] + escalated[:, which] @ asked[:, which].T)


def _cheap_rules(columns: _Columns) -> tuple[CheapRule, ...]:
    confidences = _likely(_floors(columns.cheap_confidence[columns.cheap_usable], _CHEAP_CONFIDENCE))
    entropy = columns.cheap_entropy[columns.cheap_usable]
    limits = [*_ceilings(entropy, _CHEAP_ENTROPY), columns.ceiling]
    abstain = [None, *_ceilings(entropy, _ABSTAIN)]
    chars = [None, *sorted({int(x) for x in np.quantile(columns.chars, _CHARS)})]
    # Without the straight-to-big rule in full; with it on a coarser grid, because each of its limits multiplies all.
    novelties = _novelties(columns)
    widest = novelties[-1:]
    pairs: list[tuple[int | None, float, float, float | None, float | None, float | None]] = [
        *product((None,), confidences, limits, abstain, widest, (None,)),
        *product(chars[1:], confidences[::3], limits[-1:], abstain[::2], widest, (None,)),
    ]
    if columns.has_novelty:
        pairs += product((None,), confidences[::3], limits[-1:], abstain[::3], novelties[:-1], _OBJECTIONS)
    return tuple(
        CheapRule(
            max_chars=most,
            min_confidence=least,
            min_confidence_two_labels=least,
            max_entropy=limit,
            abstain_entropy=above,
            max_novelty=novelty,
            neighbours_disagree=share,
        )
        for most, least, limit, above, novelty, share in pairs
        # Under an abstention at a lower entropy, a limit of acceptance changes nothing.
        if above is None or limit <= above or limit == columns.ceiling
    )


def _big_rules(columns: _Columns) -> tuple[BigRule, ...]:
    usable = columns.big_usable
    confidences = _likely(_floors(columns.big_confidence[usable], _BIG_CONFIDENCE))
    entropy = columns.big_entropy[usable]
    limits = [*_ceilings(entropy, _BIG_ENTROPY), columns.ceiling]
    differing = columns.big_entropy[usable & columns.differ]
    disagreement = [*_ceilings(differing, _DISAGREEMENT), columns.ceiling]
    novelties = _novelties(columns)
    found: list[tuple[float, float, float, float | None, float | None]] = list(
        product(confidences, limits, disagreement, novelties[-1:], (None,))
    )
    if columns.has_novelty:
        found += product(confidences[::2], limits[-1:], disagreement[::2], novelties[:-1], _OBJECTIONS)
    return tuple(
        BigRule(
            min_confidence=least,
            min_confidence_two_labels=least,
            max_entropy=limit,
            disagreement_entropy=differ,
            max_novelty=novelty,
            neighbours_disagree=share,
        )
        for least, limit, differ, novelty, share in found
    )


def _novelties(columns: _Columns) -> list[float | None]:
    """Return limits of novelty, the widest last: quantiles of what the tickets in scope show; without a memory none."""
    known = columns.novelty[~columns.outside & np.isfinite(columns.novelty)]
    return list(_ceilings(known, _NOVELTY)) or [None]


def _floors(values: Floats, shares: Sequence[float] | Floats) -> list[float]:
    """Return these quantiles, rounded down to four digits, each once."""
    return sorted({math.floor(x * 1e4) / 1e4 for x in np.quantile(values, shares).tolist()}) if len(values) else [0.0]


def _likely(confidences: list[float]) -> list[float]:
    return [_LEAST, *(x for x in confidences if x > _LEAST)]


def _ceilings(values: Floats, shares: Sequence[float] | Floats) -> list[float]:
    """Return these quantiles, rounded up to four digits, each once."""
    return sorted({math.ceil(x * 1e4) / 1e4 for x in np.quantile(values, shares).tolist()}) if len(values) else []


def _calls(records: Sequence[Record]) -> list[Call]:
    return [call for record in records for call in (record.cheap, record.big)]


def _numbers(call: Call, policy: Policy, calibration: CalibrationMap | None) -> tuple[float, float, bool]:
    signal = call.signal
    if not isinstance(signal, Scored):
        return 0.0, 0.0, False
    known = evidence(call, signal, policy.basis)
    mapped = known.confidence if calibration is None else calibration.probability(known)
    return mapped, known.entropy, signal.top_k_mass >= policy.min_top_k_mass


def _arrays(rows: list[tuple[float, float, bool]]) -> tuple[Floats, Floats, Bools]:
    confidence, entropy, usable = zip(*rows, strict=True)
    return np.array(confidence), np.array(entropy), np.array(usable, dtype=bool)
