"""What a user sees while a demo runs: a live panel on a terminal, elsewhere a line every few seconds; a last line in both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from schemas import Scored, total_usd
from streams.core.wording import counted
from streams.demo.account import Account
from streams.models.prices import Price, cost_of

_BLOCKS = " ▁▂▃▄▅▆▇█"
_LINE_EVERY_S = 5.0
_LAST_ALERTS = 5


class View:
    """Shows an account as it fills. A context manager; ``update`` may be called as often as you like."""

    def __init__(self, account: Account, big: Price | None, console: Console) -> None:
        self._account = account
        self._big = big
        self._console = console
        self._began = time.monotonic()
        self._last_line = self._began
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        self._print_line()

    def update(self) -> None:
        """Show the present state."""
        if self._live is not None:
            self._live.update(self._panel())
        elif time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._print_line()

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        self._console.print(self._line(), highlight=False, soft_wrap=True)

    def _line(self) -> str:
        a = self._account
        return (
            f"{a.settled}/{counted(len(a.tickets), 'ticket')}: routed {len(a.routed)}, in review {len(a.in_review)}, "
            f"dead letters {len(a.dead)}, escalated {len(a.escalated)}"
        )

    def _rate(self) -> float:
        return self._account.settled / max(1e-9, time.monotonic() - self._began)

    def _panel(self) -> Panel:
        a = self._account
        routes = Table(box=None, padding=(0, 2), show_header=False)
        by = [message.decided_by for message in a.routed.values()]
        routes_taken = [
            ("cheap model was sure", by.count("cheap"), "green"),
            ("escalated, big model was sure", by.count("big"), "cyan"),
            ("left to a reviewer", len(a.in_review), "yellow"),
            ("dead letters", len(a.dead), "red"),
        ]
        if "memory" in by:
            routes_taken.insert(0, ("labelled tickets answered", by.count("memory"), "green"))
        for name, count, style in routes_taken:
            routes.add_row(Text(name, style=style), f"{count:>6}", ProgressBar(max(1, len(a.tickets)), count, width=30))
        signals = [call.signal for call in a.classified.values() if isinstance(call.signal, Scored)]
        confidence = histogram([signal.confidence for signal in signals], 1.0)
        entropy = histogram([signal.entropy for signal in signals], 2.0)
        all_big = total_usd(
            cost_of(self._big, call.attempts[-1].prompt_tokens, call.attempts[-1].completion_tokens)
            for call in a.classified.values()
            if call.attempts
        )
        numbers = Text(
            f"confidence 0 {confidence} 1     entropy 0 {entropy} 2 nats\n"
            f"cost {_usd(a.cost_usd)}   all-big about {_usd(all_big)}   {self._rate():.0f} tickets/s"
        )
        done = Table.grid()  # a bar alone does not end its line
        done.add_row(ProgressBar(max(1, len(a.tickets)), a.settled, width=60))
        rows = counted(len(a.tickets), "ticket has its outcome", "tickets have their outcome")
        title = f"hedgerow: {a.settled} of {rows}"
        lines = [f"{alert.kind}: {alert.summary}" for alert in [*a.alerts.values()][-_LAST_ALERTS:]]
        return Panel(
            Group(done, routes, numbers, *(Text(line, "red") for line in lines)), title=title, title_align="left"
        )


def histogram(values: Sequence[float], top: float, bins: int = 20) -> str:
    """Return a one-line histogram of the values from 0 to ``top``; what lies above counts into the last bin."""
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int(value / top * bins))] += 1
    most = max(counts) or 1
    # A bin that holds anything shows at least the lowest block.
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // most)] for count in counts)


def _usd(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:.4f}"
