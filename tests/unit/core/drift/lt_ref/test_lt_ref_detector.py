"""The reference detector: what it catches, what it lives with, and that a restart changes nothing.

The rates themselves are measured by ``benchmarks.drift``; here every case is small and seeded.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from streams.core.drift.judgement import Alarm, Judgement, Kind, NotEnough, Quiet
from streams.core.drift.lt_ref.fixed_reference import FIRST_FIT, MEMORY, REFITS, FixedReference
from streams.core.drift.lt_ref.lt_ref_detector import LtRefDetector
from streams.core.drift.lt_ref.provisional_reference import ProvisionalReference
from streams.core.drift.row import ProbeRow, Reason
from streams.sandbox.simulated_probes import Endpoint, usable_rows

TWO_MODES = Endpoint(sigma=0.0, mode_rms=0.02, mode_share=0.04)
"""As measured behind a real server: every token takes exactly two values, 0.02 nats apart."""


def judgements(detector: LtRefDetector, rows: list[ProbeRow]) -> list[Judgement]:
    return [detector.update(row) for row in rows]


def alarms(endpoint: Endpoint, n: int, seed: int) -> list[tuple[int, Alarm]]:
    found = judgements(LtRefDetector(), usable_rows(endpoint, n, seed))
    return [(index, judgement) for index, judgement in enumerate(found) if isinstance(judgement, Alarm)]


def test_the_first_decision_follows_a_reference_of_100_rows() -> None:
    found = judgements(LtRefDetector(), usable_rows(Endpoint(), FIRST_FIT + 1, seed=1))
    assert found[:FIRST_FIT] == [NotEnough(n, FIRST_FIT + 1) for n in range(1, FIRST_FIT + 1)]
    assert isinstance(found[FIRST_FIT], Quiet)


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint(rho=0.0),
        Endpoint(rho=0.8, missing=0.05, errors=0.05),
        Endpoint(mode_rms=0.05, mode_share=0.3),
        Endpoint(rho=0.2, sigma=0.001, mode_rms=0.05, mode_share=0.04),
        Endpoint(sigma=0.01, quantum=0.01),
        Endpoint(sigma=0.0),
        TWO_MODES,
    ],
)
def test_a_quiet_endpoint_stays_quiet(endpoint: Endpoint) -> None:
    assert [index for seed in range(2) for index, _ in alarms(endpoint, 600, seed)] == []


@pytest.mark.parametrize(("rho", "at"), [(0.0, 150), (0.5, 150), (0.8, 150), (0.5, 300), (0.8, 300)])
def test_a_change_of_a_twentieth_of_a_logit_is_caught_at_once(rho: float, at: int) -> None:
    delays = []
    for seed in range(6):
        found = [index for index, _ in alarms(Endpoint(rho=rho, change_at=at), at + 72, 100 + seed) if index >= at]
        delays += [index - at for index in found[:1]]
    assert len(delays) == 6
    assert statistics.median(delays) <= 4


@pytest.mark.parametrize("rms", [0.063, 0.087, 0.096, 0.62])
@pytest.mark.parametrize("at", [120, 180, 400])
def test_real_changes_behind_two_serving_modes_are_caught(rms: float, at: int) -> None:
    for seed in range(2):
        [(index, alarm)] = alarms(replace(TWO_MODES, change_at=at, change_rms=rms), at + 24, seed)
        assert at <= index < at + 24
        assert alarm.kind is Kind.CHANGE


def test_four_real_changes_150_rows_apart_are_four_alarms() -> None:
    rows = usable_rows(TWO_MODES, 200, seed=1)
    for rms in (0.087, 0.62, 0.096, 0.04):
        rows += usable_rows(replace(TWO_MODES, change_at=0, change_rms=rms), 150, seed=1)
    found = [index for index, judgement in enumerate(judgements(LtRefDetector(), rows)) if isinstance(judgement, Alarm)]
    assert [index // 10 * 10 for index in found] == [200, 350, 500, 650]


def test_one_or_two_outliers_are_no_change_and_three_alike_are() -> None:
    rows = usable_rows(Endpoint(rho=0.0), 200, seed=3)
    strange = usable_rows(Endpoint(rho=0.0, change_at=0, change_rms=5.0), 1, seed=3)[0]
    for count in (1, 2, 3):
        series = rows[:140] + [strange] * count + rows[140:]
        found = judgements(LtRefDetector(), series)
        at = [index for index, judgement in enumerate(found) if isinstance(judgement, Alarm)]
        assert at == ([142] if count == 3 else [])


def test_a_glitch_leaves_the_reference_as_it_was() -> None:
    rows = usable_rows(Endpoint(rho=0.0, change_at=0, change_rms=1.0), 6, seed=3)
    quiet = usable_rows(Endpoint(rho=0.0), 400, seed=3)
    found = judgements(LtRefDetector(), quiet[:210] + rows + quiet[210:])
    assert sum(isinstance(judgement, Alarm) for judgement in found) == 1
    assert not any(isinstance(judgement, NotEnough) for judgement in found[FIRST_FIT:])


def test_after_a_change_a_new_reference_is_collected_and_the_next_change_found() -> None:
    first = usable_rows(Endpoint(change_at=150, change_rms=0.3), 300, seed=5)
    second = usable_rows(Endpoint(change_at=0, change_rms=0.6), 60, seed=5)
    found = judgements(LtRefDetector(), first + second)
    at = [index for index, judgement in enumerate(found) if isinstance(judgement, Alarm)]
    assert len(at) == 2
    assert 150 <= at[0] < 160
    assert 300 <= at[1] < 310
    assert not any(isinstance(judgement, NotEnough) for judgement in found[FIRST_FIT:])


@pytest.mark.parametrize("endpoint", [Endpoint(rho=0.0), Endpoint(rho=0.8), TWO_MODES, Endpoint(k=5)])
def test_a_second_change_forty_rows_after_the_first_is_caught_at_once(endpoint: Endpoint) -> None:
    twice = replace(endpoint, change_at=150, change_rms=0.1, second_at=190, second_rms=0.1)
    for seed in range(2):
        at = [index for index, _ in alarms(twice, 230, seed)]
        assert len(at) == 2
        assert 150 <= at[0] < 160
        assert 190 <= at[1] < 200


def test_a_few_rows_after_an_alarm_the_next_change_is_seen() -> None:
    twice = Endpoint(rho=0.0, change_at=150, change_rms=0.5, second_at=158, second_rms=0.5)
    assert [index for index, _ in alarms(twice, 200, seed=1)] == [152, 160]


@pytest.mark.parametrize("endpoint", [Endpoint(rho=0.0), Endpoint(), TWO_MODES, Endpoint(k=5)])
def test_a_return_is_named_with_the_reference_that_it_matches(endpoint: Endpoint) -> None:
    swapping = replace(endpoint, change_at=150, change_rms=0.1, swap_every=40)
    (first, change), (at, alarm) = alarms(swapping, 214, seed=1)
    assert (change.kind, alarm.kind) == (Kind.CHANGE, Kind.RETURNED)
    assert change.matched is None
    assert 150 <= first < 160
    assert 190 <= at < 200
    assert alarm.matched is not None
    assert alarm.matched.first == 0
    assert alarm.matched.last < 150 * 3600
    assert alarm.before is not None
    assert alarm.after is not None
    assert 150 * 3600 <= alarm.before.first < alarm.after.first <= 190 * 3600


def test_two_models_that_alternate_are_named_once_with_the_dates() -> None:
    swapping = Endpoint(change_at=150, change_rms=0.1, swap_every=40)
    *_, (at, alarm) = found = alarms(swapping, 600, seed=1)
    assert [each.kind for _, each in found] == [Kind.CHANGE, Kind.RETURNED, Kind.ALTERNATING]
    assert 230 <= at < 240
    assert alarm.swaps == (150 * 3600, 190 * 3600, 230 * 3600)
    assert alarm.matched is not None
    assert alarm.matched.first == 150 * 3600


def test_a_third_model_is_a_change_though_two_alternate() -> None:
    rows = usable_rows(Endpoint(change_at=150, change_rms=0.1, swap_every=40), 320, seed=1)
    rows += usable_rows(Endpoint(change_at=0, change_rms=0.5), 40, seed=1)
    found = [judgement.kind for judgement in judgements(LtRefDetector(), rows) if isinstance(judgement, Alarm)]
    assert found == [Kind.CHANGE, Kind.RETURNED, Kind.ALTERNATING, Kind.CHANGE]


def test_a_swap_within_a_trial_counts_as_a_return_and_is_no_alarm() -> None:
    swapping = Endpoint(rho=0.0, change_at=150, change_rms=0.3, swap_every=14)
    found = alarms(swapping, 300, seed=1)
    assert [(index, each.kind) for index, each in found] == [(152, Kind.CHANGE), (180, Kind.ALTERNATING)]


def test_a_return_is_named_after_k_has_changed() -> None:
    swapping = Endpoint(rho=0.0, change_at=150, change_rms=0.3, swap_every=90, k_at=190)
    assert [each.kind for _, each in alarms(swapping, 260, seed=1)] == [Kind.CHANGE, Kind.RETURNED]


@pytest.mark.parametrize("ramp", [10, 30])
def test_what_settles_slowly_after_a_change_is_alarmed_once(ramp: int) -> None:
    for seed in range(3):
        assert len(alarms(Endpoint(change_at=150, change_rms=0.3, ramp=ramp), 400, seed)) == 1


def test_a_noisier_model_after_a_change_is_alarmed_once() -> None:
    rows = usable_rows(Endpoint(sigma=0.005), 150, seed=1)
    rows += usable_rows(Endpoint(sigma=0.05, change_at=0, change_rms=0.6), 98, seed=1)
    found = judgements(LtRefDetector(), rows)
    assert [150 <= index < 160 for index, one in enumerate(found) if isinstance(one, Alarm)] == [True]


def test_slow_movement_is_named_drift_and_sudden_movement_change() -> None:
    kinds = {
        ramp: [
            next(alarm for index, alarm in alarms(Endpoint(change_at=150, change_rms=0.3, ramp=ramp), 400, seed)).kind
            for seed in range(4)
        ]
        for ramp in (1, 150)
    }
    assert kinds[1].count(Kind.CHANGE) == 4
    assert kinds[150].count(Kind.DRIFT) >= 3


def test_an_alarm_holds_both_windows_and_the_tokens_that_moved() -> None:
    [(index, alarm)] = alarms(Endpoint(rho=0.0, change_at=180, change_rms=1.0), 200, seed=2)
    assert alarm.before is not None
    assert alarm.after is not None
    assert alarm.before.n >= FIRST_FIT
    assert alarm.after.first == 180 * 3600
    assert alarm.after.last == index * 3600
    assert alarm.score == pytest.approx(alarm.statistic / alarm.threshold)
    assert alarm.score > 1.0
    assert len(alarm.moved) == 5
    assert max(abs(moved.after - moved.before) for moved in alarm.moved) > 0.5


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint(k_at=160), Endpoint(k=5, k_at=160, k_after=20), Endpoint(k_at=60), Endpoint(k_at=160, sigma=0.0)],
)
def test_another_k_is_no_change_of_the_model(endpoint: Endpoint) -> None:
    """Noise may raise an alarm, at the rate that is aimed at; then it does so without a change of k, too."""
    short, quiet = replace(endpoint, k=5, k_at=None), 0
    for seed in range(3):
        found = [index for index, _ in alarms(endpoint, 300, seed)]
        assert found == [index for index, _ in alarms(short, 300, seed)]
        quiet += not found
    assert quiet >= 2


def test_rows_shorter_than_the_reference_are_no_samples_until_the_new_k_has_settled() -> None:
    found = judgements(LtRefDetector(), usable_rows(Endpoint(k_at=160), 170, seed=1))
    short = [(found[index].reason, found[index].facts.at) for index in (160, 161)]  # type: ignore[union-attr]
    assert short == [(Reason.FEW_TOKENS, 160 * 3600), (Reason.FEW_TOKENS, 161 * 3600)]
    assert all(isinstance(judgement, Quiet) for judgement in found[162:])


def test_a_change_is_found_at_the_smaller_k() -> None:
    endpoint = Endpoint(k_at=160, change_at=220, change_rms=0.2)
    for seed in (0, 2, 3):
        assert [220 <= index < 230 for index, _ in alarms(endpoint, 260, seed)] == [True]


def test_memory_is_bounded() -> None:
    detector = LtRefDetector()
    for index, row in enumerate(usable_rows(Endpoint(rho=0.0, change_at=600, change_rms=0.3), 1200, seed=1)):
        detector.update(row)
        if index > 400:
            reference = detector._reference
            assert reference is not None
            assert len(reference.rows) <= REFITS[-1]
            if isinstance(reference, ProvisionalReference):
                assert len(reference.noise) <= REFITS[-1]
            else:
                assert len(reference.recent) <= MEMORY


def test_rows_of_a_thousand_tokens_cost_no_more_than_their_first_twenty() -> None:
    detector = LtRefDetector()
    for row in usable_rows(Endpoint(vocabulary=1000, k=1000), 110, seed=1):
        detector.update(row)
    assert isinstance(detector._reference, FixedReference)
    assert detector._reference._average.shape == (21,)
