"""The feature stage: events in, one row per level and snap out.

``step`` is the same function for the live worker, the offline replay and the tests. Enters:
:class:`processors.engine.order.Events` in the order of their application. Leaves: ``levels.features.v1``, whole snaps
in time order. However a stream is cut into steps, the concatenated rows and the final state are the same bytes.
Nothing is raised for bad market data: such records are counted in
``State.skipped``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common import topics
from common.columns import Batch
from processors.engine import inputs, kernel, rows
from processors.engine.levels import CANDIDATES
from processors.engine.order import Events
from processors.engine.state import State, initial_state
from processors.engine.window import grown

__all__ = ["State", "initial_state", "step"]

_ROWS = 64 * CANDIDATES


def step(state: State, events: Events, until_ns: int) -> Batch:
    """Apply ``events`` and decide every snap before ``until_ns`` that was not decided yet; changes ``state`` in place.

    All events have an effective time before ``until_ns`` and none before those of earlier steps.
    """
    books = events.batches.get(topics.FUTURES_MBP10)
    trades = events.batches.get(topics.FUTURES_TRADES)
    book_arrays = inputs.NO_BOOKS if books is None else inputs.books(books)
    trade_arrays = inputs.NO_TRADES if trades is None else inputs.trades(trades)
    wanted = events.kind <= kernel.TRADE_EVENT
    kind = np.ascontiguousarray(events.kind[wanted], np.int8)
    index = np.ascontiguousarray(events.index[wanted], np.int64)
    sessions = (state.sessions.date, state.sessions.open_ns, state.sessions.close_ns)

    scratch = (np.empty(CANDIDATES, np.int64), np.empty(CANDIDATES, np.int64), np.empty(CANDIDATES, np.float64))
    written: list[NDArray[np.void]] = []
    at = 0
    while True:
        out = np.zeros(_ROWS, rows.ROW)
        status, at, count = kernel.run(
            state.arrays,
            state.parameters,
            state.hotzones,
            sessions,
            kind,
            index,
            book_arrays,
            trade_arrays,
            at,
            until_ns,
            out,
            scratch,
        )
        written.append(out[:count])
        if status == kernel.DONE:
            break
        if status == kernel.FLOW_FULL:
            state.arrays = state.arrays._replace(flow=grown(state.arrays.flow))
        elif status == kernel.TAPE_FULL:
            state.arrays = state.arrays._replace(tape=grown(state.arrays.tape))
    return rows.to_batch(np.concatenate(written), state.underlying, state.config.ROUND_LEVELS_SPACING, state.hotzones)
