"""``./breakwater runs``: what ran when, with which code and configuration, and how it ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from common.cli.options import StoredHomeOption

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List the services' runs and show one.")


@app.command("list")
def list_(
    last: Annotated[int, typer.Option(help="How many at most.", min=1)] = 20,
    service: Annotated[str | None, typer.Option(help="Only this service's.")] = None,
    home: StoredHomeOption = None,
) -> None:
    """The newest runs, the newest first; `show` knows the rest of each."""
    from common.manifests import listed

    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.add_column("run", no_wrap=True)
    for column in ("service", "status", "took", "code"):
        shown.add_column(column, overflow="fold", justify="right" if column == "took" else "left")
    for one in listed(last, service):
        commit = (one.code_commit or "unknown")[:8] + ("+" if one.code_dirty else "")
        shown.add_row(one.run_id, one.service, str(one.standing), _took(one.start_time, one.end_time), commit)
    Console().print(shown)


def _took(begin: str, end: str | None) -> str:
    if end is None:
        return ""
    seconds = round((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
    return str(timedelta(seconds=seconds))


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Its id.", show_default=False)],
    home: StoredHomeOption = None,
) -> None:
    """Everything that is known of a run, as JSON."""
    from dataclasses import asdict

    from common.manifests import files_of, find

    found = {"manifest": asdict(find(run)), **files_of(run)}
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
