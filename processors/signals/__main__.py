"""``python -m processors.signals``: the signals worker."""

from __future__ import annotations

import sys

import typer

from common.cli.entry import invoke
from processors.signals.worker import main

app = typer.Typer(add_completion=False)


@app.command()
def signals() -> None:
    """Judge level features and publish the levels' signals (Faust).

    Runs until SIGTERM or Ctrl-C. A restart goes on after the last snap that was judged and acknowledged.
    """
    main()


if __name__ == "__main__":
    sys.exit(invoke(app, "python -m processors.signals", sys.argv[1:]))
