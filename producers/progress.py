"""What a person sees while records are published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from producers.publish import Progress
from producers.resume import utc


def spinner(console: Console) -> Bar:
    """A line that goes away at the end; nothing where there is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Bar(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def shown_records(console: Console) -> Iterator[Progress]:
    """Shows how many records the log has acknowledged, and up to which time."""
    with spinner(console) as bar:
        task = bar.add_task("connecting", total=None)

        def show(records: Mapping[str, int], watermark_ns: int) -> None:
            bar.update(task, description=f"{sum(records.values()):,} events, at {utc(watermark_ns)[:23]} UTC")

        yield show
