"""SQL over the tables with DuckDB, as they stand when the query starts.

Each table that the query mentions is read through PyIceberg and given to DuckDB under its own name
(``bronze.futures_mbp10``), with only the columns the query names; others are not touched.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.csv
import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from common import iceberg
from common.cli.options import HomeOption
from common.errors import BreakwaterError, InputError

QUERIES = Path(__file__).resolve().parent / "queries"
LONGEST_TABLE = 200
"""Rows that the table format shows; csv and json give all."""

_UNNAMED = {"columns", "describe", "summarize", "natural", "table"}
"""Words of DuckDB's SQL that stand for columns without naming them."""


class Format(StrEnum):
    """How the answer is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def run(sql: str) -> pa.Table:
    """The answer as Arrow.

    Raises InputError for a table that does not exist (naming those that do) and for SQL that DuckDB refuses.
    """
    with _connection(sql) as connection:
        try:
            relation = connection.sql(sql)
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.Error as error:
            raise InputError(f"the query cannot be run: {error}", hint=_hint()) from error


def stored(name: str) -> str:
    """The SQL of ``queries/<name>.sql``. Raises InputError that names the ones there are."""
    path = QUERIES / f"{name.removesuffix('.sql')}.sql"
    if not path.is_file():
        raise InputError(f"there is no query named {name!r}", hint=f"The queries are: {', '.join(names())}")
    return path.read_text(encoding="utf-8")


def names() -> list[str]:
    """The stored queries."""
    return sorted(path.stem for path in QUERIES.glob("*.sql"))


@contextmanager
def _connection(sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in iceberg.table_names():
            namespace, _, table = name.rpartition(".")
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
            if not re.search(rf"\b{re.escape(table)}\b", sql, re.IGNORECASE):
                continue
            connection.register(f"arrow_{table}", iceberg.scan(name, columns=_mentioned(name, sql)))
            connection.execute(f'CREATE VIEW "{namespace}"."{table}" AS SELECT * FROM arrow_{table}')  # noqa: S608
        yield connection


def _mentioned(name: str, sql: str) -> list[str] | None:
    """The table's columns that the query names; None (all of them) when it may mean others too."""
    table = iceberg.load_table(name)
    words = [word.lower() for word in re.findall(r"\w+", sql)]
    star = re.search(r"(?<!\()\*", sql) or words.count("from") > words.count("select")
    if table is None or star or not _UNNAMED.isdisjoint(words):
        return None
    chosen = [field.name for field in table.schema().fields if field.name.lower() in words]
    return chosen or ["ts_event_ns"]


def _hint() -> str:
    known = ", ".join(iceberg.table_names())
    return f"The tables are: {known}" if known else "No table exists yet: run ./breakwater demo first."


def _print(answer: pa.Table, form: Format) -> None:
    if form is Format.CSV:
        pyarrow.csv.write_csv(answer, sys.stdout.buffer)
    elif form is Format.JSON:
        sys.stdout.write(orjson.dumps(answer.to_pylist(), option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
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


def _text(value: Any) -> str:
    if value is None:
        return "·"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def query(
    sql: Annotated[str | None, typer.Argument(help='SQL, e.g. "SELECT count(*) FROM bronze.futures_mbp10".')] = None,
    file: Annotated[str | None, typer.Option(help=f"A stored query: {', '.join(names())}.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How the answer is printed.")] = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Ask the Iceberg tables in SQL (DuckDB)."""
    try:
        if (sql is None) == (file is None):
            raise InputError("give either SQL or --file NAME", hint=f"The stored queries are: {', '.join(names())}")
        _print(run(sql if sql is not None else stored(str(file))), form)
    except BreakwaterError as error:
        sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        raise typer.Exit(1) from error
