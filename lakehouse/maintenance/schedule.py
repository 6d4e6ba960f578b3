"""When a table is due: a whole round every so often, and in between a packing whenever enough files have come.

A sink adds a file a second to an hour, so that rounds minutes apart would find hundreds. Whoever runs the schedule
looks at each table every `LOOK_S`; that reads no more than the table's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable

from lakehouse.maintenance.compaction import FAN_IN

LOOK_S = 5.0
"""Between two looks: three sinks that commit each second add fifteen files to an hour meanwhile."""


class Schedule:
    """What is due, as time goes by. Times are seconds of any clock that does not go backwards."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._packed: dict[str, int] = {}
        self._round_s: dict[str, float] = {}

    def is_grown(self, table: str, files: int) -> bool:
        """True when the table has `FAN_IN` files more than after its last packing, so that some may be packed."""
        return files - self._packed.get(table, 0) >= FAN_IN

    def packed(self, table: str, files: int) -> None:
        """Its growing hours were packed, and it has so many files now."""
        self._packed[table] = files

    def due(self, tables: Iterable[str], now_s: float) -> str | None:
        """The table whose whole round is overdue longest, if any; one at a time, so that looks come in between."""
        since = {table: self._round_s.get(table, now_s - self._every_s) for table in tables}
        oldest = min(since, key=lambda table: (since[table], table), default=None)
        return oldest if oldest is not None and now_s - since[oldest] >= self._every_s else None

    def rounded(self, table: str, now_s: float) -> None:
        """Its whole round was done, or has failed and is tried again with the next one."""
        self._round_s[table] = now_s
