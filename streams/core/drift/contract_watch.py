"""Watchers for what is not a statistical matter: another k, another model id or fingerprint, logprobs that stay away."""

from __future__ import annotations

from typing import Final

from streams.core.drift.judgement import Alarm, Kind
from streams.core.drift.row import ProbeRow, Reason, Unusable
from streams.core.drift.settled import Resettled, Settled
from streams.core.drift.window import same_k

MISSING_RUN: Final = 5
"""Answers in a row without logprobs. At 5 % missing at random, one in three million rows ends such a run."""


class ContractWatcher:
    """Follows k, the returned model id and the fingerprint; each change is one alarm of a separate kind."""

    def __init__(self) -> None:
        self._k: Settled[int] = Settled(same_k)
        self._model: Settled[str] = Settled()
        self._fingerprint: Settled[str] = Settled()

    def update(self, row: ProbeRow | Unusable) -> list[Alarm]:
        """Take the next row and return the alarms that it confirms; of those that are no samples a lone token has a k."""
        if isinstance(row, Unusable):
            change = self._k.update(1) if row.reason is Reason.ONE_HOT else None
            return [_alarm(Kind.K_CHANGE, change)] if change else []
        changes: list[tuple[Kind, Resettled[int] | Resettled[str] | None]] = [(Kind.K_CHANGE, self._k.update(row.k))]
        if row.model is not None:
            changes.append((Kind.MODEL_CHANGE, self._model.update(row.model)))
        if row.fingerprint is not None:
            changes.append((Kind.FINGERPRINT_CHANGE, self._fingerprint.update(row.fingerprint)))
        return [_alarm(kind, change) for kind, change in changes if change]


def _alarm(kind: Kind, change: Resettled[int] | Resettled[str]) -> Alarm:
    value = change.now if isinstance(change.now, int) else change.run
    return Alarm(kind, float(value), float(change.run), float(change.run), was=change.was, now=change.now)


class MissingWatcher:
    """Counts answers without logprobs in a row; failed calls neither count nor end a run, a usable row ends it."""

    def __init__(self) -> None:
        self._run = 0

    def update(self, row: ProbeRow | Unusable) -> list[Alarm]:
        """Take the next row, usable or not; one alarm when the run has lasted ``MISSING_RUN`` answers."""
        if isinstance(row, ProbeRow):
            self._run = 0
        elif row.reason in {Reason.MISSING, Reason.EMPTY, Reason.ONE_HOT}:
            self._run += 1
            if self._run == MISSING_RUN:
                length = float(self._run)
                return [Alarm(Kind.MISSING, length, length, length)]
        return []
