"""Whole snaps out of a partition of levels.signals.v1 or options.flow.v1, each with its sequence number. Pure: batches
in, snaps out.

The sequence number of a snap (``seq``) is the offset of the row that completed it. It follows from the log alone, so
every replica of the API and every restart gives a snap the same number, and a client may resume from it anywhere.
Numbers rise; they are not consecutive. A second publication of a row, which a crash of the signals worker causes,
changes nothing: a row is known by its ts_event_ns and its ``snap_row``, as the rows of a snap stand in one order
(signals in that of level_id). However the log is cut into batches, the snaps are the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from api.payload import Columns, columns_of, flow_payload, int_column, snap_payload, strike_id, to_json
from common.columns import Batch, concat, string_list
from common.config import NS_PER_MS


@dataclass(frozen=True)
class WholeSnap(ABC):
    """One whole snap. ``seq`` as the module says.

    ``prev_seq`` is that of the snap before it, None where the reading began.

    ``rows`` has the snap's rows in the order of snap_row.
    """

    seq: int
    prev_seq: int | None
    ts_event_ns: int
    source: Batch = field(repr=False)
    index: NDArray[np.int64] = field(repr=False)

    @property
    def ts_ms(self) -> int:
        """Snap time in ms since the epoch, UTC."""
        return self.ts_event_ns // NS_PER_MS

    @cached_property
    def columns(self) -> Columns:
        """The rows as Python values, in the order of snap_row."""
        return columns_of(self.source.take(self.index))

    @abstractmethod
    def payload(self, only: Collection[str] | None = None) -> dict[str, Any]:
        """The snap as plain data; ``only`` keeps what has these ids."""

    @cached_property
    def body(self) -> bytes:
        """The payload as JSON, made when first asked for and shared by everyone who sends it."""
        return to_json({"seq": self.seq, **self.payload()})

    @cached_property
    def text(self) -> str:
        """:attr:`body` as text, for WebSocket frames."""
        return self.body.decode()

    @cached_property
    @abstractmethod
    def ids(self) -> frozenset[str]:
        """What clients may name to narrow it."""

    def body_of(self, only: frozenset[str]) -> bytes:
        """The payload with what has these ids only."""
        return to_json({"seq": self.seq, **self.payload(only)})


class Snap(WholeSnap):
    """A snap of levels.signals.v1; its ids are those of levels."""

    def payload(self, only: Collection[str] | None = None) -> dict[str, Any]:
        """The market and its levels, nearest first."""
        return snap_payload(self.columns, only)

    def body_of_nearest(self, count: int) -> bytes:
        """The payload with so many levels at most, the nearest."""
        payload = self.payload()
        return to_json({"seq": self.seq, **payload, "levels": payload["levels"][:count]})

    @cached_property
    def ids(self) -> frozenset[str]:
        """Those of its levels."""
        return frozenset(self.level_ids)

    @cached_property
    def level_ids(self) -> tuple[str, ...]:
        """The ids of the snap's levels, in the order of snap_row."""
        ids = string_list(self.source.columns["level_id"].take(self.index))
        return tuple(level_id for level_id in ids if level_id is not None)


class FlowSnap(WholeSnap):
    """A snap of options.flow.v1; its ids are those of strikes, such as ``C545``."""

    def payload(self, only: Collection[str] | None = None) -> dict[str, Any]:
        """The flow of each strike and right."""
        return flow_payload(self.columns, only)

    @cached_property
    def ids(self) -> frozenset[str]:
        """Those of its strikes and rights."""
        return frozenset(map(strike_id, self.columns["right"], self.columns["strike"]))


AnySnap = TypeVar("AnySnap", bound=WholeSnap)


class SnapAssembler(Generic[AnySnap]):
    """Cuts a partition, read from some offset on, into whole snaps of the kind ``make``.

    Rows before the first ``snap_row`` 0 belong to a snap whose beginning was not read: they are left out.
    ``incomplete`` counts the snaps given up because a later one began first; a worker that keeps its word never causes
    one.
    """

    def __init__(self, make: type[AnySnap]) -> None:
        self._make = make
        self.incomplete = 0
        self._begun = False
        self._last_seq: int | None = None
        self._last_ts_ns = -1
        self._ts_ns = -1
        self._rows: dict[int, int] = {}
        """Position in ``_pending`` of each snap_row of the snap that is under way."""
        self._pending: list[tuple[Batch, int]] = []

    def push(self, batch: Batch, offsets: NDArray[np.int64]) -> list[AnySnap]:
        """The snaps that these rows complete. ``offsets``: each row's offset, rising."""
        if batch.length == 0:
            return []
        ts_ns = int_column(batch, "ts_event_ns")
        bounds = np.flatnonzero(np.diff(ts_ns)) + 1
        starts = [0, *bounds.tolist()]
        stops = [*bounds.tolist(), batch.length]
        rows = int_column(batch, "snap_row")
        totals = int_column(batch, "snap_rows")
        out: list[AnySnap] = []
        for start, stop in zip(starts, stops, strict=True):
            completed = self._run(batch, int(ts_ns[start]), rows[start:stop], int(totals[start]), start)
            if completed is not None:
                out.append(self._complete(int(offsets[completed]), int(ts_ns[start])))
        self._detach()
        return out

    def _run(self, batch: Batch, ts_ns: int, rows: NDArray[np.int64], total: int, start: int) -> int | None:
        """Take rows of one snap time that stand together, from position ``start`` of the batch.

        Returns the position of the row that completed the snap.
        """
        if ts_ns <= self._last_ts_ns or ts_ns < self._ts_ns:
            return None  # published again
        if not self._begun:
            zeros = np.flatnonzero(rows == 0)
            if not len(zeros):
                return None
            start += int(zeros[0])
            rows = rows[zeros[0] :]
            self._begun = True
        if ts_ns > self._ts_ns:
            if self._rows:
                self.incomplete += 1
            self._ts_ns, self._rows, self._pending = ts_ns, {}, []
        for position, row in enumerate(rows.tolist(), start):
            if row not in self._rows:
                self._rows[row] = len(self._rows)
                self._pending.append((batch, position))
                if len(self._rows) == total:
                    return position
        return None

    def _complete(self, seq: int, ts_ns: int) -> AnySnap:
        source, index = _joined(self._pending)
        order = np.array([self._rows[row] for row in sorted(self._rows)], np.int64)
        snap = self._make(seq, self._last_seq, ts_ns, source, index[order])
        self._last_seq, self._last_ts_ns = seq, ts_ns
        self._rows, self._pending = {}, []
        return snap

    def _detach(self) -> None:
        """Copy the rows still waiting, so that they do not keep a whole batch in memory."""
        if self._pending:
            source, index = _joined(self._pending)
            kept = source.take(index)
            self._pending = [(kept, position) for position in range(kept.length)]


def _joined(rows: Sequence[tuple[Batch, int]]) -> tuple[Batch, NDArray[np.int64]]:
    """One batch and positions in it, from rows of several batches; rows of a single batch are not copied."""
    first = rows[0][0]
    if all(batch is first for batch, _ in rows):
        return first, np.array([position for _, position in rows], np.int64)
    joined = concat([batch.slice(position, position + 1) for batch, position in rows])
    return joined, np.arange(joined.length, dtype=np.int64)
