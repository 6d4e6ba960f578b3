"""``breakwater test``: everything that CI runs, in this very environment."""

from __future__ import annotations

import enum
import subprocess
import sys
from typing import Annotated

import typer
from rich.console import Console

from common.settings import PROJECT_ROOT

LINTERS = (("ruff", "check"), ("ruff", "format", "--check"), ("mypy",))

WORKERS = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadgroup")
"""Of a whole suite: as many processes as the machine has cores. Each starts servers of its own when a test asks."""


class Suite(enum.StrEnum):
    """What to run."""

    UNIT = "unit"
    PROPERTY = "property"
    ARCHITECTURE = "architecture"
    INTEGRATION = "integration"
    ACCEPTANCE = "acceptance"
    ALL = "all"


app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    ctx: typer.Context,
    suite: Annotated[Suite, typer.Argument(help="Which suite; 'all' also runs ruff and mypy.")] = Suite.ALL,
) -> None:
    """Run the tests, on all cores. What follows a suite goes to pytest, in one process: test unit -k codec."""
    console = Console(stderr=True)
    failed = []
    if suite is Suite.ALL:
        for linter in LINTERS:
            console.print(f"[bold]{' '.join(linter)}[/bold]")
            if subprocess.run([sys.executable, "-m", *linter], cwd=PROJECT_ROOT, check=False).returncode != 0:
                failed.append(" ".join(linter))
    where = "tests" if suite is Suite.ALL else f"tests/{suite.value}"
    console.print(f"[bold]pytest {where}[/bold]")
    command = [sys.executable, "-m", "pytest", where, *(ctx.args or WORKERS)]
    if subprocess.run(command, cwd=PROJECT_ROOT, check=False).returncode != 0:
        failed.append("pytest")
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]")
        raise typer.Exit(1)
