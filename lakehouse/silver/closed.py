"""Which hours are closed: no record of them is still to come, but for late ones, which rebuild their hour.

A market topic's hour is closed when a heartbeat promised an effective time past its end, and the sink has committed
the topic up to where that promise begins. An input that has ended closes the hour in which it ends. Levels come in the
order of their snaps, so the sink's mark (the last snap that stands in the table) closes what lies before it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from common import iceberg, topics
from lakehouse.silver.hours import appended_since
from lakehouse.tables import HOUR_NS

NEVER_OPEN = 2_500_000
"""In the year 2255, later than every hour: of a source whose hours are taken as they come."""

_COLUMNS = ("topic", "partition", "next_offset", "ts_watermark_ns", "state", "_partition", "_offset")

_Place = tuple[str, int]
"""A topic (its full name) and a partition."""


class Promises:
    """What the stored heartbeats promise, kept small: of each hour the first offset from which it is over."""

    def __init__(self) -> None:
        self._over: dict[_Place, dict[int, int]] = {}
        self._newest: dict[_Place, tuple[int, int, bool]] = {}
        self._read: dict[int, int] = {}

    def refresh(self) -> None:
        """Take up the heartbeats that were stored since the last time."""
        table = iceberg.load_table(iceberg.TABLES[topics.HEARTBEATS])
        if table is None or table.current_snapshot() is None:
            return
        scan = table.scan(row_filter=appended_since(self._read), selected_fields=_COLUMNS)
        for batch in scan.to_arrow_batch_reader():
            if batch.num_rows:
                self.add(pa.Table.from_batches([batch]))

    def add(self, beats: pa.Table) -> None:
        """Take up heartbeats, in any order."""
        hours = pa.array(beats["ts_watermark_ns"].to_numpy() // HOUR_NS)
        keys = ["topic", "partition", "hour"]
        over = beats.append_column("hour", hours).group_by(keys).aggregate([("next_offset", "min")])
        for row in over.to_pylist():
            known = self._over.setdefault((row["topic"], row["partition"]), {})
            hour, offset = row["hour"], row["next_offset_min"]
            known[hour] = min(known.get(hour, offset), offset)
        newest = beats.group_by(["topic", "partition"]).aggregate([("_offset", "max")])
        last = beats.filter(pc.is_in(beats["_offset"], value_set=newest["_offset_max"].combine_chunks()))
        for row in last.to_pylist():
            place = (row["topic"], row["partition"])
            found = (row["_offset"], row["next_offset"], row["state"] == "ENDED")
            self._newest[place] = max(self._newest.get(place, found), found)
        ends = beats.group_by("_partition").aggregate([("_offset", "max")])
        for row in ends.to_pylist():
            self._read[row["_partition"]] = max(self._read.get(row["_partition"], 0), row["_offset_max"] + 1)

    def ended(self, topic: str) -> bool:
        """Whether the newest heartbeat of every partition of the topic says that its input has ended."""
        newest = [ended for (name, _), (_, _, ended) in self._newest.items() if name == topic]
        return bool(newest) and all(newest)

    def closed(self, topic: str, offsets: Mapping[int, int]) -> int:
        """The first hour of the topic (its full name) that is not closed; 0 when nothing is promised.

        ``offsets``: the next offset of each partition that the sink has committed.
        """
        return min((self._closed((topic, n), offset) for n, offset in offsets.items() if offset > 0), default=0)

    def _closed(self, place: _Place, offset: int) -> int:
        hours = [hour for hour, first in self._over.get(place, {}).items() if first <= offset]
        if not hours:
            return 0
        _, next_offset, ended = self._newest[place]
        return max(hours) + (1 if ended and next_offset <= offset else 0)


def closed_by_marks(properties: Mapping[str, str], topic: str) -> int:
    """The first hour of a levels topic (its full name) that the sink's marks do not close; 0 without marks."""
    marks = [int(mark.partition(":")[0]) for mark in marks_of(properties, topic).values()]
    return min((ts_event_ns // HOUR_NS for ts_event_ns in marks), default=0)


def marks_of(properties: Mapping[str, str], topic: str) -> dict[str, str]:
    """The last row that stands in the table, as ``ts_event_ns:snap_row`` by partition."""
    prefix = f"breakwater.mark.{topic}."
    return {key.removeprefix(prefix): value for key, value in properties.items() if key.startswith(prefix)}
