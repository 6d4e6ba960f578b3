"""A table that is computed from others: whole hours are replaced, their rows and the bookkeeping in one commit.

What the table was computed from stands in its properties and changes only together with its rows: a cursor per
source, and the hours that are known to need computing and were not computed yet. Every commit requires that the main
branch is still the one that was read, so of two writers one is refused; it reads again and finds the work done. An
answer that was lost needs no search: what landed is seen by the next reading, what did not is computed again to the
same rows.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from common.errors import ConflictError
from lakehouse.files import SingleAttempt, apply_once, write_hour
from lakehouse.silver.hours import files_by_hour
from lakehouse.tables import create_hourly, fit_columns

HOURS = "breakwater.hours"
"""Of a snapshot: the hours that it replaced. A snapshot without it (a compaction) brought no new rows."""

CURSOR = "breakwater.read."
PENDING = "breakwater.pending-hours"
PARAMETERS = "breakwater.parameters"
DERIVED = "breakwater.derived"

_HINT = "It is computed from other tables: drop it, and it is computed anew."


@dataclass(frozen=True, slots=True)
class State:
    """The table at one version: what of each source it was computed from, and which hours are still to do."""

    table: Table
    cursors: Mapping[str, str]
    pending: tuple[int, ...]


class DerivedTable:
    """One computed table. Any number of processes may have one of the same name.

    ``parameters``: everything besides the sources that the rows depend on; a table computed with others is computed
    anew, hour by hour.
    """

    def __init__(self, catalog: Catalog, name: str, schema: Schema, doc: str, parameters: str = "") -> None:
        self.name = name
        self._catalog = catalog
        self._schema = schema
        self._doc = doc
        self._parameters = parameters

    def load(self) -> State:
        """The newest version; the table is made or given its new nullable columns first.

        Raises SchemaError when a column would have to change otherwise.
        """
        try:
            table = fit_columns(self._catalog, self.name, self._schema, _HINT)
        except NoSuchTableError:
            table = self._create()
        properties = table.properties
        pending = tuple(json.loads(properties.get(PENDING, "[]")))
        if properties.get(PARAMETERS, self._parameters) != self._parameters:
            return State(table, {}, tuple(sorted({*pending, *files_by_hour(table)})))
        cursors = {key.removeprefix(CURSOR): value for key, value in properties.items() if key.startswith(CURSOR)}
        return State(table, cursors, pending)

    def replace(
        self,
        state: State,
        hours: Iterable[tuple[int, Iterator[pa.Table]]],
        cursors: Mapping[str, str],
        pending: Sequence[int],
    ) -> int:
        """Put these rows in the place of all that the hours held, with the bookkeeping; returns the rows written.

        Each hour's rows come in pieces, in the order in which they shall stand in its one file. Raises ConflictError
        when the table has moved on, by another writer or by this very change: reading it again tells.
        """
        table = state.table
        staged: list[DataFile] = []
        replaced: list[int] = []
        commit = uuid.uuid4().hex
        try:
            for hour, pieces in hours:
                replaced.append(hour)
                written = write_hour(table, hour, pieces, f"{commit}-{hour}.parquet")
                if written is not None:
                    staged.append(written)
        except BaseException:
            _remove(table, staged)
            raise
        try:
            self._commit(table, staged, replaced, cursors, pending)
        except CommitFailedException as error:
            # The files stay: a request that was sent twice is refused the second time after it has landed.
            raise ConflictError(f"the table {self.name} has moved on: {error}", hint="Read it again.") from error
        return sum(data_file.record_count for data_file in staged)

    def _commit(
        self,
        table: Table,
        staged: Sequence[DataFile],
        replaced: Sequence[int],
        cursors: Mapping[str, str],
        pending: Sequence[int],
    ) -> None:
        before = files_by_hour(table)
        properties = {f"{CURSOR}{name}": value for name, value in cursors.items()}
        properties |= {PENDING: json.dumps(list(pending)), PARAMETERS: self._parameters}
        transaction = SingleAttempt(table)
        # A snapshot even without files: only its requirement ties the new cursors to the ones that were read.
        with transaction.update_snapshot(
            snapshot_properties={HOURS: ",".join(map(str, sorted(replaced)))}
        ).overwrite() as overwrite:
            for hour in replaced:
                for data_file in before.get(hour, ()):
                    overwrite.delete_data_file(data_file)
            for data_file in staged:
                overwrite.append_data_file(data_file)
        transaction.set_properties(properties)
        apply_once(table, transaction)

    def _create(self) -> Table:
        properties = {DERIVED: "true", PARAMETERS: self._parameters, "comment": self._doc}
        try:
            return create_hourly(self._catalog, self.name, self._schema, properties)
        except TableAlreadyExistsError:
            return fit_columns(self._catalog, self.name, self._schema, _HINT)


def _remove(table: Table, staged: Sequence[DataFile]) -> None:
    """Files that no snapshot names; what cannot be removed now is maintenance's."""
    for data_file in staged:
        with suppress(OSError):
            table.io.delete(data_file.file_path)
