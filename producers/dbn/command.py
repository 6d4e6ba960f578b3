"""``breakwater download``: what is missing, what it costs, and then the files."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from common.errors import ConfigError
from common.settings import settings
from common.telemetry import configure_logging
from producers.dbn.download import Archive, Part, Wish
from producers.dbn.file import LAYOUTS

DayOption = Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day (UTC).")]
LastOption = Annotated[
    dt.datetime | None,
    typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.", show_default="the first day"),
]


def download(
    begin: DayOption,
    end: LastOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the files, one per schema and day.")] = Path("dbn-data"),
    schema: Annotated[
        list[str] | None, typer.Option(help="Schema; repeatable.", show_default=", ".join(LAYOUTS))
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Continuous symbol.", show_default="the settings'")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Spend what it costs without asking.")] = False,
) -> None:
    """Download ES history from Databento into a folder that publish, demo and replay read.

    Days that are there are not paid again; the key comes from the settings.
    """
    configure_logging("download")
    console = Console(stderr=True)
    first, last = begin.date(), (end or begin).date()
    if last < first:
        raise ConfigError(f"--to {last} lies before --from {first}", hint="Give the earlier day as --from.")
    wish = Wish(
        out.expanduser(),
        settings().databento_dataset,
        symbol or settings().databento_symbol,
        tuple(dict.fromkeys(schema)) if schema else tuple(LAYOUTS),
        first,
        last,
    )
    archive = Archive.from_settings()
    with console.status("asking what is there and what it costs"):
        parts = archive.plan(wish)
    files = [(part.schema, day) for part in parts for day in part.days]
    if not files:
        console.print(f"Nothing to do: {wish.folder} holds all of it.")
        return
    console.print(_table(parts))
    _confirm(sum(part.cost_usd for part in parts), yes, console)
    records = 0
    with _progress(console) as bar:
        task = bar.add_task("", total=len(files))
        for name, day in files:
            bar.update(task, description=f"{name} {day}")
            records += archive.fetch(wish, name, day)
            bar.advance(task)
    Console().print(f"{len(files)} files with {records:,} records are in {wish.folder}", highlight=False)


def _table(parts: list[Part]) -> Table:
    table = Table(title="To download")
    for title in ("schema", "files", "size", "cost"):
        table.add_column(title, justify="left" if title == "schema" else "right")
    for part in parts:
        table.add_row(part.schema, str(len(part.days)), _size(part.size_bytes), f"${part.cost_usd:,.2f}")
    table.add_section()
    count = sum(len(part.days) for part in parts)
    size_bytes = sum(part.size_bytes for part in parts)
    table.add_row("", str(count), _size(size_bytes), f"${sum(part.cost_usd for part in parts):,.2f}")
    return table


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:,.2f} GB" if size_bytes >= 1e8 else f"{size_bytes / 1e6:,.2f} MB"


def _confirm(cost_usd: float, yes: bool, console: Console) -> None:
    """Ask before money is spent. Raises ConfigError where nobody can be asked; ends with 1 when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"this costs ${cost_usd:,.2f}, and nobody can be asked", hint="Add --yes to spend it.")
    if not typer.confirm(f"Spend ${cost_usd:,.2f}?", err=True):
        console.print("Nothing was spent.")
        raise typer.Exit(1)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
