"""What a computed table is computed from, and which hours of it are new since it was read last.

A cursor is what the computed table remembers of a source: of a table of the sink the offsets that were read and the
hours that were closed, of a computed table the snapshot. Both are blind to compaction: it brings no offsets and names
no hours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pyiceberg.expressions import And
from pyiceberg.table import Table

from common import iceberg
from common.errors import InvariantError
from lakehouse.silver.hours import appended_since, files_by_hour, hours_between, within
from lakehouse.silver.table import HOURS
from lakehouse.tables import HOUR_NS


@dataclass(frozen=True, slots=True)
class Reading:
    """A source at one version: its table, the hours that are new in it, and the cursor that says that they were read.

    ``table`` is None while the source does not exist; nothing is new in it then.
    """

    table: Table | None
    hours: frozenset[int]
    cursor: str | None


class Source(Protocol):
    """One source of a computed table."""

    name: str

    def read(self, cursor: str | None) -> Reading:
        """The newest version against the cursor; None is a table that has read nothing."""
        ...


class Appended:
    """A table of the sink, closed hour by closed hour.

    ``topic``: its full name. ``closed``: the first hour that is not closed, from the table's properties and its
    offsets by partition.
    """

    def __init__(self, name: str, topic: str, closed: Callable[[Mapping[str, str], Mapping[int, int]], int]) -> None:
        self.name = name
        self._topic = topic
        self._closed = closed

    def read(self, cursor: str | None) -> Reading:
        """Hours that closed since, and closed ones to which rows came late.

        Raises InvariantError when the table holds less than was read.
        """
        table = iceberg.load_table(self.name)
        if table is None or table.current_snapshot() is None:
            return Reading(None, frozenset(), cursor)
        known: dict[str, Any] = json.loads(cursor) if cursor else {"offsets": {}, "closed": 0}
        read = {int(number): int(offset) for number, offset in known["offsets"].items()}
        offsets = _offsets(table, self._topic)
        behind = [number for number, offset in read.items() if offsets.get(number, 0) < offset]
        if behind:
            raise InvariantError(
                f"{self.name} ends at offsets {offsets}, and up to {read} was read from it before",
                hint="The table was made anew. Drop the tables that are computed from it (silver.*, "
                "gold.training_es_pipeline); they are computed anew.",
            )
        closed = max(int(known["closed"]), self._closed(table.properties, offsets))
        hours = hours_between(table, int(known["closed"]), closed)
        if known["closed"] and offsets != read:
            hours |= _late_rows_by_hour(table, int(known["closed"]), read)
        snapshot = table.current_snapshot()
        now = {
            "offsets": {str(number): offsets[number] for number in sorted(offsets)},
            "closed": closed,
            "snapshot": None if snapshot is None else snapshot.snapshot_id,
        }
        return Reading(table, frozenset(hours), json.dumps(now))


class Rebuilt:
    """A computed table, by the hours that its snapshots replaced."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, cursor: str | None) -> Reading:
        """The hours that were replaced since; all of them when the snapshot that was read is no longer known."""
        table = iceberg.load_table(self.name)
        snapshot = None if table is None else table.current_snapshot()
        if table is None or snapshot is None:
            return Reading(None, frozenset(), cursor)
        known = json.loads(cursor)["snapshot"] if cursor else None
        newest = json.dumps({"snapshot": snapshot.snapshot_id})
        hours: set[int] = set()
        at = snapshot
        while at.snapshot_id != known:
            text = "" if at.summary is None else at.summary.additional_properties.get(HOURS, "")
            hours.update(int(hour) for hour in text.split(",") if hour)
            parent = None if at.parent_snapshot_id is None else table.snapshot_by_id(at.parent_snapshot_id)
            if parent is None:
                return Reading(table, frozenset(hours | set(files_by_hour(table))), newest)
            at = parent
        return Reading(table, frozenset(hours), newest)


def _offsets(table: Table, topic: str) -> dict[int, int]:
    """Next offset by partition, as the sink committed it together with the rows."""
    prefix = f"breakwater.offset.{topic}."
    return {
        int(key.removeprefix(prefix)): int(value)
        for key, value in table.properties.items()
        if key.startswith(prefix) and key.removeprefix(prefix).isdigit()
    }


def _late_rows_by_hour(table: Table, closed: int, read: Mapping[int, int]) -> set[int]:
    """The hours before ``closed`` to which rows came that were not there before."""
    found: set[int] = set()
    scan = table.scan(
        row_filter=And(within(0, closed * HOUR_NS), appended_since(read)), selected_fields=("ts_event_ns",)
    )
    for batch in scan.to_arrow_batch_reader():
        found.update((batch["ts_event_ns"].to_numpy() // HOUR_NS).tolist())
    return found
