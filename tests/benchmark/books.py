"""Book records for benchmarks: a seeded random walk of a ten-level book, as one batch of ``futures.mbp10.v1``."""

from __future__ import annotations

import numpy as np

from common import schemas
from common.columns import Batch, Column, repeated_string

DEPTH = 10
TICK_USD = 0.25
START_TICKS = 19_240
"""4,810.00 dollars."""
OPEN_NS = 1_703_545_200_000_000_000


def books(records: int, seed: int) -> Batch:
    """``records`` changes of one book: sizes grow and shrink, the price walks, one record in twenty is a trade.

    One record in ten has only nine bid levels (the tenth is null), as books do after a jump.
    """
    random = np.random.default_rng(seed)
    best_bid = START_TICKS + np.cumsum(random.choice([-1, 0, 1], records, p=[0.02, 0.96, 0.02]))
    sizes = {side: _sizes(random, records) for side in ("bid", "ask")}
    actions = random.choice([0, 1, 2, 4], records, p=[0.45, 0.40, 0.10, 0.05])
    level = random.integers(0, DEPTH, records)
    side = random.integers(0, 2, records)
    times = OPEN_NS + np.cumsum(random.exponential(2e6, records).astype(np.int64) + 1)
    every = np.ones(records, np.bool_)
    columns = {
        "event_id": Column(random.integers(-(2**63), 2**63 - 1, records)),
        "ts_event_ns": Column(times),
        "ts_recv_ns": Column(times + random.integers(20_000, 90_000, records)),
        "ts_effective_ns": Column(times),
        "source": repeated_string("databento", records),
        "symbol": repeated_string("ESH4", records),
        "instrument_id": Column(np.full(records, 17_077), every),
        "seq": Column(1_000_000 + np.cumsum(random.integers(1, 4, records)), every),
        "is_late": Column(np.zeros(records, np.bool_)),
        "action": Column(actions.astype(np.int32)),
        "side": Column(side.astype(np.int32)),
        "price": Column((best_bid + np.where(side == 1, -level, level + 1)) * TICK_USD, every),
        "size": Column(random.geometric(0.25, records).astype(np.int32)),
        "flags": Column(np.where(random.random(records) < 0.7, 130, 2).astype(np.int32)),
        "is_snapshot": Column(np.zeros(records, np.bool_)),
        "gap_begin_ns": Column(np.zeros(records, np.int64), np.zeros(records, np.bool_)),
    }
    short = random.random(records) < 0.1
    for name, direction, first in (("bid", -1, best_bid), ("ask", 1, best_bid + 1)):
        for number in range(DEPTH):
            present = ~short if name == "bid" and number == DEPTH - 1 else every
            size = sizes[name][:, number]
            columns[f"{name}_px_{number + 1}"] = Column((first + direction * number) * TICK_USD, present)
            columns[f"{name}_sz_{number + 1}"] = Column(size, present)
            columns[f"{name}_ct_{number + 1}"] = Column(np.maximum(size // 2, 1).astype(np.int32), present)
    order = [field.name for field in schemas.load("futures.mbp10.v1").fields]
    return Batch("futures.mbp10.v1", records, {name: columns[name] for name in order})


def _sizes(random: np.random.Generator, records: int) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """Displayed sizes per record and level: one level changes at a time, deeper levels are thicker."""
    sizes = np.empty((records, DEPTH), np.int32)
    now = random.geometric(1 / np.linspace(12, 70, DEPTH)).astype(np.int32)
    levels = random.integers(0, DEPTH, records)
    changes = random.integers(-4, 5, records)
    for record in range(records):
        now[levels[record]] = max(1, now[levels[record]] + changes[record])
        sizes[record] = now
    return sizes
