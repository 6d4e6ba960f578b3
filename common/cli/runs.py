"""``./breakwater runs``: what ran when, with which code and configuration, and how it ended."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from common.cli.options import HomeOption

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List the services' runs and show one.")


@app.command("list")
def list_(
    last: Annotated[int, typer.Option(help="How many at most.", min=1)] = 20,
    service: Annotated[str | None, typer.Option(help="Only this service's.")] = None,
    home: HomeOption = None,
) -> None:
    """The newest runs, the newest first."""
    from common.manifests import listed

    shown = Table(show_edge=False, header_style="bold")
    for column in ("run", "service", "status", "started", "ended", "configuration", "code"):
        shown.add_column(column, overflow="fold")
    for one in listed(last, service):
        commit = (one.code_commit or "unknown")[:10] + ("+" if one.code_dirty else "")
        ended = (one.end_time or "")[:19].replace("T", " ")
        started = one.start_time[:19].replace("T", " ")
        shown.add_row(one.run_id, one.service, str(one.standing), started, ended, one.config_hash, commit)
    Console().print(shown)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Its id.", show_default=False)],
    home: HomeOption = None,
) -> None:
    """Everything that is known of a run, as JSON."""
    from dataclasses import asdict

    from common.manifests import files_of, find

    found = {"manifest": asdict(find(run)), **files_of(run)}
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
