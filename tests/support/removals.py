"""Inferred removals record by record, for comparison with the truth of the order-by-order feed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from common.columns import Batch
from common.config import EngineConfig
from common.sessions import cme_es_sessions
from processors.engine import features, inputs, kernel, rows
from processors.engine.flows import MISSING
from processors.engine.levels import CANDIDATES
from processors.engine.state import CANCELED, FILLED, TICK_MASK, TICKS
from tests.support.market import merged

Removal = tuple[int, int, int]
"""ts_event_ns, side (0 bid, 1 ask), tick."""


def inferred(batches: Sequence[Batch], config: EngineConfig) -> tuple[Counter[Removal], Counter[Removal]]:
    """Filled and canceled contracts per removal, by feeding the kernel one event at a time."""
    events = merged(batches, 2**62)
    state = features.initial_state(config, cme_es_sessions())
    books, trades = inputs.books(batches[0]), inputs.trades(batches[1])
    sessions = (state.sessions.date, state.sessions.open_ns, state.sessions.close_ns)
    out = np.zeros(4096, rows.ROW)
    scratch = (np.empty(CANDIDATES, np.int64), np.empty(CANDIDATES, np.int64), np.empty(CANDIDATES, np.float64))
    filled: Counter[Removal] = Counter()
    canceled: Counter[Removal] = Counter()

    def run(stop: int, start: int, until_ns: int) -> None:
        status, _, _ = kernel.run(
            state.arrays,
            state.parameters,
            state.hotzones,
            sessions,
            events.kind[:stop],
            events.index[:stop],
            books,
            trades,
            start,
            until_ns,
            out,
            scratch,
        )
        if status != kernel.DONE:
            raise AssertionError(f"event {start}: status {status}")

    for n in range(len(events)):
        record = int(events.index[n])
        if events.kind[n] != kernel.BOOK_EVENT:
            run(n + 1, n, 0)
            continue
        run(n, n, int(books.effective_ns[record]))  # due snaps first: they move what leaves the windows
        arrays = state.arrays
        touched = {
            (side, int(tick))
            for side in range(2)
            for tick in (*arrays.book_tick[side].tolist(), *books.tick[record, side].tolist())
            if tick != MISSING
        }
        before = {key: arrays.flow.total[key[0] * TICKS + (key[1] & TICK_MASK)].copy() for key in touched}
        run(n + 1, n, 0)
        for (side, tick), flow in before.items():
            change = state.arrays.flow.total[side * TICKS + (tick & TICK_MASK)] - flow
            removal = (int(books.event_ns[record]), side, tick)
            filled[removal] += int(change[FILLED])
            canceled[removal] += int(change[CANCELED])
    return filled, canceled
