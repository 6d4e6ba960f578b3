"""Hours of event time, and reading what a table holds of them: a whole hour at once, or in pieces that fit in memory.

An hour is named by its number since the epoch, as Iceberg's hour partitions are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    LessThan,
    Not,
    Or,
    Reference,
)
from pyiceberg.expressions.literals import literal
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import DataFile
from pyiceberg.table import DataScan, FileScanTask, Table
from pyiceberg.types import LongType

from lakehouse.tables import HOUR_NS

PIECE_ROWS = 400_000
"""Rows aimed at in one piece; of the widest table that is about 250 MB."""


def files_by_hour(table: Table) -> dict[int, list[DataFile]]:
    """The table's data files by their hour."""
    out: dict[int, list[DataFile]] = {}
    for task in table.scan().plan_files():
        out.setdefault(int(task.file.partition[0]), []).append(task.file)
    return out


def hours_between(table: Table, begin: int, end: int) -> set[int]:
    """The hours from ``begin`` to before ``end`` that have rows; found in the manifests, no row is read."""
    if begin >= end:
        return set()
    tasks = table.scan(row_filter=within(begin * HOUR_NS, end * HOUR_NS)).plan_files()
    return {hour for task in tasks if begin <= (hour := int(task.file.partition[0])) < end}


def pieces_of_hour(table: Table, hour: int, columns: Sequence[str] = ("*",)) -> Iterator[tuple[int, int, pa.Table]]:
    """The hour's rows in pieces of event time, ascending: (begin_ns, end_ns, rows in no particular order).

    Rows of one instant are never in two pieces. Pieces are as many as the manifests' row counts ask for.
    """
    begin_ns = hour * HOUR_NS
    scan = table.scan(row_filter=within(begin_ns, begin_ns + HOUR_NS), selected_fields=tuple(columns))
    tasks = list(scan.plan_files())
    rows = sum(task.file.record_count for task in tasks)
    count = max(1, -(-rows // PIECE_ROWS))
    bounds = [begin_ns + HOUR_NS * number // count for number in range(count + 1)]
    for low, high in pairwise(bounds):
        some = [task for task in tasks if _may_hold(table, task, low, high)]
        if some:
            yield low, high, _read(table, scan, some, And(scan.row_filter, _times(low, high)))


def rows_between(
    table: Table,
    begin_ns: int,
    end_ns: int,
    columns: Sequence[str] = ("*",),
    condition: BooleanExpression = AlwaysTrue(),  # noqa: B008
) -> pa.Table:
    """The rows with begin_ns <= ts_event_ns < end_ns, in no particular order."""
    where = And(And(within(begin_ns, end_ns), _times(begin_ns, end_ns)), condition)
    return table.scan(row_filter=where, selected_fields=tuple(columns)).to_arrow()


def within(begin_ns: int, end_ns: int) -> BooleanExpression:
    """The condition on ``ts_event`` that prunes by partition; exact where the bounds are whole microseconds."""
    return And(
        GreaterThanOrEqual(term=Reference("ts_event"), value=literal(_iso(begin_ns // 1000))),
        LessThan(term=Reference("ts_event"), value=literal(_iso(-(-end_ns // 1000)))),
    )


def appended_since(offsets: Mapping[int, int]) -> BooleanExpression:
    """Rows of a table of the sink at or beyond these offsets by partition, and those of other partitions."""
    known: BooleanExpression = AlwaysFalse()
    fresh: BooleanExpression = AlwaysFalse()
    for number, offset in sorted(offsets.items()):
        mine = EqualTo(term=Reference("_partition"), value=literal(number))
        known = Or(known, mine)
        fresh = Or(fresh, And(mine, GreaterThanOrEqual(term=Reference("_offset"), value=literal(offset))))
    return Or(fresh, Not(known))


def _times(begin_ns: int, end_ns: int) -> BooleanExpression:
    return And(
        GreaterThanOrEqual(term=Reference("ts_event_ns"), value=literal(begin_ns)),
        LessThan(term=Reference("ts_event_ns"), value=literal(end_ns)),
    )


def _iso(time_us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).isoformat()


def _may_hold(table: Table, task: FileScanTask, begin_ns: int, end_ns: int) -> bool:
    number = table.schema().find_field("ts_event_ns").field_id
    low, high = task.file.lower_bounds.get(number), task.file.upper_bounds.get(number)
    if low is None or high is None:
        return True
    return int(from_bytes(LongType(), low)) < end_ns and int(from_bytes(LongType(), high)) >= begin_ns


def _read(table: Table, scan: DataScan, tasks: Sequence[FileScanTask], condition: BooleanExpression) -> pa.Table:
    return ArrowScan(table.metadata, table.io, scan.projection(), condition).to_table(tasks)
