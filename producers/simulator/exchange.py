"""The made-up exchange: a book of orders, a clock, and phases in which the market behaves as a mood says.

What happens is written to a :class:`Sink` in pieces; however large the pieces are, what is written is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from producers.simulator import flow, records
from producers.simulator.records import BASE_TICK, SNAPSHOT_FLAG
from producers.simulator.shapes import BID, NONE, WAITING, empty_world
from producers.simulator.tables import tables

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
FILLED_TICKS = 240
"""Ticks of each side that the first book fills."""

ROWS = 1 << 16
"""Rows of a buffer."""

_MBP_SNAPSHOT = np.uint64((SNAPSHOT_FLAG | records.LAST_FLAG) << 48)
_MBO_SNAPSHOT = np.uint64(SNAPSHOT_FLAG << 32)


@dataclass(frozen=True, slots=True)
class Mood:
    """How the market behaves in a phase.

    ``pause_ms``: the crowd's mean pause between two bursts. ``wobble``: most ticks that price strays from its path.
    ``zone``: first and last tick that ``side`` defends, None in an ordinary market. ``wall_ms`` and ``pull_ms``: mean
    time between two additions to the zone, or withdrawals. ``sweep_ms``: mean time between sweeps against it of three
    to five orders of ``sweep_contracts``, of which the share ``refill`` comes back. ``absorb``: single contracts are
    sold into the best price, where an iceberg takes them in. 0 or False: nothing of the kind.
    """

    pause_ms: int
    wobble: int = 0
    side: int = BID
    zone: tuple[int, int] | None = None
    wall_ms: int = 0
    pull_ms: int = 0
    sweep_ms: int = 0
    sweep_contracts: tuple[int, int] = (8, 16)
    refill: float = 0.0
    absorb: bool = False


class Sink(Protocol):
    """Where records go; the arrays are the writer's own and change after the call."""

    def write(
        self,
        mbo: NDArray[np.uint64],
        mbp: NDArray[np.uint64],
        trades: NDArray[np.uint64],
        causes: NDArray[np.int64],
        path: NDArray[np.int64],
    ) -> None:
        """The next records of each kind, as `shapes.Out` has them."""


class Exchange:
    """The market from ``start_ns`` with its best bid at ``start_tick`` (of 0.25 points from 0); ``rows``: of a piece.

    ``ts_ns``: how far it has been let go.
    """

    def __init__(self, seed: int, start_ns: int, start_tick: int, sink: Sink, rows: int = ROWS) -> None:
        self.ts_ns = start_ns
        self._sink = sink
        self._led_to = start_tick
        self._world = empty_world(seed, rows, tables())
        market = self._world.market
        market["now_ns"] = start_ns
        market["best"] = market["tenth"] = start_tick - BASE_TICK, start_tick + 1 - BASE_TICK
        self._open_book(start_ns)

    @property
    def best_bid(self) -> int:
        """Best bid, in ticks from 0."""
        return int(self._world.market["best"][BID]) + BASE_TICK

    def lead(self, tick: int, seconds: float, mood: Mood, end_ns: int) -> None:
        """Lead the best bid from where it was led before to ``tick`` in ``seconds``, but not beyond ``end_ns``."""
        begin_ns = self.ts_ns
        length_ns = round(seconds * 1000) * NS_PER_MS
        self._set(mood, begin_ns, length_ns, tick)
        self._led_to = tick
        flow.start(self._world)
        self.ts_ns = min(begin_ns + length_ns, end_ns)
        while not flow.run(self._world, self.ts_ns):
            self.flush()

    def _set(self, mood: Mood, begin_ns: int, length_ns: int, tick: int) -> None:
        low, high = mood.zone or (0, -1)
        told = {
            "begin_ns": begin_ns,
            "length_ns": length_ns,
            "from_tick": self._led_to - BASE_TICK,
            "to_tick": tick - BASE_TICK,
            "side": NONE if mood.zone is None else mood.side,
            "zone_low": low - BASE_TICK,
            "zone_high": high - BASE_TICK,
            "wall_ns": mood.wall_ms * NS_PER_MS,
            "pull_ns": mood.pull_ms * NS_PER_MS,
            "sweep_ns": mood.sweep_ms * NS_PER_MS,
            "sweep_low": mood.sweep_contracts[0],
            "sweep_high": mood.sweep_contracts[1],
            "refill": round(mood.refill * 1024),
            "absorb": mood.absorb,
            "pause_ns": mood.pause_ms * NS_PER_MS,
            "wobble": mood.wobble,
        }
        for name, value in told.items():
            self._world.mood[name] = value

    def _open_book(self, start_ns: int) -> None:
        """The first book as the exchange tells it: every order as a snapshot in MBO, one record in MBP-10."""
        w, n = self._world, self._world.rows
        records.begin(w, start_ns + NS_PER_MS)
        for distance in range(FILLED_TICKS - 1, -1, -1):
            for side in range(2):
                flow.fill(w, side, distance)
            last = w.mbp[n["mbp"] - 1].copy() if n["mbp"] else None
            n["mbp"] = n["causes"] = 0
            if records.is_full(w):
                self.flush(_MBO_SNAPSHOT)
        if last is not None:
            last[3] |= _MBP_SNAPSHOT
            w.mbp[0] = last
            n["mbp"] = 1
        records.finish(w)
        self.flush(_MBO_SNAPSHOT)
        w.market["crowd_ns"] = w.market["now_ns"] + 1

    def flush(self, mbo_flags: np.uint64 | None = None) -> None:
        """Hand out what waits. ``mbo_flags``: set in every order-by-order record."""
        out, n = self._world, self._world.rows
        if mbo_flags is not None:
            out.mbo[: n["mbo"], 4] |= mbo_flags
        self._sink.write(
            out.mbo[: n["mbo"]],
            out.mbp[: n["mbp"]],
            out.trades[: n["trades"]],
            out.causes[: n["causes"]],
            out.path[: n["path"]],
        )
        for name in WAITING.names or ():
            n[name] = 0
