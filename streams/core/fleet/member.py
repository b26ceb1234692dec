"""One worker among those of its pipeline: its own accounts and guards, and what the others have said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from schemas.fleet import MAX_ENDPOINTS, EndpointState, ShareState, Usage, WorkerState
from streams.core.fleet.account import Account
from streams.core.fleet.caps import Caps, OthersUsed, Period
from streams.core.fleet.fleet import LIVE_MS, THINGS, Fleet, Thing
from streams.core.fleet.others import Others, OtherShares, other_guards, other_shares

#: A lease is made, and kept, for as much as is used within this time, seconds: near a limit that much may stay unused in
#: each worker.
KEPT_S = 1.0
#: A worker with an endpoint in trouble says so every two seconds; one that was not heard of for longer makes no trials.
_TRIES_MS = 6_000


class Member:
    """What one worker knows of what all of them used up and saw."""

    def __init__(self, worker: str, group: str, caps: Mapping[Thing, Caps]) -> None:
        self.worker = worker
        self.fleet = Fleet(group)
        self.caps = {thing: caps.get(thing, Caps()) for thing in THINGS}
        self.accounts = {thing: Account(most) for thing, most in self.caps.items()}
        self._group = group
        self._number = 0
        self._asked_in: dict[Thing, int] = {}
        self._told: object = None
        self._guards: dict[str, Callable[[], EndpointState]] = {}
        self._share: Callable[[], ShareState] | None = None
        self._heard_ms: dict[str, int] = {}
        self._known: dict[str, tuple[tuple[int, int, int], Any]] = {}

    def watch(self, source: str, state: Callable[[], EndpointState]) -> None:
        """Tell the others what the guard of an endpoint has seen, which ``state`` returns."""
        self._guards[source] = state

    def watch_share(self, state: Callable[[], ShareState]) -> None:
        """Tell the others what the guard of the escalations' share has seen, which ``state`` returns."""
        self._share = state

    @property
    def has_news(self) -> bool:
        """Whether the others do not know yet what this worker used, leases, or saw."""
        return self._told != (self._usages(), self._endpoints(), self._shares())

    @property
    def is_in_trouble(self) -> bool:
        """Whether an endpoint does not answer this worker, or its breaker is open."""
        return any(endpoint.down or endpoint.turns % 2 for endpoint in self._endpoints())

    def state(self, at_ms: int, *, stopped: bool = False) -> WorkerState:
        """Return what to tell the others at ``at_ms`` (Unix time); the last one gives every lease back."""
        if stopped:
            for account in self.accounts.values():
                account.give_back(0)
        self._number += 1
        usages = self._usages()
        for thing, account in self.accounts.items():
            if account.asked:
                self._asked_in.setdefault(thing, self._number)
            else:
                self._asked_in.pop(thing, None)
        return WorkerState(
            worker=self.worker,
            group=self._group,
            number=self._number,
            at_ms=at_ms,
            stopped=stopped,
            money=usages["money"],
            escalations=usages["escalations"],
            endpoints=self._endpoints(),
            share=self._shares(),
        )

    def ask(self, thing: Thing, amount: int) -> None:
        """Ask for a larger lease: it is granted when this worker reads its own next state."""
        self._asked_in.pop(thing, None)
        self.accounts[thing].ask(amount)

    def update(self, state: WorkerState, now_ms: int) -> None:
        """Take the next state of the topic, in the order of the topic, at ``now_ms`` (Unix time)."""
        if self.fleet.update(state):
            self._heard_ms = {worker: at_ms for worker, at_ms in self._heard_ms.items() if now_ms - at_ms < LIVE_MS}
            self._heard_ms[state.worker] = now_ms
        if state.worker != self.worker:
            return
        for thing, number in list(self._asked_in.items()):
            if state.number >= number:
                del self._asked_in[thing]
                self.accounts[thing].grant(self.others_used(thing, now_ms), now_ms)

    def others_ask(self, thing: Thing, now_ms: int) -> bool:
        """Return whether another live worker has asked, and has not said yet what it got."""
        live = self.fleet.live(now_ms)
        return any(
            getattr(state, thing).asked for state in self.fleet if state.worker in live and state.worker != self.worker
        )

    def said(self, state: WorkerState) -> None:
        """Note that the others were told this."""
        self._told = ({thing: getattr(state, thing) for thing in THINGS}, state.endpoints, state.share)
        for account in self.accounts.values():
            account.said(state.at_ms)

    def others_used(self, thing: Thing, now_ms: int) -> OthersUsed:
        """Return what the others have used, leases included, toward a limit at ``now_ms`` (Unix time)."""
        return lambda period: self.fleet.used(thing, period, now_ms, but=self.worker)

    def used_share(self, thing: Thing, period: Period, now_ms: int) -> float:
        """Return how much of a limit all workers together have used at ``now_ms`` (Unix time), leases included: 1 is all."""
        most = dict(self.caps[thing])[period]
        account = self.accounts[thing]
        total = self.others_used(thing, now_ms)(period) + account.used(period, now_ms) + max(0, account.leased)
        return total / most if most else 1.0

    def left(self, thing: Thing, now_ms: int) -> int | None:
        """Return what the limits leave to be leased at ``now_ms`` (Unix time); None is no limit."""
        return self.accounts[thing].left(self.others_used(thing, now_ms), now_ms)

    def give_back(self, now_ms: int) -> None:
        """Keep of each lease what is used within some seconds at this pace: others may need the rest."""
        for account in self.accounts.values():
            account.keep_for(KEPT_S, now_ms)

    def workers(self, now_ms: int) -> int:
        """Return how many workers are live at ``now_ms`` (Unix time), this one included."""
        return len({self.worker, *self.fleet.live(now_ms)})

    def other_guards(self, source: str, window: int, own_calls: int, own_turns: int, now_ms: int) -> Others:
        """Return what the others' guards of an endpoint say at ``now_ms`` (Unix time)."""

        def merged() -> Others:
            by_worker = [
                (state.worker, each)
                for state in self.fleet
                if state.worker != self.worker
                for each in state.endpoints
                if each.source == source
            ]
            alive = set(self.fleet.live(now_ms))
            live = {worker: each for worker, each in by_worker if worker in alive}
            answered = any(not each.down and now_ms - each.counted.at_ms < LIVE_MS for each in live.values())
            at_work = [worker in live and now_ms - each.counted.at_ms < LIVE_MS for worker, each in by_worker]
            said = other_guards((each for _, each in by_worker), at_work, window, own_calls, own_turns)
            # By this worker's own clock, and sooner than it is taken for dead: without trials nothing goes on.
            heard = {
                worker: each for worker, each in live.items() if now_ms - self._heard_ms.get(worker, 0) < _TRIES_MS
            }
            return replace(
                said,
                are_there=bool(live),
                leads=all(self.worker < worker for worker in heard),
                leads_in_outage=answered or all(self.worker < worker for worker, each in heard.items() if each.down),
            )

        found: Others = self._once(source, (own_turns, now_ms // 1000), merged)
        return found

    def other_shares(self, window: int, own_calls: int, now_ms: int) -> OtherShares:
        """Return what the others' guards of the escalations' share say at ``now_ms`` (Unix time)."""

        def merged() -> OtherShares:
            alive = set(self.fleet.live(now_ms))
            shares = {
                state.worker: state.share
                for state in self.fleet
                if state.worker != self.worker and state.share is not None
            }
            at_work = [worker in alive and now_ms - share.counted.at_ms < LIVE_MS for worker, share in shares.items()]
            return other_shares(shares.values(), at_work, window, own_calls)

        found: OtherShares = self._once("share", (0, now_ms // 1000), merged)
        return found

    def _once(self, name: str, key: tuple[int, int], merge: Callable[[], Any]) -> Any:
        """Return what ``merge`` does, which is done again only if somebody has said something, or with another key."""
        now = (self.fleet.version, *key)
        known = self._known.get(name)
        if known is None or known[0] != now:
            known = self._known[name] = (now, merge())
        return known[1]

    def _endpoints(self) -> tuple[EndpointState, ...]:
        return tuple(state() for state in list(self._guards.values())[:MAX_ENDPOINTS])

    def _shares(self) -> ShareState | None:
        return None if self._share is None else self._share()

    def _usages(self) -> dict[Thing, Usage]:
        return {thing: account.usage for thing, account in self.accounts.items()}
