"""How well the engine tells fills from cancellations, against the truth of the order-by-order feed (DESIGN 4.5).

The market-by-price feed says that a level lost size, not why. The engine infers it; an order-by-order (MBO) feed knows.
A truth file is a Parquet table of removals: ``ts_event`` (ns), ``side`` (B or A), ``price`` (1e-9 USD), ``size``
(contracts), ``cause`` (FILL or CANCEL).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common import topics
from common.config import EngineConfig
from common.errors import InputError
from common.prices import ES_TICK_SIZE
from common.sessions import Sessions
from processors.engine import features
from processors.engine.order import BOOK, TRADE, Events
from processors.engine.shapes import FILLED, TICK_MASK, TICKS

INPUTS = (topics.FUTURES_MBP10, topics.FUTURES_TRADES)
_TOPICS = {BOOK: topics.FUTURES_MBP10, TRADE: topics.FUTURES_TRADES}
COLUMNS = ("ts_event", "side", "price", "size", "cause")
TICK_NANODOLLARS = round(ES_TICK_SIZE * 1e9)

Removal = tuple[int, int, int]
"""ts_event_ns, side (0 bid, 1 ask), tick modulo the engine's TICKS."""


class FillTruth(NamedTuple):
    """How right the inferred fills are, in contracts at exact event time, side and tick.

    ``precision``: share of the ``inferred`` that are true; ``recall``: share of the ``true`` that were found.
    """

    precision: float
    recall: float
    inferred: int
    true: int


def inferred(steps: Iterable[Events], config: EngineConfig, sessions: Sessions) -> Counter[Removal]:
    """Contracts that the engine takes for filled, per removal: what each instant adds to its running totals."""
    state = features.initial_state(config, sessions)
    filled: Counter[Removal] = Counter()
    for events in steps:
        for ts_event_ns, piece in _pieces(events):
            if ts_event_ns is None:
                features.step(state, piece, piece.until_ns)
                continue
            # due snaps first: they move what leaves the windows
            features.step(state, _nothing(piece.until_ns - 1), piece.until_ns - 1)
            before = state.arrays.flow.total[:, FILLED].copy()
            features.step(state, piece, piece.until_ns)
            change = state.arrays.flow.total[:, FILLED] - before
            for key in np.flatnonzero(change > 0).tolist():
                filled[ts_event_ns, key // TICKS, key % TICKS] += int(change[key])
    return filled


def _nothing(until_ns: int) -> Events:
    return Events({}, np.zeros(0, np.int8), np.zeros(0, np.int64), np.zeros(0, np.int64), until_ns)


def _pieces(events: Events) -> Iterator[tuple[int | None, Events]]:
    """The futures events cut so that every instant with a trade stands alone, with its ts_event_ns.

    An instant is a run of one (ts_event_ns, ts_effective_ns). What lies between such instants comes in one piece, with
    None: without a trade nothing is filled.
    """
    wanted = np.flatnonzero((events.kind == BOOK) | (events.kind == TRADE))
    kind, index, effective_ns = events.kind[wanted], events.index[wanted], events.effective_ns[wanted]
    if not len(kind):
        return
    times = np.stack((np.zeros_like(effective_ns), effective_ns))
    for number, topic in _TOPICS.items():
        own = kind == number
        if own.any():
            times[0, own] = events.batches[topic]["ts_event_ns"][index[own]]
    instant = np.cumsum(np.any(np.diff(times, axis=1, prepend=times[:, :1]), axis=0))
    alone = (np.bincount(instant, kind == TRADE) > 0)[instant]
    starts = np.diff(instant, prepend=-1) > 0
    starts &= alone | np.append(True, alone[:-1])
    begins = np.flatnonzero(starts).tolist()
    for begin, end in zip(begins, [*begins[1:], len(kind)], strict=True):
        batches, place = {}, index[begin:end].copy()
        for number, topic in _TOPICS.items():
            own = kind[begin:end] == number
            if own.any():
                first = int(place[own][0])
                batches[topic] = events.batches[topic].slice(first, int(place[own][-1]) + 1)
                place[own] -= first
        piece = Events(batches, kind[begin:end], place, effective_ns[begin:end], int(effective_ns[end - 1]) + 1)
        yield int(times[0, begin]) if alone[begin] else None, piece


def read_truth(path: Path) -> pa.Table:
    """The truth file. Raises InputError when it cannot be read or lacks a column."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {error}", hint="--truth takes a table of removals."
        ) from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"{path} has no column {missing[0]}", hint=f"A truth file has {', '.join(COLUMNS)}.")
    return table


def truth(table: pa.Table, begin_ns: int, end_ns: int) -> Counter[Removal]:
    """The contracts truly filled per removal with begin <= ts_event < end."""
    out: Counter[Removal] = Counter()
    # a day has ten times as many other causes, and text becomes dear outside Arrow
    fills = table.filter(pc.equal(table["cause"], "FILL"))
    ts_ns, side, price, size, _ = (fills[name].to_numpy(zero_copy_only=False) for name in COLUMNS)
    counted: NDArray[np.bool_] = (ts_ns >= begin_ns) & (ts_ns < end_ns)
    ticks = (price[counted] // TICK_NANODOLLARS) & TICK_MASK
    sides = np.where(side[counted] == "B", 0, 1)
    for *removal, contracts in zip(
        ts_ns[counted].tolist(), sides.tolist(), ticks.tolist(), size[counted].tolist(), strict=True
    ):
        out[removal[0], removal[1], removal[2]] += contracts
    return out


def compare(found: Counter[Removal], true: Counter[Removal]) -> FillTruth:
    """Precision = right / inferred, recall = right / true, in contracts; right is the smaller of both per removal."""
    right = sum(min(size, true[removal]) for removal, size in found.items())
    precision = right / found.total() if found else float("nan")
    return FillTruth(precision, right / true.total() if true else float("nan"), found.total(), true.total())
