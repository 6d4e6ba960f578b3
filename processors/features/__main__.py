"""``python -m processors.features``: the features worker."""

from __future__ import annotations

import sys

import typer

from common.errors import BreakwaterError
from common.telemetry import configure_logging
from processors.features.service import SERVICE, serve

app = typer.Typer(add_completion=False)


@app.command()
def features() -> None:
    """Compute level features, outcomes and option flow from all inputs and publish them exactly once.

    Runs until SIGTERM or Ctrl-C, then leaves a checkpoint. A restart goes on where the last committed snap ends.
    """
    configure_logging(SERVICE)
    try:
        serve()
    except BreakwaterError as error:
        sys.stderr.write(f"error: {error}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
