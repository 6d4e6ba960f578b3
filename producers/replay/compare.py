"""Rows that were published against rows computed again, one after the other, to the first that differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column, string_list, to_arrow
from common.digest import SignalsDigest
from producers.replay.engine import table_of


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where published and computed rows part.

    ``column``: the first that differs; None when one side has no such row, whose value is then None too.
    """

    topic: str
    ts_event_ns: int
    level_id: str | None
    column: str | None
    published: Any
    computed: Any


class Comparison:
    """One output topic. ``published``: its rows in order, each once.

    ``may_lag``: the topic is written by a later stage, which may not have come as far as the markers.
    """

    def __init__(self, topic: str, published: Iterator[Batch], *, may_lag: bool) -> None:
        self.topic = topic
        self.rows = 0
        self.snaps = 0
        self.behind = 0
        """Computed rows for which nothing has been published yet."""
        self.published_digest = SignalsDigest()
        self.computed_digest = SignalsDigest()
        self._published = published
        self._may_lag = may_lag
        self._held: Batch | None = None
        self._last_ns = -1

    def take(self, computed: Batch) -> Difference | None:
        """The next computed rows; returns where they part from what was published."""
        while computed.length:
            held = self._next()
            if held is None:
                self.behind += computed.length
                return None if self._may_lag else self._alone(computed, is_computed=True)
            count = min(held.length, computed.length)
            mine, theirs = computed.slice(0, count), held.slice(0, count)
            at = first_difference(theirs, mine)
            self._count(theirs.slice(0, at), mine.slice(0, at))
            if at < count:
                return self._difference(theirs.slice(at, at + 1), mine.slice(at, at + 1))
            self._held = held.slice(count, held.length)
            computed = computed.slice(count, computed.length)
        return None

    def rest(self, last_snap_ns: int) -> Difference | None:
        """After the last computed row: a published row, not later than that snap, that none was computed for."""
        held = self._next()
        if held is None or int(held["ts_event_ns"][0]) > last_snap_ns:
            return None
        return self._alone(held, is_computed=False)

    def _next(self) -> Batch | None:
        while self._held is None or self._held.length == 0:
            self._held = next(self._published, None)
            if self._held is None:
                return None
        return self._held

    def _count(self, published: Batch, computed: Batch) -> None:
        self.rows += computed.length
        if computed.length:
            times = computed["ts_event_ns"].astype(np.int64)
            self.snaps += int(np.count_nonzero(np.diff(times, prepend=self._last_ns)))
            self._last_ns = int(times[-1])
        self._digest(published, computed)

    def _digest(self, published: Batch | None, computed: Batch | None) -> None:
        if self.topic == topics.SIGNALS:
            for digest, batch in ((self.published_digest, published), (self.computed_digest, computed)):
                if batch is not None and batch.length:
                    digest.update(table_of(batch))

    def _difference(self, published: Batch, computed: Batch) -> Difference:
        """What is wrong with the first row that differs; the digests count it."""
        left, right = _row(published), _row(computed)
        keys = [(row["ts_event_ns"], str(row.get("level_id"))) for row in (left, right)]
        if keys[0] != keys[1]:
            # The earlier of the two rows is the one that the other side lacks.
            is_computed = keys[1] < keys[0]
            return self._alone(computed if is_computed else published, is_computed=is_computed)
        self._digest(published, computed)
        column = next(
            field.name
            for field in schemas.load(self.topic).fields
            if _unequal(published.columns[field.name], computed.columns[field.name]).any()
        )
        return Difference(self.topic, left["ts_event_ns"], left.get("level_id"), column, left[column], right[column])

    def _alone(self, rows: Batch, *, is_computed: bool) -> Difference:
        """The first of the rows stands on one side only."""
        first = rows.slice(0, 1)
        self._digest(None if is_computed else first, first if is_computed else None)
        row = _row(first)
        published, computed = (None, "a row") if is_computed else ("a row", None)
        return Difference(self.topic, row["ts_event_ns"], row.get("level_id"), None, published, computed)


def first_difference(left: Batch, right: Batch) -> int:
    """Index of the first row that differs in any column, bit by bit; the number of rows when none does."""
    first = left.length
    for name in (field.name for field in schemas.load(left.name).fields):
        unequal = _unequal(left.columns[name], right.columns[name])
        if unequal.any():
            first = min(first, int(np.argmax(unequal)))
    return first


def _unequal(left: Column, right: Column) -> NDArray[np.bool_]:
    size = len(left)
    none = np.zeros(size, np.bool_)
    valid_left = ~none if left.valid is None else left.valid
    valid_right = ~none if right.valid is None else right.valid
    unequal = valid_left != valid_right
    if left.offsets is None or right.offsets is None:
        if size == 0:
            return none
        bits = f"V{left.values.dtype.itemsize}"
        values = np.ascontiguousarray(left.values).view(bits) != np.ascontiguousarray(right.values).view(bits)
        return np.asarray(unequal | (values & valid_left & valid_right))
    if np.array_equal(left.offsets, right.offsets) and np.array_equal(left.values, right.values):
        return np.asarray(unequal)
    return np.array([a != b for a, b in zip(string_list(left), string_list(right), strict=True)], np.bool_)


def _row(batch: Batch) -> dict[str, Any]:
    record = schemas.load(batch.name)
    row: dict[str, Any] = to_arrow(batch, record.arrow, record.symbols).to_pylist()[0]
    return row
