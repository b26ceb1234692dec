"""One endpoint's monitor, stored rows replayed, and the two-sample test of two files."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from schemas import Probe
from streams.core.drift import DETECTORS, EndpointMonitor, Reason, Replay, Unusable, replay, two_sample_test
from streams.core.drift.detector import Detector
from streams.core.drift.judgement import Alarm, Kind, Quiet
from streams.core.drift.row import ProbeRow, read_row
from streams.core.drift.series import ProbeWatch
from streams.errors import SettingsError
from streams.sandbox.simulated_probes import Endpoint, probe_rows
from tests.support.probes import HOUR_MS, probes

Row = dict[str, Any]

BAD: list[tuple[Reason, Row]] = [
    (Reason.NOT_FINITE, {"logprobs": {"token0": math.nan}}),
    (Reason.POSITIVE, {"logprobs": {"token0": 3.0}}),
    (Reason.TOO_MANY_TOKENS, {"logprobs": {f"x{n}": -9.0 for n in range(10_000)}}),
    (Reason.CLOCK_BACK, {"at": -5, "logprobs": {f"x{n}": -3.0 - n for n in range(20)}}),
    (Reason.ERROR, {"error": "503"}),
    (Reason.MALFORMED, {"logprobs": 7}),
]


def kinds(rows: list[Row], detector: str) -> list[tuple[int, str]]:
    return [(alarm["index"], alarm["kind"]) for alarm in replay(map(read_row, rows), detector)]


@pytest.mark.parametrize("detector", sorted(DETECTORS))
def test_bad_rows_are_counted_named_and_never_a_change(detector: str) -> None:
    rows = probe_rows(Endpoint(rho=0.0), 330, seed=1, name="e")
    mixed: list[object] = []
    for index, row in enumerate(rows):
        mixed.append(row)
        mixed.append({"endpoint": "e", "at": row["at"]} | BAD[index % len(BAD)][1])
    monitor = EndpointMonitor(detector)
    observed = [monitor.update(read_row(row)) for row in mixed]
    assert [alarm for observation in observed for alarm in observation.alarms] == []
    assert monitor.unusable[Reason.CLOCK_BACK] == 55
    for reason, _ in BAD:
        assert monitor.unusable[reason] == 55
    judgement = observed[1].judgement
    assert isinstance(judgement, Unusable)
    assert (judgement.reason, judgement.facts.at) == (Reason.NOT_FINITE, rows[0]["at"])


def test_a_clock_set_back_costs_one_row_and_one_row_from_the_future_does_too() -> None:
    row = {"logprobs": {"a": -1.0}}
    monitor = EndpointMonitor("lt")
    judgements = [monitor.update(read_row(row | {"at": at})).judgement for at in (10, 11, 3, 4, 5, 9999, 6, 7, 7)]
    assert [isinstance(judgement, Unusable) for judgement in judgements] == [
        False,
        False,
        True,
        *[False] * 3,
        True,
        False,
        False,
    ]
    assert monitor.unusable == {Reason.CLOCK_BACK: 2}


@pytest.mark.parametrize("detector", sorted(DETECTORS))
def test_a_shrinking_k_is_named_once_and_is_no_change(detector: str) -> None:
    for seed in range(3):
        rows = probe_rows(Endpoint(k_at=200, missing=0.05, errors=0.05), 420, seed)
        [(index, kind)] = kinds(rows, detector)
        assert kind == "k_change"
        assert 202 <= index <= 215


def test_logprobs_that_stay_away_are_one_alarm() -> None:
    rows = probe_rows(Endpoint(), 150, seed=1)
    for row in rows[120:140]:
        row["logprobs"] = None
    assert kinds(rows, "lt-ref") == [(124, "missing")]


def test_the_index_counts_every_row_of_its_endpoint() -> None:
    rows = probe_rows(Endpoint(change_at=260, change_rms=3.0, missing=0.1), 400, seed=2, name="a")
    other = probe_rows(Endpoint(), 400, seed=3, name="b")
    mixed = [row for pair in zip(rows, other, strict=True) for row in pair]
    for detector in DETECTORS:
        alone, together = list(replay(map(read_row, rows), detector)), list(replay(map(read_row, mixed), detector))
        assert together == alone
        [alarm] = together
        assert list(alarm) == ["endpoint", "index", "at", "detector", "kind", "statistic", "score"]
        assert (alarm["endpoint"], alarm["detector"], alarm["kind"]) == ("a", detector, "change")
        assert 260 <= alarm["index"] <= 290
        assert alarm["at"] == rows[alarm["index"]]["at"]
        assert json.loads(json.dumps(alarm)) == alarm


def test_a_detector_of_ones_own_needs_no_more_than_the_interface() -> None:
    class EveryTenth:
        def __init__(self) -> None:
            self.n = 0

        def update(self, row: ProbeRow) -> Quiet | Alarm:
            self.n += 1
            return Alarm(Kind.CHANGE, 1.0, 1.0, 1.0) if self.n % 10 == 0 else Quiet(0.0, 0.0, 1.0)

    detectors: dict[str, type[Detector]] = {"tenth": EveryTenth}
    monitor = EndpointMonitor("tenth", detectors)
    rows = probe_rows(Endpoint(), 14, seed=1)
    assert [bool(monitor.update(read_row(row)).alarms) for row in rows] == [False] * 9 + [True] + [False] * 4


def stored(given: list[Probe]) -> list[ProbeRow | Unusable]:
    return [read_row(json.loads(probe.encode())) for probe in given]


@pytest.mark.parametrize(
    "fields", [{}, {"prompt": "y"}, {"k_asked": 5}, {"temperature": 1.0}, {"model_asked": "gpt-4o"}]
)
def test_probes_of_the_topic_raise_the_alarms_that_the_agent_raises(fields: dict[str, Any]) -> None:
    """From the 150th on other logprobs come back; if something else was asked for, that is no change."""
    before, after = probes(Endpoint(), 150, seed=1), probes(Endpoint(), 150, seed=2)
    shift = 150 * HOUR_MS
    later = [
        probe.model_copy(update={"probe_id": f"later-{probe.probe_id}", "at_ms": probe.at_ms + shift} | fields)
        for probe in after
    ]
    given = [*before, *later]
    watch = ProbeWatch(["lt-ref"])
    theirs = [(index, raised.alarm.kind) for index, one in enumerate(given) for raised in watch.update(one).raised]
    ours = [(alarm["index"], alarm["kind"]) for alarm in replay(stored(given), "lt-ref")]
    assert ours == theirs
    assert bool(ours) == (not fields)


def test_a_probe_that_was_made_twice_counts_once() -> None:
    given = probes(Endpoint(change_at=150, change_rms=2.0), 200, seed=1)
    once, twice = Replay("lt-ref"), Replay("lt-ref")
    [alarm] = [alarm for row in stored(given) for alarm in once.feed(row)]
    [other] = [alarm for row in stored([probe for probe in given for _ in range(2)]) for alarm in twice.feed(row)]
    assert other == alarm | {"index": 2 * alarm["index"]}
    assert (once.repeated, twice.repeated, twice.rows) == (0, 200, {"mini": 400})


def test_rows_that_name_no_endpoint_are_counted() -> None:
    run = Replay("lt")
    for row in ([], None, 3, {"at": 1}, {"endpoint": None}, {"endpoint": "e", "logprobs": {"a": 1.0}}):
        assert list(run.feed(read_row(row))) == []
    assert run.unnamed == 5
    assert run.unusable == {Reason.POSITIVE: 1}


def test_an_unknown_detector_is_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match="no detector 'adwin'; choose one of lt, lt-ref, river-page-hinkley"):
        list(replay([], "adwin"))


def test_two_files_are_compared_over_their_usable_rows() -> None:
    rows = probe_rows(Endpoint(rho=0.0, change_at=30, change_rms=0.5, missing=0.1), 60, seed=1)
    usable = sum(row["logprobs"] is not None for row in rows[:30])
    first, second = list(map(read_row, rows[:30])), list(map(read_row, rows[30:]))
    record = two_sample_test(first, [*second, read_row("nonsense")], permutations=99, seed=1)
    assert list(record) == ["statistic", "p_value", "n_a", "n_b", "tokens"]
    assert (record["n_a"], record["p_value"]) == (usable, 0.01)
    assert record["tokens"] >= 20
    assert record == two_sample_test(first, second, permutations=99, seed=1)


@pytest.mark.parametrize(
    ("a", "b", "permutations", "said"),
    [
        ([], [1], 9, "the first set"),
        ("ok", [{}], 9, "the second set"),
        ("ok", "ok", 0, "at least 1 permutation"),
        ("ok", "ok", 10**9, "1000000000 permutations of 6 rows do not fit into memory: at most 3333333 do"),
    ],
)
def test_nothing_to_compare_is_said_in_one_line(a: Any, b: Any, permutations: int, said: str) -> None:
    rows = probe_rows(Endpoint(), 3, seed=1)
    first, second = (list(map(read_row, rows if given == "ok" else given)) for given in (a, b))
    with pytest.raises(SettingsError, match=said):
        two_sample_test(first, second, permutations, seed=0)
