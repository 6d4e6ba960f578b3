"""How long steps report what they do, without knowing who watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn


class Reporter(Protocol):
    """Told of each step, and of each download as it goes."""

    def step(self, text: str) -> None:
        """A step begins."""

    def download(self, name: str, size_bytes: int) -> AbstractContextManager[Callable[[int], None]]:
        """A download runs while the block does; call the value with each number of bytes that arrives."""


class Silent:
    """Reports nothing."""

    def step(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def download(self, name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        """Nothing."""
        yield lambda _bytes: None


class Terminal:
    """Steps as lines, downloads as bars, on a rich console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, text: str) -> None:
        """One dim line."""
        self._console.print(f"  [dim]·[/dim] {text}", highlight=False)

    @contextmanager
    def download(self, name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        """A bar that disappears at the end; nothing where a bar cannot be drawn."""
        if not self._console.is_terminal:
            yield lambda _bytes: None
            return
        columns = (TextColumn("    {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(name, total=size_bytes)
            yield lambda count: bars.advance(task, count)
