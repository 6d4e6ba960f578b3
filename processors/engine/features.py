"""The feature stage: events in, one row per level and snap out.

``step`` is the same function for the live worker, the offline replay and the tests. Enters:
:class:`processors.engine.order.Events` in the order of their application. Leaves: :class:`Output`, whole snaps in time
order. However a stream is cut into steps, the concatenated rows and the final state are the same bytes. Nothing is
raised for bad market data: such records are counted in ``State.skipped``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import topics
from common.columns import Batch
from common.sessions import nyse_closes
from processors.engine import inputs, kernel, market_inputs, option_flow, option_inputs, options, rows
from processors.engine.kernel import Inputs
from processors.engine.order import KINDS, Events
from processors.engine.shapes import PENDING
from processors.engine.snap import Outputs, new_scratch
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


def _ours(given: Any, batch: Batch, state: State) -> Any:
    """The option records, those on another underlying or of another root marked: a contract is known by its date,
    strike and right alone. Where levels are ES prices (RATIO_FIXED), the options are ES's.
    """
    underlying = _ASSET if state.config.RATIO_FIXED else state.underlying
    ours = market_inputs.text_is(batch.columns["underlying"], underlying)
    ours &= option_inputs.of_root(batch.columns["option_symbol"], underlying)
    return given._replace(ok=given.ok & ours)


_CONVERT: dict[str, Callable[[Batch, State], Any]] = {
    topics.FUTURES_MBP10: lambda batch, _: inputs.books(batch),
    topics.FUTURES_TRADES: lambda batch, _: inputs.trades(batch),
    topics.REQUESTS: lambda batch, state: market_inputs.requests(batch, state.underlying),
    topics.FUTURES_STATUS: lambda batch, _: market_inputs.statuses(batch),
    topics.FUTURES_DEFINITIONS: lambda batch, _: market_inputs.definitions(batch, _ASSET),
    topics.STOCKS_QUOTES: lambda batch, state: market_inputs.stock_quotes(batch, state.underlying),
    topics.STOCKS_TRADES: lambda batch, state: market_inputs.stock_trades(batch, state.underlying),
    topics.OPTIONS_QUOTES: lambda batch, state: _ours(option_inputs.option_quotes(batch, nyse_closes()), batch, state),
    topics.OPTIONS_TRADES: lambda batch, state: _ours(
        option_inputs.option_trades(batch, nyse_closes(), state.config.MULTI_LEG_CONDITIONS), batch, state
    ),
    topics.OPTIONS_GREEKS: lambda batch, state: _ours(option_inputs.greeks(batch, nyse_closes()), batch, state),
}
"""Each input's records as the kernels read them; the inputs in the order of ``Inputs``."""


def kernel_inputs(state: State, events: Events, nothing: Inputs) -> Inputs:
    """The step's records as the kernels read them; those of ``nothing`` where an input has none."""
    found = {
        field: convert(events.batches[topic], state)
        for field, (topic, convert) in zip(Inputs._fields, _CONVERT.items(), strict=True)
        if topic in events.batches
    }
    return nothing._replace(**found)


def _after_gap(events: Events) -> NDArray[np.int64]:
    """Places of the events before which their feed was not covered."""
    places = [np.zeros(0, np.int64)]
    for topic, batch in events.batches.items():
        gap = batch.columns.get("gap_begin_ns")
        if gap is not None and gap.valid is not None and gap.valid.any():
            own = np.flatnonzero(events.kind == KINDS[topic])
            places.append(own[gap.valid[events.index[own]]])
    return np.sort(np.concatenate(places))


class Buffers:
    """What outlives a step but is no state: room for what the kernel writes, emptied when it is full."""

    def __init__(self, state: State) -> None:
        contracts = len(state.arrays.options.contract)
        self.no_inputs = Inputs._make(convert(inputs.no_records(topic), state) for topic, convert in _CONVERT.items())
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
        """All that was written since the last call: features, outcomes, flow. To be read before the next step."""
        taken = []
        for n, (parts, array) in enumerate(zip(self.written, self.out[:3], strict=True)):
            last = array[: self.out.written[n]]
            taken.append(np.concatenate([*parts, last]) if parts else last)
            parts.clear()
        self.out.written[:] = 0
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
    effective = np.ascontiguousarray(events.effective_ns, np.int64)
    after_gap = _after_gap(events)
    sessions = state.session_table
    if state.room is None:
        state.room = Buffers(state)
    buffers: Buffers = state.room
    given = kernel_inputs(state, events, buffers.no_inputs)
    at = 0
    while True:
        status, at = kernel.run(
            state.arrays,
            state.parameters,
            sessions,
            kind,
            index,
            effective,
            after_gap,
            given,
            at,
            until_ns,
            buffers.out,
            buffers.scratch,
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
