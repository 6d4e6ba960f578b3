"""Records as they stand in the tables, in the order of their offsets, a window of them at a time.

A table's files overlap in offsets (one file an hour, compacted or not), so what is read at once is a range of offsets
out of all files that may hold some of it. The bounds of columns in the manifests say which files those are; within a
file, row groups are passed over by their statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThan, Reference
from pyiceberg.expressions.literals import literal
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import DataScan, FileScanTask, Table
from pyiceberg.types import LongType

from common import iceberg, schemas
from common.columns import from_arrow
from common.errors import InputError
from common.recorded.streams import END_NS, Piece, Recorded, interleave
from common.topics import full_name

WINDOW_RECORDS = 65_536
"""Offsets read at once; of futures.mbp10.v1 that is about 100 MB."""


class _File(NamedTuple):
    task: FileScanTask
    first: int
    last: int


class LakeReader:
    """Reads one partition of the tables of a namespace's topics (named here without the namespace).

    A topic that has no table has no records. A table that holds another namespace's topic raises InputError where
    ``strict``, else it counts as none.
    """

    def __init__(self, namespace: str, partition: int, *, strict: bool = True) -> None:
        self.namespace = namespace
        self.partition = partition
        self._strict = strict

    def end_offset(self, topic: str) -> int:
        """The offset after the last record that the sink has committed; 0 while there is no table."""
        table = self._table(topic)
        if table is None:
            return 0
        # The sink's own property: the last rows' offsets say less, as it passes over what cannot be decoded.
        key = f"breakwater.offset.{full_name(topic, self.namespace)}.{self.partition}"
        return int(table.properties.get(key, 0))

    def records(self, topic: str, from_ns: int, until_ns: int, field: str = "ts_effective_ns") -> int:
        """At most so many records lie in the range: those of all files that may hold some."""
        table = self._table(topic)
        if table is None:
            return 0
        return sum(
            task.file.record_count for task in self._scan(table, _between(field, from_ns, until_ns)).plan_files()
        )

    def time_at(self, topic: str, offset: int, field: str = "ts_effective_ns") -> int | None:
        """The time of the first record at or after ``offset``; None when none follows."""
        table = self._table(topic)
        if table is None:
            return None
        behind = GreaterThanOrEqual(term=Reference("_offset"), value=literal(offset))
        scan = self._scan(table, behind, (field, "_offset"))
        first: tuple[int, int] | None = None
        for file in _files(table, scan):
            if first is not None and file.first > first[0]:
                break
            rows = _read(table, scan, [file.task], scan.row_filter)
            if rows.num_rows:
                at = int(pc.min_max(rows["_offset"])["min"].as_py())
                here = rows.filter(pc.equal(rows["_offset"], at))
                first = min(first or (at + 1, 0), (at, int(here[field][0].as_py())))
        return None if first is None else first[1]

    def continues(self, topic: str, ts_ns: int, field: str = "ts_effective_ns") -> bool:
        """Whether the table holds records at or after that time."""
        table = self._table(topic)
        if table is None:
            return False
        scan = self._scan(table, GreaterThanOrEqual(term=Reference(field), value=literal(ts_ns)), (field,))
        return any(_read(table, scan, [task], scan.row_filter).num_rows for task in scan.plan_files())

    def pieces(
        self, topic: str, from_ns: int, until_ns: int, *, end_offset: int = END_NS, field: str = "ts_effective_ns"
    ) -> Iterator[Piece]:
        """The records with from_ns <= time < until_ns and an offset below ``end_offset``, in offset order.

        The table is read as it is when the first piece is asked for.
        """
        record = schemas.load(topic)
        for rows in self._tables(topic, _between(field, from_ns, until_ns), end_offset):
            yield _piece(rows, record)

    def rows(self, topic: str, *, end_offset: int = END_NS) -> Iterator[tuple[int, dict[str, Any]]]:
        """Offset and fields of the records of a low-rate topic below ``end_offset``, in offset order."""
        for rows in self._tables(topic, AlwaysTrue(), end_offset):
            for row in rows.to_pylist():
                yield row.pop("_offset"), row

    def _tables(self, topic: str, condition: BooleanExpression, end_offset: int) -> Iterator[pa.Table]:
        """The rows that match, sorted by offset, a window at a time; never an empty one."""
        table = self._table(topic)
        if table is None:
            return
        known = {column.name for column in table.schema().fields}
        names = [column.name for column in schemas.load(topic).fields if column.name in known]
        scan = self._scan(table, condition, (*names, "_offset"))
        files = _files(table, scan)
        at = 0
        while (at := _next_offset(files, at)) < end_offset:
            stop = min(at + WINDOW_RECORDS, end_offset)
            tasks = [file.task for file in files if file.first < stop and file.last >= at]
            rows = _read(table, scan, tasks, And(scan.row_filter, _between("_offset", at, stop)))
            at = stop
            if rows.num_rows:
                yield rows.sort_by("_offset")

    def _table(self, topic: str) -> Table | None:
        name = iceberg.TABLES.get(topic)
        table = None if name is None else iceberg.load_table(name)
        if table is None:
            return None
        wanted = full_name(topic, self.namespace)
        owner = table.properties.get("breakwater.topic")
        if owner != wanted and not self._strict:
            return None
        if owner != wanted:
            raise InputError(
                f"the table {name} holds the topic {owner}, not {wanted}",
                hint="Each namespace has tables of its own: give its --home, or read from the topics.",
            )
        return table

    def _scan(self, table: Table, condition: BooleanExpression, columns: Sequence[str] = ("_offset",)) -> DataScan:
        mine = EqualTo(term=Reference("_partition"), value=literal(self.partition))
        return table.scan(row_filter=And(mine, condition), selected_fields=tuple(columns))


def bronze_inputs(
    partition: int, topics: Sequence[str], from_ns: int, until_ns: int, *, namespace: str = ""
) -> Iterator[Recorded]:
    """The stored records of the topics (named without the namespace) with from_ns <= effective time < until_ns.

    Each topic's records come in offset order, and the topics about in step with one another, so that a merge holds
    little: see :class:`Recorded`. A topic without a table has none. Raises InputError when a table holds another
    namespace's topic.
    """
    reader = LakeReader(namespace, partition)
    return interleave({topic: reader.pieces(topic, from_ns, until_ns) for topic in topics})


def _between(field: str, begin: int, end: int) -> BooleanExpression:
    return And(
        GreaterThanOrEqual(term=Reference(field), value=literal(begin)),
        LessThan(term=Reference(field), value=literal(end)),
    )


def _files(table: Table, scan: DataScan) -> list[_File]:
    """The files that may hold rows of the scan with the bounds of their offsets, the lowest first."""
    number = table.schema().find_field("_offset").field_id
    files = []
    for task in scan.plan_files():
        low, high = task.file.lower_bounds.get(number), task.file.upper_bounds.get(number)
        if low is None or high is None:
            # Written by an engine that keeps no bounds of so late a column.
            offsets = pc.min_max(_read(table, scan, [task], scan.row_filter)["_offset"])
            if offsets["min"].as_py() is not None:
                files.append(_File(task, offsets["min"].as_py(), offsets["max"].as_py()))
            continue
        files.append(_File(task, int(from_bytes(LongType(), low)), int(from_bytes(LongType(), high))))
    return sorted(files, key=lambda file: (file.first, file.last, file.task.file.file_path))


def _next_offset(files: Sequence[_File], at: int) -> int:
    """The least offset from ``at`` on that a file may hold; END_NS when none may."""
    return min((max(file.first, at) for file in files if file.last >= at), default=END_NS)


def _read(table: Table, scan: DataScan, tasks: Iterable[FileScanTask], condition: BooleanExpression) -> pa.Table:
    return ArrowScan(table.metadata, table.io, scan.projection(), condition).to_table(tasks)


def _piece(rows: pa.Table, record: schemas.RecordSchema) -> Piece:
    (whole,) = rows.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], rows.schema)]
    return Piece(from_arrow(whole, record), rows["_offset"].to_numpy().astype(np.int64))
