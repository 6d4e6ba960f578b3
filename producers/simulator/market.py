"""An order book in ticks that takes orders and remembers every change: the made-up session's event log.

Prices are ticks of 0.25 points. Both sides are kept for every tick; the feed shows the best ten levels of each.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

BID, ASK = 0, 1
ADD, CANCEL, TRADE, UNSEEN = 0, 1, 2, 3
"""Kinds of change; UNSEEN sets a size beyond the ten levels, which no feed shows."""

LEVELS = 10
TICKS = 4_000
"""Ticks above 0 that the book spans, counted from `Market.base_tick`."""

DEPTH_CONTRACTS = 120
"""Usual size of a level."""


@dataclass(frozen=True, slots=True)
class Change:
    """One record of the feed (or an unseen change). ``side`` of a trade is the aggressor's."""

    ts_ns: int
    kind: int
    side: int
    tick: int
    size: int
    is_last: bool


class Market:
    """The book, its clock and the changes so far. Everything random comes from ``seed``.

    ``path``: time, and best bid plus best ask in ticks from then on, wherever that changed.
    """

    def __init__(self, seed: int, start_ns: int, start_tick: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a market, not a secret
        self.ts_ns = start_ns
        self.base_tick = start_tick - TICKS // 2
        self.sizes = [[0] * TICKS, [0] * TICKS]
        self.best = [start_tick, start_tick + 1]
        self.changes: list[Change] = []
        self.path: list[tuple[int, int]] = []
        for side in (BID, ASK):
            sign = self.outwards(side)
            for distance in range(TICKS // 2 - 1):
                self._set_unseen(side, self.best[side] + sign * distance, self._usual())

    @staticmethod
    def outwards(side: int) -> int:
        """Tick step away from the middle of the book."""
        return 1 if side == ASK else -1

    def size(self, side: int, tick: int) -> int:
        """Displayed contracts."""
        return self.sizes[side][tick - self.base_tick]

    def wait(self, ns: int) -> None:
        """Let time pass."""
        self.ts_ns += ns

    def add(self, side: int, tick: int, size: int) -> None:
        """A limit order that does not cross."""
        if (tick - self.best[1 - side]) * self.outwards(side) <= 0:
            raise ValueError(f"an order at tick {tick} would trade with the best of the other side")
        self._change(ADD, side, tick, size)
        if (tick - self.best[side]) * self.outwards(side) < 0:
            self.best[side] = tick
        self._finish()

    def cancel(self, side: int, tick: int, size: int) -> None:
        """Take at most ``size`` away, without a trade."""
        there = min(size, self.size(side, tick))
        if there > 0:
            self._change(CANCEL, side, tick, there)
            self._follow(side)
            self._finish()

    def market(self, aggressor: int, size: int) -> None:
        """A market order: trades with the best levels of the other side, all at one time."""
        resting = 1 - aggressor
        while size > 0:
            tick = self.best[resting]
            filled = min(size, self.size(resting, tick))
            self._change(TRADE, aggressor, tick, filled)
            self._change(CANCEL, resting, tick, filled)
            size -= filled
            self._follow(resting)
        self._finish()

    def _change(self, kind: int, side: int, tick: int, size: int) -> None:
        if kind != TRADE:
            self.sizes[side][tick - self.base_tick] += size if kind == ADD else -size
        self.changes.append(Change(self.ts_ns, kind, side, tick, size, False))

    def _follow(self, side: int) -> None:
        """The best level after one may have emptied."""
        while self.size(side, self.best[side]) == 0:
            self.best[side] += self.outwards(side)

    def _finish(self) -> None:
        """Mark the event's last record; beyond the tenth level sizes go back to the usual, unseen."""
        last = self.changes[-1]
        self.changes[-1] = Change(last.ts_ns, last.kind, last.side, last.tick, last.size, True)
        mid2 = self.best[BID] + self.best[ASK]
        if not self.path or self.path[-1][1] != mid2:
            self.path.append((self.ts_ns, mid2))
        self.ts_ns += 1
        for side in (BID, ASK):
            sign = self.outwards(side)
            tick, levels = self.best[side], 0
            while levels < LEVELS:
                levels += self.size(side, tick) > 0
                tick += sign
            for beyond in range(tick, tick + sign * LEVELS, sign):
                if not DEPTH_CONTRACTS // 2 < self.size(side, beyond) < DEPTH_CONTRACTS * 3 // 2:
                    self._set_unseen(side, beyond, self._usual())

    def _usual(self) -> int:
        return int(DEPTH_CONTRACTS * (0.75 + 0.5 * self.random.random()))

    def _set_unseen(self, side: int, tick: int, size: int) -> None:
        self.sizes[side][tick - self.base_tick] = size
        self.changes.append(Change(self.ts_ns, UNSEEN, side, tick, size, False))
