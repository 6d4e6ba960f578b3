"""How any writer of ours changes a table: one sorted file per hour, and one attempt to commit.

PyIceberg's ``commit_transaction`` is not used: it would retry by itself, on a newer version and without comparing, and
it deletes the manifests of an attempt that was answered with a conflict, which may have landed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.fileformat import FileFormatFactory
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import AssertTableUUID, TableUpdate

COMMIT_ID = "breakwater.commit-id"
"""In a snapshot's summary: by it a writer finds out whether an attempt landed whose answer was lost."""


class SingleAttempt(Transaction):
    """A transaction for :func:`apply_once`.

    PyIceberg's works out the metadata, with all snapshots, each of the fifteen times a commit looks at it.
    """

    _known: tuple[tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The table's metadata with the updates so far."""
        if self._known is None or self._known[0] is not self._updates:
            self._known = (self._updates, super().table_metadata)
        return self._known[1]


def apply_once(table: Table, transaction: Transaction) -> None:
    """One attempt, on the version of the table that the transaction began with.

    PyIceberg has no public way to make just one; its version is pinned and tests watch these names. Raises
    CommitFailedException when the table has moved on; after any other error the outcome is unknown.
    """
    requirements = (*transaction._requirements, AssertTableUUID(uuid=table.metadata.table_uuid))
    table._do_commit(updates=transaction._updates, requirements=requirements)


def find_commit(table: Table, commit_id: str) -> int | None:
    """The snapshot that carries the commit id, if any; the newest are looked at first."""
    for snapshot in reversed(table.metadata.snapshots):
        if snapshot.summary is not None and snapshot.summary.additional_properties.get(COMMIT_ID) == commit_id:
            return snapshot.snapshot_id
    return None


def fitted(rows: pa.Table, table: Table) -> pa.Table:
    """The rows with the table's columns in its order, field ids on them; a column that they lack is null."""
    fields, columns = [], []
    for field in schema_to_pyarrow(table.schema(), include_field_ids=True):
        # Without the offsets of a large string a column of text costs no copy; Parquet knows no difference.
        kind = pa.string() if pa.types.is_large_string(field.type) else field.type
        fields.append(pa.field(field.name, kind, field.nullable, field.metadata))
        if field.name not in rows.column_names:
            columns.append(pa.chunked_array([pa.nulls(rows.num_rows, kind)]))
        else:
            column = rows[field.name]
            columns.append(column if column.type == kind else pc.cast(column, kind))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def write_hour(table: Table, hour: int, pieces: Iterable[pa.Table], file_name: str) -> DataFile | None:
    """One Parquet file in the partition ``hour`` (hours since the epoch) with the pieces in their order.

    None when there are no rows. Nobody sees the file before a commit names it.
    """
    spec = table.spec()
    key = PartitionKey([PartitionFieldValue(spec.fields[0], hour)], spec, table.schema())
    filled: Iterator[pa.Table] = (piece for piece in pieces if piece.num_rows)
    first = next(filled, None)
    if first is None:
        return None
    path = table.location_provider().new_data_location(file_name, key)
    output = table.io.new_output(path)
    writer = FileFormatFactory.get(FileFormat.PARQUET).create_writer(output, table.schema(), table.properties)
    with writer:
        for piece in chain([first], filled):
            writer.write(fitted(piece, table))
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=key.partition,
        file_size_in_bytes=len(output),
        sort_order_id=None,
        spec_id=spec.spec_id,
        equality_ids=None,
        key_metadata=None,
        **writer.result().to_serialized_dict(),
    )
