"""Commands that are known by name and help text, and imported only when they are called: ``--help`` stays fast."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from common.cli.entry import enter

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

    ``target``: ``module:attribute`` (a typer app or a function), or the package of a service, whose ``__main__`` has
    the app. ``panel``: its heading in help.
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
        # A service runs in this very process, so the signals that end it reach it.
        target = entry.target if ":" in entry.target else f"{entry.target}.__main__:app"
        raise typer.Exit(run_attribute(target, ctx.command_path, ctx.args))

    return run


def run_attribute(target: str, program: str, arguments: Sequence[str]) -> int:
    """Import ``module:attribute`` and run it with the arguments under the program's name; returns its exit code."""
    module, _, attribute = target.partition(":")
    found: Any = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command()(found)
        found = single
    return enter(found, program, arguments)
