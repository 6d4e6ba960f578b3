"""``python -m api``: the API as a service."""

from __future__ import annotations

import sys

import typer

from api.service import run
from common.cli.entry import exit_on_error, invoke

app = typer.Typer(add_completion=False)


@app.command()
def serve() -> None:
    """Serve levels over REST and WebSocket.

    Runs until SIGTERM or Ctrl-C. BREAKWATER_API_HOST and BREAKWATER_API_PORT say where it listens, by default on a
    free port of this machine alone; ./breakwater status names it.
    """
    with exit_on_error():
        run()


if __name__ == "__main__":
    sys.exit(invoke(app, "python -m api", sys.argv[1:]))
