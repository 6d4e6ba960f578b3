"""How a command of ours runs from the shell, and how an error looks to the person who typed it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from common.errors import BreakwaterError


def run(app: typer.Typer, program: str, *, debug: bool = False) -> NoReturn:
    """Run the command line: exit code 0, 1 for an error, 2 for a wrong use, 130 when interrupted.

    ``debug``: let errors of ours through with their traceback.
    """
    try:
        typer.main.get_command(app).main(prog_name=program)
    except BreakwaterError as error:
        if debug:
            raise
        show_error(error, Console(stderr=True))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1)


def show_error(error: BreakwaterError, console: Console) -> None:
    """The message in red, then the hint, dim."""
    console.print(Text(str(error), style="red"), soft_wrap=True)
    if error.hint:
        console.print(Text(error.hint, style="dim"), soft_wrap=True)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """For a service: an error of ours ends it with exit code 1 and plain lines on stderr, beside its log."""
    try:
        yield
    except BreakwaterError as error:
        sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        raise typer.Exit(1) from error
