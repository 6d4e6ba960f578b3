"""``breakwater query``: SQL, or a stored query by its name, and how the answer is printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import orjson
import pyarrow as pa
import pyarrow.csv
import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from common.cli.entry import exit_on_error
from common.cli.options import HomeOption, require_home
from common.config import NS_PER_S
from common.errors import InputError
from common.times import parse_time
from lakehouse.query import AsOf, names, question, run, stored

LONGEST_TABLE = 200
"""Rows that the table format shows; csv and json give all."""


class Format(StrEnum):
    """How the answer is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def query(
    sql: Annotated[
        str | None,
        typer.Argument(help='SQL, e.g. "SELECT count(*) FROM bronze.futures_mbp10", or @NAME for a stored query.'),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="The stored queries and what each asks.")] = False,
    tail: Annotated[
        bool | None,
        typer.Option(
            "--tail/--no-tail",
            help="With the topics' records that no commit holds yet, or without. Default: with them, if the broker"
            " answers.",
        ),
    ] = None,
    at_snapshot: Annotated[int | None, typer.Option(help="The table as of this snapshot.")] = None,
    at_time: Annotated[str | None, typer.Option(help="The tables as of, e.g. 2025-06-03T13:30 (UTC), or ns.")] = None,
    tag: Annotated[str | None, typer.Option(help="The tables as of this tag.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How the answer is printed.")] = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Ask the Iceberg tables in SQL (DuckDB)."""
    with exit_on_error():
        if listing:
            _list(form)
            return
        if sql is None:
            raise InputError("give SQL, or @NAME", hint=f"The stored queries are: {', '.join(names())}")
        past = (at_snapshot, tag, None if at_time is None else _moment(at_time))
        as_of = None if past == (None, None, None) else AsOf(*past)
        if as_of is not None and tail:
            raise InputError("a past state has no tail", hint="Leave out --tail.")
        require_home()
        text = stored(sql[1:]) if sql.startswith("@") else sql
        _print(run(text, as_of=as_of, tail=tail, note=_note), form)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(parse_time(text) / NS_PER_S, UTC)
    except (OverflowError, ValueError):
        raise InputError(f"{text} is no time of a table", hint="Write it as 2025-06-03T13:30 (UTC).") from None


def _list(form: Format) -> None:
    """The stored queries; in a terminal the questions may take several lines."""
    if form is not Format.TABLE:
        _print(pa.table({"name": names(), "question": [question(name) for name in names()]}), form)
        return
    shown = RichTable(show_edge=False, show_header=False, box=None)
    shown.add_column(no_wrap=True, style="bold")
    for name in names():
        shown.add_row(f"@{name}", Text(question(name)))
    Console().print(shown)


def _note(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")


def _print(answer: pa.Table, form: Format) -> None:
    if form is Format.CSV:
        pyarrow.csv.write_csv(answer, sys.stdout.buffer)
    elif form is Format.JSON:
        sys.stdout.write(orjson.dumps(answer.to_pylist(), option=orjson.OPT_INDENT_2, default=_plain).decode() + "\n")
    else:
        console = Console()
        rows = [
            {name: _text(value) for name, value in row.items()} for row in answer.slice(0, LONGEST_TABLE).to_pylist()
        ]
        widths = [max(len(name), *(len(row[name]) for row in rows), 0) for name in answer.column_names]
        if sum(widths) + 3 * len(widths) <= console.width:
            console.print(_across(answer.schema, rows))
        else:
            for number, row in enumerate(rows, start=1):
                console.print(_down(number, row))
        cut = f", the first {LONGEST_TABLE} shown" if answer.num_rows > LONGEST_TABLE else ""
        console.print(f"[dim]{answer.num_rows} rows{cut}[/dim]")


def _across(schema: pa.Schema, rows: Sequence[Mapping[str, str]]) -> RichTable:
    """A line per row."""
    shown = RichTable(show_edge=False, header_style="bold")
    for field in schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        shown.add_column(field.name, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*row.values())
    return shown


def _down(number: int, row: Mapping[str, str]) -> RichTable:
    """A line per column, for rows that are wider than the terminal."""
    shown = RichTable(show_edge=False, show_header=False, box=None, title=f"row {number}", title_justify="left")
    for name, text in row.items():
        shown.add_row(f"[bold]{name}[/bold]", Text(text))
    return shown


def _plain(value: Any) -> Any:
    """DuckDB's sums of integers are decimals."""
    return int(value) if isinstance(value, Decimal) and value == int(value) else str(value)


def _text(value: Any) -> str:
    if value is None:
        return "·"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
