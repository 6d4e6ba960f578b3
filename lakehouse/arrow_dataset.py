"""An Iceberg table at one snapshot as an Arrow dataset: read in pieces, as often as wanted, only what is asked for.

DuckDB gives a dataset the columns and conditions of a query. Files are passed over by the bounds that the table's
manifests hold of their columns, row groups by their own statistics. What PyIceberg would do beyond that, rename and
reorder columns, these tables never need: their columns are only ever added to. Rows that were deleted by a file of
deletions are PyIceberg's to leave out, so such a table is read by it, whole.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import PyArrowFileIO, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import IntegerType, LongType, StringType, TimestamptzType

_BOUNDED = (IntegerType, LongType, StringType, TimestamptzType)


def arrow_schema(schema: Schema) -> pa.Schema:
    """The table's columns as Arrow has them in the files."""
    return pa.schema(
        [
            field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
            for field in schema_to_pyarrow(schema, include_field_ids=False)
        ]
    )


def dataset(table: Table, snapshot_id: int | None) -> ds.Dataset | pa.Table:
    """The rows of ``table`` as of the snapshot; None: the newest one that ``table`` knows."""
    scan = table.scan(snapshot_id=snapshot_id)
    schema = scan.projection()
    tasks = list(scan.plan_files())
    if any(task.delete_files for task in tasks) or not isinstance(table.io, PyArrowFileIO):
        return scan.to_arrow()
    columns = arrow_schema(schema)
    if not tasks:
        return columns.empty_table()
    place = ds.ParquetFileFormat()
    fragments = []
    for task in tasks:
        scheme, netloc, path = PyArrowFileIO.parse_location(task.file.file_path, table.io.properties)
        system = table.io.fs_by_scheme(scheme, netloc)
        known = functools.reduce(operator.and_, _bounds(schema, task.file), ds.scalar(True))
        fragments.append(place.make_fragment(path, filesystem=system, partition_expression=known))
    return ds.FileSystemDataset(fragments, columns, place, fragments[0].filesystem)


def _bounds(schema: Schema, file: DataFile) -> Iterator[pc.Expression]:
    """What is certain of every row of the file."""
    for field in schema.fields:
        kind = field.field_type
        low, high = (file.lower_bounds or {}).get(field.field_id), (file.upper_bounds or {}).get(field.field_id)
        if not field.required or not isinstance(kind, _BOUNDED) or low is None or high is None:
            continue
        arrow = pa.timestamp("us", tz="UTC") if isinstance(kind, TimestamptzType) else None
        least, most = (pa.scalar(from_bytes(kind, bound), arrow) for bound in (low, high))
        yield (pc.field(field.name) >= least) & (pc.field(field.name) <= most)
