"""What others ask of the tables: how many rows, which signals, how far the sink is."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from common import iceberg, topics
from common.errors import InputError, InvariantError
from lakehouse.silver.hours import files_by_hour, pieces_of_hour

_OFFSET_PREFIX = "breakwater.offset."


def table_rows(name: str) -> int:
    """The rows a reader finds in the table, counted by reading a column of every file; 0 while there is no table."""
    table = iceberg.load_table(name)
    if table is None:
        return 0
    return sum(batch.num_rows for batch in table.scan(selected_fields=("ts_event_ns",)).to_arrow_batch_reader())


def signals() -> Iterator[pa.Table]:
    """All signals in the order (ts_event_ns, level_id), in pieces that fit in memory.

    Raises InputError while there is no table.
    """
    name = iceberg.TABLES[topics.SIGNALS]
    table = iceberg.load_table(name)
    if table is None:
        raise InputError(f"there is no table {name!r}", hint="The sink makes it (./breakwater demo).")
    for hour in sorted(files_by_hour(table)):
        for _, _, rows in pieces_of_hour(table, hour):
            yield rows.sort_by([("ts_event_ns", "ascending"), ("level_id", "ascending")])


def snapshot_id(name: str) -> int | None:
    """The table's current snapshot; None before the first commit."""
    table = iceberg.load_table(name)
    snapshot = None if table is None else table.current_snapshot()
    return None if snapshot is None else snapshot.snapshot_id


def committed_offsets(name: str) -> dict[tuple[str, int], int]:
    """The next offset by (full topic name, partition), as the table itself says; empty before the first commit."""
    table = iceberg.load_table(name)
    out: dict[tuple[str, int], int] = {}
    for key, value in ({} if table is None else table.properties).items():
        if key.startswith(_OFFSET_PREFIX):
            topic, _, partition = key.removeprefix(_OFFSET_PREFIX).rpartition(".")
            if not topic or not partition.isdigit():
                raise InvariantError(f"table {name} has a damaged property {key}={value}")
            out[topic, int(partition)] = int(value)
    return out
