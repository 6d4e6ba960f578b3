"""``python -m api``: the API as a service."""

from __future__ import annotations

import sys

import typer

from api.service import run
from common.errors import BreakwaterError

app = typer.Typer(add_completion=False)


@app.command()
def serve() -> None:
    """Serve levels over REST and WebSocket until SIGTERM. Settings.

    BREAKWATER_API_HOST, BREAKWATER_API_PORT and the common ones.
    """
    try:
        run()
    except BreakwaterError as error:
        typer.echo(f"error: {error}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    app()
