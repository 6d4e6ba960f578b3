"""``./breakwater certify DATE``: make a session's certificate, or compare the stored one with what is there now."""

from __future__ import annotations

from datetime import date as calendar_date
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common import meta
from common.cli.options import StoredHomeOption
from common.errors import ConfigError, UnavailableError
from common.settings import settings
from lakehouse.certificates.certificate import LEVELS, Certificate, certify, difference
from lakehouse.certificates.log import Broker

FOLDER = "certificates"

app = typer.Typer(add_completion=False)


@app.command()
def run(
    date: Annotated[str, typer.Argument(help="Trade date, e.g. 2025-06-03.", show_default=False)],
    renew: Annotated[bool, typer.Option("--renew", help="Replace the stored certificate.")] = False,
    home: StoredHomeOption = None,
) -> None:
    """Count and hash what each layer holds of a session.

    The first time the certificate is stored beside the tables. Afterwards it is computed again and compared: the first
    difference is named and the command ends with 1. What was repaired on purpose is certified anew with --renew.
    """
    day = _date(date)
    console = Console()
    now = _certified(day)
    folder, path = meta.shared(), f"{FOLDER}/{day}.json"
    stored: Any = None if renew else folder.read(path)
    _show(now, console)
    if stored is None:
        folder.write(path, now.as_data())
        console.print(f"certificate stored, digest {now.as_data()['digest']}", soft_wrap=True, highlight=False)
        return
    found = difference(stored, now.as_data())
    if found is not None:
        console.print(f"[red]not as certified: {found}[/red]", soft_wrap=True, highlight=False)
        raise typer.Exit(1)
    console.print(f"as certified, digest {stored['digest']}", soft_wrap=True, highlight=False)


def _certified(day: int) -> Certificate:
    """With the topics' layer while a broker answers."""
    namespace = settings().namespace
    try:
        return certify(day, Broker(namespace), namespace)
    except UnavailableError as error:
        Console(stderr=True).print(f"[yellow]the topics are not counted: {error}[/yellow]", soft_wrap=True)
        return certify(day, None, namespace)


def _date(text: str) -> int:
    try:
        return int(calendar_date.fromisoformat(text).strftime("%Y%m%d"))
    except ValueError:
        raise ConfigError(f"{text!r} is not a date", hint="Write it as 2025-06-03.") from None


def _show(now: Certificate, console: Console) -> None:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("topic", no_wrap=True)
    for column in ("first", "last", "log", "table", "silver", "dead", "gaps"):
        shown.add_column(column, justify="right")
    for topic, counts in now.topics.items():
        for number, part in counts.partitions.items():
            cells = (
                part.first_offset,
                part.last_offset,
                part.topic_records,
                part.table_rows,
                counts.silver_rows,
                part.dead_letters,
                # The ends of transactions take offsets, too.
                None if topic in LEVELS else part.missing_offsets,
            )
            name = topic if number == "0" else f"{topic}:{number}"
            shown.add_row(name, *("·" if cell is None else f"{cell:,}" for cell in cells))
    console.print(shown)
    console.print(f"training rows {now.training_rows:,}", highlight=False)
    for finding in now.findings:
        console.print(f"[yellow]{finding}[/yellow]", highlight=False)
