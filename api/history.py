"""One level's past: committed rows of gold.levels_signals, and after them what is still only in memory.

A row is known by its time (the level is given), so a row that is in both, or that was published twice, comes once. The
newest rows are added only when memory reaches back to what is committed: a page never has a hole, it ends earlier and
says so.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    LessThanOrEqual,
    Reference,
)
from pyiceberg.expressions.literals import literal

from api.clock import iso, moment
from api.live import LiveSignals
from api.payload import Columns, level_payload, spot_payload
from api.problems import NotFoundError
from api.snaps import Snap
from common import schemas, topics
from common.errors import InputError

DEFAULT_LIMIT = 500
LIMIT_MAX = 5_000
DEFAULT_SPAN_NS = 3_600_000_000_000
"""Without `from`, a page begins this long before `to`."""
HINT_LEVELS = 40
"""Known levels named when one is not."""

_MOST_NS = 2**63 - 1
_COLUMNS = tuple(field.name for field in schemas.load(topics.SIGNALS).fields)

Point = tuple[int, dict[str, Any]]
"""Time in ns and the payload of one level at that time."""

Scan = Callable[[BooleanExpression, Sequence[str]], pa.Table | None]
"""Rows of gold.levels_signals that match, with these columns; None while there is no table."""


@dataclass(frozen=True, slots=True)
class Page:
    """Points ascending by time, what to ask for next, and whether the newest rows are all there."""

    points: list[dict[str, Any]]
    next_cursor: str | None
    complete: bool


class HistoryReader:
    """Reads pages. Holds no state of its own; thread-safe when ``scan`` is."""

    def __init__(self, scan: Scan, live: LiveSignals) -> None:
        self._scan = scan
        self._live = live

    def page(
        self, level_id: str, begin_ns: int | None, end_ns: int | None, limit: int, cursor: str | None = None
    ) -> Page:
        """Up to ``limit`` points of the level with begin_ns <= time <= end_ns.

        ``end_ns`` None is without end; ``begin_ns`` None is DEFAULT_SPAN_NS before the end (or the newest snap).
        Raises InputError for times in the wrong order or a foreign cursor, NotFoundError for a level that never was.
        """
        snaps, from_log_begin = self._live.all()
        last_ns = _MOST_NS if end_ns is None else end_ns
        if begin_ns is None:
            newest_ns = snaps[-1].ts_event_ns if snaps else last_ns
            reference_ns = min(last_ns, newest_ns)
            begin_ns = 0 if reference_ns == _MOST_NS else max(0, reference_ns - DEFAULT_SPAN_NS)
        if begin_ns > last_ns:
            raise InputError(f"from={iso(begin_ns)} is after to={iso(last_ns)}", hint="Swap them, or leave one out.")
        if cursor is not None:
            begin_ns = max(begin_ns, decode_cursor(cursor, level_id) + 1)
        points = self._committed(level_id, begin_ns, last_ns, limit + 1)
        complete = True
        if len(points) <= limit:
            complete = self._touches(snaps, from_log_begin)
            if complete:
                after_ns = points[-1][0] if points else begin_ns - 1
                points += _tail(snaps, level_id, after_ns, last_ns, limit + 1 - len(points))
        if not points and cursor is None:
            self._must_exist(level_id, snaps)
        more = len(points) > limit
        points = points[:limit]
        next_cursor = encode_cursor(points[-1][0], level_id) if more else None
        return Page([payload for _, payload in points], next_cursor, complete)

    def _committed(self, level_id: str, begin_ns: int, last_ns: int, want: int) -> list[Point]:
        """The first ``want`` committed points.

        Reads the times alone first, so that a long range costs one narrow column.
        """
        times = self._scan(_matching(level_id, begin_ns, last_ns), ("ts_event_ns",))
        if times is None or times.num_rows == 0:
            return []
        found = np.unique(times.column("ts_event_ns").to_numpy())[:want]
        rows = self._scan(_matching(level_id, int(found[0]), int(found[-1])), _COLUMNS)
        return [] if rows is None else _points_of(rows)

    def _touches(self, snaps: Sequence[Snap], from_log_begin: bool) -> bool:
        """Whether nothing lies between what is committed and what is in memory."""
        if from_log_begin or not snaps:
            return True
        oldest = self._scan(_between(snaps[0].ts_event_ns, snaps[0].ts_event_ns), ("ts_event_ns",))
        return oldest is not None and oldest.num_rows > 0

    def _must_exist(self, level_id: str, snaps: Sequence[Snap]) -> None:
        if any(level_id in snap.level_ids for snap in snaps):
            return
        seen = self._scan(AlwaysTrue(), ("level_id",))
        stored = set() if seen is None else set(pc.unique(seen.column("level_id")).to_pylist())
        if level_id in stored:
            return
        known = sorted(stored | {known for snap in snaps for known in snap.level_ids})
        hint = f"Known levels: {', '.join(known[:HINT_LEVELS])}" if known else "No level has been judged yet."
        if len(known) > HINT_LEVELS:
            hint += f" and {len(known) - HINT_LEVELS} more"
        raise NotFoundError(f"there is no level {level_id!r}", hint=hint)


def _matching(level_id: str, begin_ns: int, last_ns: int) -> BooleanExpression:
    return And(EqualTo(term=Reference("level_id"), value=literal(level_id)), _between(begin_ns, last_ns))


def _between(begin_ns: int, last_ns: int) -> BooleanExpression:
    """Times in the range, said twice: ``ts_event_ns`` decides, by ``ts_event`` the table is partitioned."""
    return And(
        GreaterThanOrEqual(term=Reference("ts_event_ns"), value=literal(begin_ns)),
        LessThanOrEqual(term=Reference("ts_event_ns"), value=literal(last_ns)),
        GreaterThanOrEqual(term=Reference("ts_event"), value=literal(moment(begin_ns))),
        LessThanOrEqual(term=Reference("ts_event"), value=literal(moment(last_ns))),
    )


def _points_of(rows: pa.Table) -> list[Point]:
    """Points ascending by time, one for each time: a row that was published twice has the same bytes."""
    columns: Columns = {name: rows.column(name).to_pylist() for name in _COLUMNS}
    by_time = {ts_ns: row for row, ts_ns in enumerate(columns["ts_event_ns"])}
    return [_point(columns, by_time[ts_ns]) for ts_ns in sorted(by_time)]


def _tail(snaps: Sequence[Snap], level_id: str, after_ns: int, last_ns: int, want: int) -> list[Point]:
    """The first ``want`` points in memory with after_ns < time <= last_ns."""
    out: list[Point] = []
    for snap in snaps:
        if len(out) == want or snap.ts_event_ns > last_ns:
            break
        if snap.ts_event_ns > after_ns and level_id in snap.level_ids:
            out.append(_point(snap.columns, snap.level_ids.index(level_id)))
    return out


def _point(columns: Columns, row: int) -> Point:
    return columns["ts_event_ns"][row], {**spot_payload(columns, row), "level": level_payload(columns, row)}


def encode_cursor(ts_ns: int, level_id: str) -> str:
    """Where a page ended, as an opaque text."""
    return base64.urlsafe_b64encode(f"{ts_ns}:{level_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str, level_id: str) -> int:
    """The time at which the page before ended. Raises InputError for what is not a cursor of this level."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        ts_ns, _, owner = text.partition(":")
        if owner == level_id and ts_ns.isascii() and ts_ns.isdigit() and int(ts_ns) < _MOST_NS:
            return int(ts_ns)
    except (binascii.Error, UnicodeError, ValueError):
        pass
    raise InputError(
        f"cursor={cursor} is not a cursor of {level_id}", hint="Pass next_cursor of the page before as it is, or none."
    )
