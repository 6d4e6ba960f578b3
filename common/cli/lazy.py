"""Commands that are known by name and help text, and imported only when they are called: ``--help`` stays fast."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import typer

PASS_ALL = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}
"""A stub takes every argument, also ``--help``, for the command it stands for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One command of the table.

    ``target``: ``module:attribute`` (a typer app or a function), or a module to run. ``panel``: its heading in help.
    """

    name: str
    target: str
    help: str
    panel: str | None = None


def mount(app: typer.Typer, entries: Sequence[Entry]) -> None:
    """Add a stub for each entry."""
    for entry in entries:
        app.command(
            entry.name,
            help=entry.help,
            rich_help_panel=entry.panel,
            context_settings=PASS_ALL,
            options_metavar="[OPTIONS]",
        )(_stub(entry))


def _stub(entry: Entry) -> Callable[[typer.Context], None]:
    def run(ctx: typer.Context) -> None:
        if ":" in entry.target:
            run_attribute(entry.target, ctx.command_path, ctx.args)
        else:
            run_module(entry.target, ctx.args)

    return run


def run_attribute(target: str, program: str, arguments: Sequence[str]) -> None:
    """Import ``module:attribute`` and run it with the arguments under the program's name."""
    module, _, attribute = target.partition(":")
    found: Any = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command()(found)
        found = single
    typer.main.get_command(found).main(list(arguments), prog_name=program, help_option_names=["-h", "--help"])


def run_module(module: str, arguments: Sequence[str]) -> NoReturn:
    """Become ``python -m module``: the service keeps this process's id, so signals reach it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell on purpose
