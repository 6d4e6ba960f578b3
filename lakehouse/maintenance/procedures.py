"""Trino's own procedures, where a Trino is configured: it packs and merges in its workers, not in this process.

Only what PyIceberg lacks is asked of it. Unnamed files stay with :mod:`.orphans`: Trino goes by a file's age, which
says nothing about who may still be reading it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from pyiceberg.table import Table
from trino.dbapi import Connection, connect
from trino.exceptions import Error, TrinoConnectionError, TrinoQueryError

from common.errors import ConfigError, UnavailableError

USER = "breakwater"
MIB = 1024 * 1024


class Trino:
    """``url``: ``http://host:port/catalog``; the tables are ``catalog.bronze.futures_mbp10`` and so on there.

    Raises ConfigError for another form.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        catalog = parts.path.strip("/")
        if parts.scheme not in ("http", "https") or parts.hostname is None or not catalog or "/" in catalog:
            raise ConfigError(f"trino_url {url!r} is not http://host:port/catalog", hint="Set BREAKWATER_TRINO_URL so.")
        self._scheme, self._host, self._catalog = parts.scheme, parts.hostname, catalog
        self._port = parts.port or (443 if parts.scheme == "https" else 8080)

    def pack(self, table: Table, below_bytes: int) -> None:
        """Rewrite the files smaller than that into larger ones, in the table's order. Raises UnavailableError."""
        self._execute(table, f"optimize(file_size_threshold => '{max(1, below_bytes // MIB)}MB')")

    def merge_manifests(self, table: Table) -> None:
        """Rewrite the manifests into fewer. Raises UnavailableError."""
        self._execute(table, "optimize_manifests")

    def _execute(self, table: Table, procedure: str) -> None:
        name = ".".join(f'"{part}"' for part in (self._catalog, *table.name()))
        with self._connection() as connection:
            cursor = connection.cursor()
            try:
                cursor.execute(f"ALTER TABLE {name} EXECUTE {procedure}")
                cursor.fetchall()
            except (Error, TrinoConnectionError, TrinoQueryError) as error:
                raise UnavailableError(
                    f"Trino at {self._host}:{self._port} did not run {procedure} on {name}: {error}",
                    hint="Check Trino, or unset BREAKWATER_TRINO_URL to have it done here.",
                ) from error

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        connection = connect(  # type: ignore[no-untyped-call]
            host=self._host, port=self._port, user=USER, http_scheme=self._scheme, timezone="UTC", max_attempts=3
        )
        try:
            yield connection
        finally:
            connection.close()
