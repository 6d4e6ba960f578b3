"""``python -m processors.features``: the features worker."""

from __future__ import annotations

import sys

import typer

from common.cli.entry import exit_on_error, invoke
from common.telemetry import configure_logging
from processors.features.service import SERVICE, serve

app = typer.Typer(add_completion=False)


@app.command()
def features() -> None:
    """Compute level features, outcomes and option flow from all inputs and publish them exactly once.

    Runs until SIGTERM or Ctrl-C, then leaves a checkpoint. A restart goes on where the last committed snap ends.
    """
    configure_logging(SERVICE)
    with exit_on_error():
        serve()


if __name__ == "__main__":
    sys.exit(invoke(app, "python -m processors.features", sys.argv[1:]))
