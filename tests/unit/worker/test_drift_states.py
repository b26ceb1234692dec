"""States that a restart goes on from: whole, of this code, of these detectors, or not there."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.drift_memory import State
from streams.core.drift import DETECTORS
from streams.core.drift.series import ProbeWatch, Seen
from streams.sandbox.simulated_probes import Endpoint
from streams.worker import drift_states
from streams.worker.drift_states import DriftStates
from tests.support.probes import probes

PLACE = ("a.probes", 3)
GIVEN = probes(Endpoint(change_at=130, change_rms=0.3, swap_every=30), 240, seed=1)


def watched(detectors: tuple[str, ...], count: int) -> ProbeWatch:
    watch = ProbeWatch(detectors)
    for probe in GIVEN[:count]:
        watch.update(probe)
    return watch


def state(offset: int, watch: ProbeWatch | None = None) -> State:
    return State(offset, GIVEN[offset], watch or ProbeWatch(["lt"]))


def told(watch: ProbeWatch, since: int) -> list[Seen]:
    return [watch.update(probe) for probe in GIVEN[since:]]


@pytest.mark.parametrize("detector", sorted(DETECTORS))
@pytest.mark.parametrize("count", [50, 131, 165])
def test_a_watch_goes_on_from_its_state_as_if_it_had_never_stopped(tmp_path: Path, detector: str, count: int) -> None:
    watch = watched((detector,), count)
    DriftStates(tmp_path, (detector,)).keep(PLACE, state(count - 1, watch))
    kept = DriftStates(tmp_path, (detector,)).load(PLACE, count)
    assert kept is not None
    assert (kept.offset, kept.probe) == (count - 1, GIVEN[count - 1])
    assert told(kept.watch, count) == told(watch, count)


def test_the_latest_two_of_each_partition_stay_and_the_latest_before_an_offset_counts(tmp_path: Path) -> None:
    states = DriftStates(tmp_path / "new", ("lt",))
    assert states.load(PLACE, 100) is None
    for offset in (9, 19, 29):
        states.keep(PLACE, state(offset))
    states.keep(("a.probes", 33), state(5))
    found = {before: states.load(PLACE, before) for before in (19, 20, 29, 30, 1000)}
    assert {before: kept and kept.offset for before, kept in found.items()} == {
        19: None,
        20: 19,
        29: 19,
        30: 29,
        1000: 29,
    }
    assert len(list((tmp_path / "new").iterdir())) == 3


def test_a_file_that_is_not_whole_or_of_other_code_or_detectors_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DriftStates(tmp_path, ("lt",)).keep(PLACE, state(9))
    assert DriftStates(tmp_path, ("lt", "lt-ref")).load(PLACE, 10) is None
    assert DriftStates(tmp_path, ("lt",)).load(PLACE, 10) is not None
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert DriftStates(tmp_path, ("lt",)).load(PLACE, 10) is None
    DriftStates(tmp_path, ("lt",)).keep(PLACE, state(9))
    monkeypatch.setattr(drift_states, "code_digest", lambda: "other")
    assert DriftStates(tmp_path, ("lt",)).load(PLACE, 10) is None


@pytest.fixture
def other_digest() -> Iterator[Callable[[], str]]:
    """The digest of what is there now, which is kept for a process's life otherwise."""

    def digest() -> str:
        drift_states.code_digest.cache_clear()
        return drift_states.code_digest()

    yield digest
    drift_states.code_digest.cache_clear()


@pytest.mark.parametrize("package", ["numpy", "pydantic", "pydantic-core", "river"])
def test_a_state_of_another_version_of_a_package_is_not_taken_up(
    monkeypatch: pytest.MonkeyPatch, other_digest: Callable[[], str], package: str
) -> None:
    before = other_digest()
    monkeypatch.setattr(drift_states, "version", lambda name: "999" if name == package else version(name))
    assert other_digest() != before


def test_a_state_without_river_is_another_than_with_it(
    monkeypatch: pytest.MonkeyPatch, other_digest: Callable[[], str]
) -> None:
    def without_river(name: str) -> str:
        if name == "river":
            raise PackageNotFoundError(name)
        return version(name)

    before = other_digest()
    monkeypatch.setattr(drift_states, "version", without_river)
    assert other_digest() != before


@pytest.mark.parametrize("module", ["core/__init__.py", "schemas/__init__.py", "drift_memory.py"])
def test_a_state_of_other_code_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_digest: Callable[[], str], module: str
) -> None:
    copies = {}
    for each in drift_states._CODE:
        path = Path(str(each.__file__))
        name = path.parent.name if path.name == "__init__.py" else ""
        copies[str(Path(name, path.name))] = copy = SimpleNamespace(__file__=str(tmp_path / name / path.name))
        Path(copy.__file__).parent.mkdir(exist_ok=True)
        Path(copy.__file__).write_bytes(path.read_bytes())
    monkeypatch.setattr(drift_states, "_CODE", tuple(copies.values()))
    before = other_digest()
    with Path(copies[module].__file__).open("a") as file:
        file.write("# changed")
    assert other_digest() != before


class Evil:
    """What a file might hold that somebody else has written."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self._called = call, arguments

    def __reduce__(self) -> Any:
        return self._called


@pytest.mark.parametrize(
    "evil", [Evil(os.mkdir, "made"), Evil(eval, "1"), Evil(hashlib.blake2b, b""), Evil(DriftStates, Path(), ())]
)
def test_a_file_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: Evil) -> None:
    monkeypatch.chdir(tmp_path)
    states = DriftStates(tmp_path, ("lt",))
    payload = pickle.dumps(evil)
    (tmp_path / "a.probes-3-9.state").write_bytes(states._digest(payload) + payload)
    assert states.load(PLACE, 10) is None
    assert not (tmp_path / "made").exists()


def test_a_folder_that_cannot_be_written_or_read_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    states = DriftStates(tmp_path / "file", ("lt",))
    states.keep(PLACE, state(9))
    assert states.load(PLACE, 10) is None
    (tmp_path / "a.probes-3-9.state").mkdir()
    assert DriftStates(tmp_path, ("lt",)).load(PLACE, 10) is None
