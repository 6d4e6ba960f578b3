"""How a command of ours runs from the shell, and how an error looks to the person who typed it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text
from typer.exceptions import TyperException

from common.errors import BreakwaterError

INTERRUPTED, TERMINATED = 130, 143
HELP_OPTIONS = ["-h", "--help"]


def run(app: typer.Typer, program: str, *, debug: bool = False) -> NoReturn:
    """Run a command with this process's arguments and end with its exit code, that of `invoke`.

    SIGTERM ends it as Ctrl-C does, so that what it has started is ended too; the exit code is then 143. A second one
    does not disturb the clean-up. Services set handlers of their own in place of this one.

    ``debug``: let errors of ours through with their traceback.
    """
    terminated = False

    def end(_number: int, _frame: object) -> None:
        nonlocal terminated
        if not terminated:
            terminated = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    code = invoke(app, program, sys.argv[1:], debug=debug)
    sys.exit(TERMINATED if terminated and code == INTERRUPTED else code)


def invoke(app: typer.Typer, program: str, arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run a command and show its errors, all in one way; returns the exit code.

    0, 1 for an error, 2 for a wrong use, 130 when interrupted.
    """
    console = Console(stderr=True)
    try:
        return enter(app, program, arguments)
    except BreakwaterError as error:
        if debug:
            raise
        show_error(error, console)
    except TyperException as error:
        _show_wrong_use(error, console)
        return error.exit_code
    except typer.Abort:
        console.print("Nothing was done.")
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


def enter(app: typer.Typer, program: str, arguments: Sequence[str]) -> int:
    """Run a command, its errors left to whoever was entered first; returns the exit code."""
    command = typer.main.get_command(app)
    _flow(command)
    code = command.main(list(arguments), prog_name=program, standalone_mode=False, help_option_names=HELP_OPTIONS)
    return code if isinstance(code, int) else 0


def _flow(command: Any) -> None:
    """Take the source's line breaks out of the help's paragraphs: the terminal breaks them where it ends."""
    if command.help:
        command.help = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))
    for inner in getattr(command, "commands", {}).values():
        _flow(inner)


def show_error(error: BreakwaterError, console: Console) -> None:
    """The message, on a terminal in red, then the hint."""
    _show(str(error), error.hint, console)


def _show_wrong_use(error: TyperException, console: Console) -> None:
    """What was not understood, and where to read on. An empty message: the help has been shown already."""
    message = error.format_message()
    context: typer.Context | None = getattr(error, "ctx", None)
    if message:
        _show(message, None if context is None else f"See: {context.command_path} --help", console)


def _show(message: str, hint: str | None, console: Console) -> None:
    console.print(Text(f"error: {message}", style="red"), soft_wrap=True)
    if hint:
        console.print(Text(f"hint: {hint}", style="dim"), soft_wrap=True)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """For a service: an error of ours ends it with exit code 1 and plain lines on stderr, beside its log."""
    try:
        yield
    except BreakwaterError as error:
        show_error(error, Console(stderr=True))
        raise typer.Exit(1) from error
