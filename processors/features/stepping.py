"""From merged inputs to rows, step by step; the same code behind a live run and the way back to where it stood.

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
from processors.engine.marked import Follower
from processors.engine.order import Events, Merger


class State(Protocol):
    """The engine's state; `step` changes it in place."""

    def to_bytes(self) -> bytes:
        """Everything needed to go on, in the engine's own format."""
        ...


class Output(Protocol):
    """What a step of the engine returns (`processors.engine.features.Output`), each in ascending time."""

    @property
    def features(self) -> Batch:
        """Rows of levels.features.v1, whole snaps."""
        ...

    @property
    def outcomes(self) -> Batch:
        """Rows of levels.outcomes.v1, at the snaps at which they were known."""
        ...

    @property
    def flow(self) -> Batch:
        """Rows of options.flow.v1, whole snaps."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine's functions (`processors.engine.features` has them; tests bring a small one).

    ``step(state, events, until_ns)`` returns what is due of all snaps strictly below ``until_ns`` not yet released.
    """

    initial_state: Callable[[], State]
    step: Callable[[Any, Events, int], Output]
    restore: Callable[[bytes], State]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one step may release: ``snaps`` at most, and about ``rows`` (a snap is never cut)."""

    snaps: int = 400
    rows: int = 20_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did from ``from_ns`` until ``until_ns``: its rows, how many events went in, and how many of them
    came from inputs that were aside.
    """

    output: Output
    events: int
    aside: int
    from_ns: int
    until_ns: int

    @property
    def snap_times_ns(self) -> list[int]:
        """The snaps that have rows of any kind, ascending."""
        rows = (self.output.features, self.output.outcomes, self.output.flow)
        times: list[int] = np.unique(np.concatenate([batch["ts_event_ns"] for batch in rows])).tolist()
        return times


class Stepper:
    """Runs the engine over what the merger hands out; every event before the merger's `floor_ns` is in ``state``."""

    def __init__(
        self, engine: Engine, config: EngineConfig, state: State, merger: Merger, limits: Limits | None = None
    ) -> None:
        self.state = state
        self._engine = engine
        self._interval_ns = config.snap_interval_ns
        self._merger = merger
        self._limits = limits or Limits()
        self._rows_per_snap = 1

    def steps(self) -> Iterator[Step]:
        """One step after the other until nothing more is promised. Raises what the engine and the merge raise."""
        while self._merger.until_ns > (from_ns := self._merger.floor_ns):
            yield self._step(self._merger.pop(self._limit_ns()), from_ns)

    def follow(self, follower: Follower) -> Iterator[Step]:
        """The steps that markers tell of, until more records are needed or the markers end; cut otherwise than live,
        with the same rows. Raises what the engine and the follower raise.
        """
        while True:
            from_ns = self._merger.floor_ns
            part = follower.pop(self._limit_ns())
            if part is None:
                return
            yield self._step(part.events, from_ns)

    def _step(self, events: Events, from_ns: int) -> Step:
        output = self._engine.step(self.state, events, events.until_ns)
        features = output.features
        check_whole_snaps(features)
        check_whole_snaps(output.flow)
        if features.length:
            self._rows_per_snap = max(1, features.length // max(1, snap_count(features)))
        return Step(output, len(events), events.aside, from_ns, events.until_ns)

    def _limit_ns(self) -> int | None:
        """As far as this step may go; None when nothing bounds it (no event has been seen)."""
        start_ns = self._merger.floor_ns
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
            f"the engine returned {rows.name} from {int(times[0])} to {int(times[-1])} that are no whole snaps"
        )
