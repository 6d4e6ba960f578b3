"""``python -m lakehouse.silver``: the service that computes Silver and Gold."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from common.cli.entry import exit_on_error, invoke
from common.cli.logs import log_beside
from common.cli.options import HomeOption, require_home
from common.telemetry import configure_logging
from lakehouse.silver.service import SERVICE, compute, prepare, serve

app = typer.Typer(add_completion=False)


@app.command()
def silver(
    once: Annotated[bool, typer.Option("--once", help="Compute what is closed, say what was done, and end.")] = False,
    home: HomeOption = None,
) -> None:
    """Compute the Silver tables and the training table of Gold from the sink's tables, closed hour by closed hour.

    Runs until SIGTERM or Ctrl-C. It can be killed at any time and goes on from the tables' own bookkeeping.
    """
    with exit_on_error():
        if not once:
            configure_logging(SERVICE)
            serve()
            return
        require_home()
        done = _once(Console(stderr=True))
    shown = Table(show_edge=False, header_style="bold")
    shown.add_column("table")
    shown.add_column("rows computed", justify="right")
    for name, rows in done.items():
        shown.add_row(name, f"{rows:,}")
    Console().print(shown)


def _once(console: Console) -> Mapping[str, int]:
    """Compute what is closed. On a terminal a line says how far it is, and only warnings are logged."""
    log_beside(SERVICE, level="WARNING")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("looking for closed hours")

        def told(table: str, rows: int) -> None:
            bar.update(task, description=f"{table}: {rows:,} rows computed")

        return compute(*prepare(), threading.Event(), told=told)


if __name__ == "__main__":
    sys.exit(invoke(app, "python -m lakehouse.silver", sys.argv[1:]))
