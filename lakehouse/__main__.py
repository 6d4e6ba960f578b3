"""``python -m lakehouse``: the sink."""

from __future__ import annotations

import sys

import typer

from common.cli.entry import exit_on_error, invoke
from common.telemetry import configure_logging
from lakehouse.service import SERVICE, serve

app = typer.Typer(add_completion=False)


@app.command()
def sink() -> None:
    """Store the market's topics in Bronze, what the workers publish in Gold, each record exactly once.

    Runs until SIGTERM or Ctrl-C. A restart goes on from the tables' own offsets.

    Several sinks with names of their own (BREAKWATER_SINK_MEMBER) share the partitions; one of a known name takes the
    other's place.
    """
    configure_logging(SERVICE)
    with exit_on_error():
        serve()


if __name__ == "__main__":
    sys.exit(invoke(app, "python -m lakehouse", sys.argv[1:]))
