"""SQL over the tables with DuckDB: committed rows, and where asked for the topics' records that no commit holds yet.

Each table that the query mentions is one version of it, opened when the query starts, under its own name
(``bronze.futures_mbp10``). DuckDB reads its files itself, the columns and the times it needs; see
:mod:`lakehouse.arrow_dataset`. Tables that a topic fills (Bronze, and the levels' ones of Gold) go on with that
topic's tail; see :mod:`lakehouse.tail`. Tables that are computed from others (Silver, the training tables) have what
was computed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from common import iceberg
from common.errors import BreakwaterError, InputError, UnavailableError
from lakehouse import arrow_dataset
from lakehouse.store import IcebergStore
from lakehouse.tables import TOPIC_PROPERTY
from lakehouse.tail import Tails

QUERIES = Path(__file__).resolve().parent / "queries"
MEMORY = "2GB"
"""What DuckDB may hold before it uses its temporary folder."""

_SHOW_TABLES = re.compile(r"^\s*show\s+(all\s+)?tables\s*;?\s*$", re.IGNORECASE)
_LISTING = (
    "SELECT table_schema || '.' || table_name AS table_name FROM information_schema.tables"
    " WHERE table_schema <> 'main' ORDER BY ALL"
)
SHOW_TABLES = "SHOW TABLES"
_NO_TABLE = re.compile(r"Table with name (\S+) does not exist")
_CATALOGS = re.compile(r"\b(information_schema|duckdb_\w+|pragma|show)\b", re.IGNORECASE)
"""Words of a query that asks which tables and columns there are."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """A state of the tables in the past: a snapshot of the one table that is asked, a tag, or a time. One of them."""

    snapshot_id: int | None = None
    tag: str | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.snapshot_id, self.tag, self.time)) != 1:
            raise InputError("give one of snapshot, tag and time")

    def find(self, name: str, table: Table) -> int:
        """The table's snapshot. Raises InputError when it has none such."""
        if self.snapshot_id is not None:
            found, what = table.snapshot_by_id(self.snapshot_id), f"snapshot {self.snapshot_id}"
        elif self.tag is not None:
            found, what = table.snapshot_by_name(self.tag), f"tag {self.tag!r}"
        else:
            time = self.time or datetime.min.replace(tzinfo=UTC)
            time = time if time.tzinfo else time.replace(tzinfo=UTC)
            found, what = table.snapshot_as_of_timestamp(int(time.timestamp() * 1000)), f"snapshot of {time}"
        if found is None:
            raise InputError(f"table {name} has no {what}", hint=_history(table))
        return found.snapshot_id


def _history(table: Table) -> str:
    kept = table.metadata.snapshots
    if not kept:
        return "It has no snapshot at all."
    first, last = (datetime.fromtimestamp(s.timestamp_ms / 1000, UTC).isoformat() for s in (kept[0], kept[-1]))
    tags = ", ".join(sorted(name for name in table.metadata.refs if name != "main")) or "none"
    return f"It keeps {len(kept)} snapshots, from {first} to {last}; tags: {tags}."


def run(
    sql: str,
    *,
    as_of: AsOf | None = None,
    tail: bool | None = False,
    note: Callable[[str], None] = lambda _: None,
) -> pa.Table:
    """The answer as Arrow.

    ``tail``: with the records that are not committed yet; None: where they can be had, else ``note`` is told why not.
    A past state has none. Raises InputError for a table that does not exist (naming those that do) and for SQL that
    DuckDB refuses; with ``tail`` true also what `lakehouse.tail` raises.
    """
    with _connection(sql, as_of, False if as_of else tail, note) as connection:
        try:
            relation = connection.sql(_LISTING if _SHOW_TABLES.match(sql) else sql)
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.Error as error:
            message, hint = _explained(str(error))
            raise InputError(f"the query cannot be run: {message}", hint=hint) from error


def stored(name: str) -> str:
    """The SQL of ``queries/<name>.sql``. Raises InputError that names the ones there are."""
    path = QUERIES / f"{name.removesuffix('.sql')}.sql"
    if path.parent != QUERIES or not path.is_file():
        near = get_close_matches(name, names(), n=1)
        hint = f"Did you mean @{near[0]}?" if near else f"The queries are: {', '.join(names())}"
        raise InputError(f"there is no query named {name!r}", hint=hint)
    return path.read_text(encoding="utf-8")


def names() -> list[str]:
    """The stored queries."""
    return sorted(path.stem for path in QUERIES.glob("*.sql"))


def question(name: str) -> str:
    """What a stored query asks: its first line."""
    return stored(name).partition("\n")[0].removeprefix("--").strip()


@contextmanager
def _connection(
    sql: str, as_of: AsOf | None, tail: bool | None, note: Callable[[str], None]
) -> Iterator[duckdb.DuckDBPyConnection]:
    known = iceberg.table_names()
    asked = mentioned(sql, known)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="breakwater-query-")))
        connection = stack.enter_context(closing(duckdb.connect(":memory:")))
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute(f"SET temp_directory = '{folder}'")
        for schema in dict.fromkeys(name.partition(".")[0] for name in known):
            connection.execute(f'CREATE SCHEMA "{schema}"')
        tables = {name: IcebergStore(iceberg.open_catalog(), name, _topic(name)) for name in asked}
        standings = {name: store.load() for name, store in tables.items()}
        tails = _tails(folder, tail, note) if asked else None
        if tails is not None:
            stack.callback(tails.close)
        for name, standing in standings.items():
            table: Table = standing.version
            rows = arrow_dataset.dataset(table, None if as_of is None else as_of.find(name, table))
            parts = [rows]
            if tails is not None and (topic := table.properties.get(TOPIC_PROPERTY)):
                try:
                    rest = tails.read(name, topic, standing, rows.schema)
                    parts += [] if rest is None else [rest]
                except BreakwaterError as error:
                    if tail:
                        raise
                    note(f"{name} without its topic's tail: {error}")
            _view(connection, name, parts)
        if _CATALOGS.search(sql):
            for name in known:
                if name not in asked and (found := iceberg.load_table(name)) is not None:
                    _view(connection, name, [arrow_dataset.arrow_schema(found.schema()).empty_table()])
        yield connection


def _view(connection: duckdb.DuckDBPyConnection, name: str, parts: Sequence[object]) -> None:
    """The parts' rows under the table's name."""
    schema, _, table = name.partition(".")
    sources = []
    for number, part in enumerate(parts):
        sources.append(f'"{schema}_{table}_{number}"')
        connection.register(sources[-1].strip('"'), part)
    rows = " UNION ALL ".join(f"SELECT * FROM {source}" for source in sources)  # noqa: S608 - names of ours
    connection.execute(f'CREATE VIEW "{schema}"."{table}" AS {rows}')


def _tails(folder: Path, tail: bool | None, note: Callable[[str], None]) -> Tails | None:
    if tail is False:
        return None
    try:
        return Tails(folder)
    except UnavailableError as error:
        if tail:
            raise
        note(f"committed rows alone: {error}")
        return None


def mentioned(sql: str, known: Sequence[str]) -> list[str]:
    """The tables that the query may read: by their full name, or by the bare one with no known namespace before it."""
    namespaces = {name.partition(".")[0] for name in known}
    out = []
    for name in known:
        namespace, _, table = name.partition(".")
        before = re.findall(rf'(?:"?(\w+)"?\s*\.\s*)?"?\b{re.escape(table)}\b', sql, re.IGNORECASE)
        if any(word.lower() == namespace or word.lower() not in namespaces for word in before):
            out.append(name)
    return out


def _topic(name: str) -> str:
    """The full name of the topic that fills the table; empty when none does."""
    table = iceberg.load_table(name)
    return "" if table is None else table.properties.get(TOPIC_PROPERTY, "")


def _explained(error: str) -> tuple[str, str | None]:
    """DuckDB's message, and what to do about it. Its own guesses at tables are of catalogs that nobody asks."""
    missing = _NO_TABLE.search(error)
    if missing is not None:
        return error.partition("\n")[0], _near_table(missing[1])
    if "Candidate bindings" in error:
        return error, 'The columns of a table: ./breakwater query "DESCRIBE gold.levels_signals"'
    return error, None


def _near_table(name: str) -> str:
    known = iceberg.table_names()
    if not known:
        return "No table exists yet: run ./breakwater demo first."
    bare = {full.partition(".")[2]: full for full in known}
    near = get_close_matches(name.lower(), bare, n=1)
    listing = f'All of them: ./breakwater query "{SHOW_TABLES}"'
    return f"Did you mean {bare[near[0]]}? {listing}" if near else listing
