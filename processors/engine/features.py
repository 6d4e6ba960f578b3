"""The feature stage: events in, one row per level and snap out.

``step`` is the same function for the live worker, the offline replay and the tests. Enters:
:class:`processors.engine.order.Events` in the order of their application. Leaves: :class:`Output`, whole snaps in time
order. However a stream is cut into steps, the concatenated rows and the final state are the same bytes. Nothing is
raised for bad market data: such records are counted in ``State.skipped``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import topics
from common.columns import Batch
from common.sessions import nyse_closes
from processors.engine import inputs, kernel, market_inputs, option_flow, option_inputs, options, rows
from processors.engine.kernel import Inputs, Outputs
from processors.engine.order import Events
from processors.engine.shapes import PENDING
from processors.engine.snap import new_scratch
from processors.engine.state import OUTCOME, State, initial_state
from processors.engine.universe import CANDIDATES
from processors.engine.window import grown

__all__ = ["Output", "State", "initial_state", "step"]

_ROWS = 64 * CANDIDATES
_OUTCOMES = 4 * PENDING
_FLOW_SNAPS = 4
_ASSET = "ES"


@dataclass(frozen=True, slots=True)
class Output:
    """What one step says: ``levels.features.v1``, ``levels.outcomes.v1`` and ``options.flow.v1``, in time order."""

    features: Batch
    outcomes: Batch
    flow: Batch


def _ours(given: Any, batch: Batch, underlying: str) -> Any:
    """The option records, those on another underlying marked."""
    return given._replace(ok=given.ok & market_inputs.text_is(batch.columns["underlying"], underlying))


def kernel_inputs(state: State, events: Events) -> Inputs:
    """The step's records as the kernels read them; empty arrays where a kind has none."""

    def of(topic: str) -> Batch:
        found = events.batches.get(topic)
        return inputs.no_records(topic) if found is None else found

    underlying, config = state.underlying, state.config
    closes = nyse_closes()
    quotes, prints, chain = of(topics.OPTIONS_QUOTES), of(topics.OPTIONS_TRADES), of(topics.OPTIONS_GREEKS)
    return Inputs(
        books=inputs.books(of(topics.FUTURES_MBP10)),
        trades=inputs.trades(of(topics.FUTURES_TRADES)),
        requests=market_inputs.requests(of(topics.REQUESTS), underlying),
        statuses=market_inputs.statuses(of(topics.FUTURES_STATUS)),
        definitions=market_inputs.definitions(of(topics.FUTURES_DEFINITIONS), _ASSET),
        stock_quotes=market_inputs.stock_quotes(of(topics.STOCKS_QUOTES), underlying),
        stock_trades=market_inputs.stock_trades(of(topics.STOCKS_TRADES), underlying),
        option_quotes=_ours(option_inputs.option_quotes(quotes, closes), quotes, underlying),
        option_trades=_ours(
            option_inputs.option_trades(prints, closes, config.MULTI_LEG_CONDITIONS), prints, underlying
        ),
        greeks=_ours(option_inputs.greeks(chain, closes), chain, underlying),
    )


class Buffers:
    """Room for what the kernel writes, emptied when it is full."""

    def __init__(self, contracts: int) -> None:
        self.out = Outputs(
            np.zeros(_ROWS, rows.ROW),
            np.zeros(_OUTCOMES, OUTCOME),
            np.zeros(_FLOW_SNAPS * contracts, option_flow.FLOW_ROW),
            np.zeros(3, np.int64),
        )
        self.scratch = new_scratch()
        self.written: tuple[list[NDArray[np.void]], ...] = ([], [], [])

    def drain(self) -> None:
        """Put what is written aside."""
        for n, (parts, array) in enumerate(zip(self.written, self.out[:3], strict=True)):
            parts.append(array[: self.out.written[n]].copy())
        self.out.written[:] = 0

    def taken(self) -> list[NDArray[np.void]]:
        """All that was written since the last call: features, outcomes, flow."""
        self.drain()
        taken = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in self.written]
        for parts in self.written:
            parts.clear()
        return taken

    def widen(self, contracts: int) -> None:
        """Make room for the flow of more contracts."""
        self.drain()
        self.out = self.out._replace(flow=np.zeros(_FLOW_SNAPS * contracts, option_flow.FLOW_ROW))


def _make_room(state: State, status: int, buffers: Buffers) -> None:
    arrays = state.arrays
    if status == kernel.ROWS_FULL:
        buffers.drain()
    elif status == kernel.FLOW_FULL:
        state.arrays = arrays._replace(flow=grown(arrays.flow))
    elif status == kernel.TAPE_FULL:
        state.arrays = arrays._replace(tape=grown(arrays.tape))
    elif status == kernel.SPY_TAPE_FULL:
        state.arrays = arrays._replace(spy_tape=grown(arrays.spy_tape))
    elif status == kernel.OPTION_FLOW_FULL:
        state.arrays = arrays._replace(options=arrays.options._replace(flow=grown(arrays.options.flow)))
    elif status == kernel.WALL_FULL:
        state.arrays = arrays._replace(options=arrays.options._replace(wall=grown(arrays.options.wall)))
    elif status == kernel.CONTRACTS_FULL:
        state.arrays = arrays._replace(options=options.grown(arrays.options))
        buffers.widen(len(state.arrays.options.contract))


def step(state: State, events: Events, until_ns: int) -> Output:
    """Apply ``events`` and decide every snap before ``until_ns`` that was not decided yet; changes ``state`` in place.

    All events have an effective time before ``until_ns`` and none before those of earlier steps.
    """
    kind = np.ascontiguousarray(events.kind, np.int8)
    index = np.ascontiguousarray(events.index, np.int64)
    given = kernel_inputs(state, events)
    sessions = state.session_table
    if state.room is None:
        state.room = Buffers(len(state.arrays.options.contract))
    buffers: Buffers = state.room
    at = 0
    while True:
        status, at = kernel.run(
            state.arrays, state.parameters, sessions, kind, index, given, at, until_ns, buffers.out, buffers.scratch
        )
        if status == kernel.DONE:
            break
        _make_room(state, status, buffers)
    written = buffers.taken()
    spacing = state.config.ROUND_LEVELS_SPACING
    return Output(
        features=rows.to_batch(written[0], state.underlying, spacing),
        outcomes=rows.to_outcomes(written[1], state.underlying, spacing, state.config.hash),
        flow=option_flow.to_flow_batch(written[2], state.underlying),
    )
