"""How far the embedding of a file has come, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress


def progress_bar() -> Progress:
    """Return a bar for standard error; it shows nothing if that is no terminal."""
    return Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def embedding_progress(bar: Progress) -> Callable[[int], Callable[[int], None]]:
    """Return what is called with the number of texts to embed, and gives what is called with how many more are done."""

    def begin(texts: int) -> Callable[[int], None]:
        task = bar.add_task("embedding the memory", total=texts)
        return lambda count: bar.advance(task, count)

    return begin
