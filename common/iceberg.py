"""The Iceberg catalog's one owner: where the tables are, how they are opened and read.

Without configuration the catalog is embedded: a SQLite file and local Parquet files under ``<home>/lake``, shared by
the sink (the only writer of rows) and any number of readers in other processes. A catalog of the same name configured
the PyIceberg way (``PYICEBERG_CATALOG__BREAKWATER__URI`` and so on, or ``.pyiceberg.yaml``) replaces it, and so does
the REST catalog of a home that was started with one (``./breakwater up --lake``).
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.catalog import load_catalog as load_configured_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchNamespaceError, NoSuchTableError
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table import Table
from pyiceberg.utils.config import Config

from common import topics
from common.endpoints import local_catalog
from common.errors import InputError, UnavailableError
from common.settings import settings


def _table_name(layer: str, topic: str) -> str:
    return f"{layer}.{topic.rpartition('.')[0].replace('.', '_')}"


_BRONZE = (*topics.ENGINE_INPUTS, topics.HEARTBEATS, topics.MARKERS)
_GOLD = (topics.FEATURES, topics.SIGNALS, topics.OUTCOMES, topics.OPTIONS_FLOW)

TABLES: dict[str, str] = {
    **{topic: _table_name("bronze", topic) for topic in _BRONZE},
    **{topic: _table_name("gold", topic) for topic in _GOLD},
}
"""The table of each stored topic (the topic's name without a namespace)."""

SQLITE_TIMEOUT_S = 60
"""How long a process waits for another one's commit in the embedded catalog; commits take milliseconds."""


def open_catalog() -> Catalog:
    """The deployment's catalog; one per process, safe to use from several threads.

    Raises UnavailableError when it cannot be opened.
    """
    name = settings().catalog
    properties = configured() or local_catalog()
    if properties:
        return _loaded(name, tuple(sorted(properties.items())))
    return _embedded(name, settings().lake)


def configured() -> dict[str, str] | None:
    """The catalog's properties as PyIceberg's own configuration gives them; None when it says nothing."""
    found = Config().get_catalog_config(settings().catalog)
    return {key: str(value) for key, value in found.items()} if found else None


def ensure_namespace(catalog: Catalog, name: str) -> None:
    """Make the namespace unless it is there. Several processes may do so at once."""
    try:
        catalog.create_namespace(name)
    except NamespaceAlreadyExistsError:
        return
    except Exception:
        # An SQL catalog looks and then inserts: of two at once, the later one gets the database's own error.
        if not catalog.namespace_exists(name):
            raise


def load_table(name: str) -> Table | None:
    """The newest state of the table ``bronze.futures_mbp10`` and the like; None while it does not exist."""
    try:
        return open_catalog().load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


def table_names() -> list[str]:
    """The names of all tables that exist, sorted."""
    catalog = open_catalog()
    return sorted(
        ".".join(identifier) for namespace in catalog.list_namespaces() for identifier in catalog.list_tables(namespace)
    )


def scan(
    name: str,
    row_filter: str | BooleanExpression | None = None,
    columns: Sequence[str] | None = None,
    *,
    snapshot_id: int | None = None,
    limit: int | None = None,
) -> pa.Table:
    """The rows of a table as Arrow, in no particular order.

    ``row_filter`` is a PyIceberg expression or its text (``"ts_event_ns >= 1 and level_id = 'ROUND_480'"``); it prunes
    files by partition and column bounds before anything is read. ``snapshot_id`` reads the table as it was, None as it
    is now. Raises InputError when there is no such table.
    """
    table = load_table(name)
    if table is None:
        known = ", ".join(table_names())
        raise InputError(
            f"there is no table {name!r}",
            hint=f"The tables are: {known}"
            if known
            else "No table exists yet; the sink makes them (./breakwater demo).",
        )
    return table.scan(
        row_filter=AlwaysTrue() if row_filter is None else row_filter,
        selected_fields=("*",) if columns is None else tuple(columns),
        snapshot_id=snapshot_id,
        limit=limit,
    ).to_arrow()


@cache
def _loaded(name: str, properties: tuple[tuple[str, str], ...]) -> Catalog:
    try:
        return load_configured_catalog(name, **dict(properties))
    except Exception as error:
        raise UnavailableError(
            f"the Iceberg catalog {name!r} cannot be opened: {error}",
            hint=f"Check PYICEBERG_CATALOG__{name.upper()}__* or .pyiceberg.yaml, or ./breakwater status.",
        ) from error


@cache
def _embedded(name: str, lake: Path) -> Catalog:
    warehouse = lake / "warehouse"
    warehouse.mkdir(parents=True, exist_ok=True)
    database = lake / "catalog.db"
    # PyIceberg makes its tables with a check and then a create: two processes at once would trip over each other.
    with _locked(lake / "catalog.lock"):
        with closing(sqlite3.connect(database, timeout=SQLITE_TIMEOUT_S)) as connection:
            # Readers never wait for the writer, nor the writer for them. The mode is kept in the file.
            connection.execute("PRAGMA journal_mode=WAL")
        return SqlCatalog(name, uri=f"sqlite:///{database}?timeout={SQLITE_TIMEOUT_S}", warehouse=warehouse.as_uri())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
