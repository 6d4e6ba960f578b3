"""How far a replay has come, on a terminal's error stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from common.times import shown_time
from producers.replay.sources import Source

Told = Callable[[int, int], None]
"""Told how many records were read so far, and the time up to which everything is decided (ns)."""


@contextmanager
def shown_progress(console: Console, source: Source) -> Iterator[Told]:
    """A line that moves while the block runs; nothing where there is no terminal."""
    bar_columns = () if source.records is None else (BarColumn(bar_width=8),)
    columns = (SpinnerColumn(), *bar_columns, TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=source.records)

        def told(records: int, until_ns: int) -> None:
            warming = " (warming up)" if until_ns <= source.shown.from_ns else ""
            at = f", at {shown_time(until_ns)[:19]} UTC" if until_ns > 0 else ""
            bar.update(task, completed=records, description=f"{records:,} records{at}{warming}")

        yield told
