"""``python -m lakehouse.silver``: the service that computes Silver and Gold."""

from __future__ import annotations

import sys
import threading
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from common.cli.entry import exit_on_error, invoke
from common.cli.options import HomeOption
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
    configure_logging(SERVICE)
    with exit_on_error():
        if not once:
            serve()
            return
        done = compute(*prepare(), threading.Event())
    shown = Table(show_edge=False, header_style="bold")
    shown.add_column("table")
    shown.add_column("rows computed", justify="right")
    for name, rows in done.items():
        shown.add_row(name, f"{rows:,}")
    Console().print(shown)


if __name__ == "__main__":
    sys.exit(invoke(app, "python -m lakehouse.silver", sys.argv[1:]))
