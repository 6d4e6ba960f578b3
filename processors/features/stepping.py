"""From merged inputs to feature rows, step by step; the same code behind the live worker and the offline replay.

Pure: no I/O, no clock. A step is bounded in snaps, so that readers see a steady stream, however far the promises reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from common.columns import Batch
from common.config import EngineConfig
from common.errors import InvariantError
from processors.engine.order import NO_PROMISE_NS, Events, Merger


class State(Protocol):
    """The engine's state; `step` changes it in place."""

    def to_bytes(self) -> bytes:
        """Everything needed to go on, in the engine's own format."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine's functions (`processors.engine.features` has them; tests bring a small one).

    ``step(state, events, until_ns)`` returns the rows of all snaps strictly below ``until_ns`` not yet released.
    """

    initial_state: Callable[[], State]
    step: Callable[[Any, Events, int], Batch]
    restore: Callable[[bytes], State]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one step may release: ``snaps`` at most, and about ``rows`` (a snap is never cut)."""

    snaps: int = 400
    rows: int = 20_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: the rows of whole snaps, in order, and how many events went in."""

    rows: Batch
    events: int
    until_ns: int


class Stepper:
    """Runs the engine over everything the merger can hand out. ``until_ns``: every event before it is in ``state``."""

    def __init__(
        self,
        engine: Engine,
        config: EngineConfig,
        state: State,
        merger: Merger,
        *,
        until_ns: int = NO_PROMISE_NS,
        limits: Limits | None = None,
    ) -> None:
        self.state = state
        self.until_ns = until_ns
        self._engine = engine
        self._interval_ns = config.snap_interval_ns
        self._merger = merger
        self._limits = limits or Limits()
        self._rows_per_snap = 1

    def steps(self) -> Iterator[Step]:
        """One step after the other until nothing more is promised. Raises what the engine and the merge raise."""
        while self._merger.until_ns > self.until_ns:
            events = self._merger.pop(self._limit_ns())
            self.until_ns = events.until_ns
            rows = self._engine.step(self.state, events, events.until_ns)
            check_whole_snaps(rows)
            if rows.length:
                self._rows_per_snap = max(1, rows.length // max(1, snap_count(rows)))
            yield Step(rows, len(events), self.until_ns)

    def _limit_ns(self) -> int | None:
        """As far as this step may go; None when nothing bounds it (no event has been seen)."""
        start_ns = self.until_ns
        # A source may begin by promising nothing, which is a promise of 0: from there it is a long walk to any event.
        if start_ns <= 0:
            first_ns = self._merger.first_effective_ns
            if first_ns is None:
                return None
            start_ns = first_ns
        snaps = max(1, min(self._limits.snaps, self._limits.rows // self._rows_per_snap))
        # The last snap of the step lies at the grid's multiple, and a snap is released by a promise beyond it.
        return (start_ns // self._interval_ns + snaps) * self._interval_ns + 1


def snap_count(rows: Batch) -> int:
    """Snaps in rows that stand in order."""
    times = rows["ts_event_ns"]
    return 0 if rows.length == 0 else 1 + int(np.count_nonzero(times[1:] != times[:-1]))


def check_whole_snaps(rows: Batch) -> None:
    """Raise InvariantError unless the rows are whole snaps in ascending time, each framed 0..snap_rows-1."""
    if rows.length == 0:
        return
    times = rows["ts_event_ns"].astype(np.int64, copy=False)
    place, size = rows["snap_row"].astype(np.int64), rows["snap_rows"].astype(np.int64)
    first = np.concatenate([np.array([True]), times[1:] != times[:-1]])
    starts = np.flatnonzero(first)
    counts = np.diff(np.append(starts, rows.length))
    whole = bool(
        np.all(np.diff(times) >= 0)
        and np.array_equal(place, np.arange(rows.length) - np.repeat(starts, counts))
        and np.array_equal(size, np.repeat(counts, counts))
    )
    if not whole:
        raise InvariantError(
            f"the engine returned rows from {int(times[0])} to {int(times[-1])} that are no whole snaps"
        )
