"""Topic columns to what the kernels read: integer ticks, contracts, signs. Bad prices are marked, never raised."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column
from common.jit import kernel
from common.prices import ABSENT, ES_TICK_SIZE, tick_of, to_ticks
from common.ticks import ON_GRID, SIZES, TICKS
from processors.engine.flows import MISSING
from processors.engine.shapes import DEPTH, Floats, Integers

_BOOK = schemas.load(topics.FUTURES_MBP10)
_ACTIONS = _BOOK.field("action").symbols
ACTION_CLEAR = _ACTIONS.index("CLEAR")
CHANGES_BOOK = np.array([action in {"ADD", "CANCEL", "MODIFY", "CLEAR"} for action in _ACTIONS], np.bool_)
"""Actions after which the record's book is new; a trade's record carries the book before it."""

_SELL, _MID, _BUY = (
    schemas.load(topics.FUTURES_TRADES).field("aggressor").symbols.index(name) for name in ("SELL", "MID", "BUY")
)

FLAG_LAST, FLAG_SNAPSHOT, FLAG_MAYBE_BAD_BOOK = 128, 32, 8


class Books(NamedTuple):
    """Book records. ``tick`` and ``size`` int32[n, 2, DEPTH], bids first, ``MISSING`` beyond the levels; the rest
    int64[n].
    """

    effective_ns: NDArray[np.int64]
    event_ns: NDArray[np.int64]
    instrument_id: NDArray[np.int64]
    action: NDArray[np.int64]
    flags: NDArray[np.int64]
    tick: NDArray[np.int32]
    size: NDArray[np.int32]
    ok: NDArray[np.bool_]


class Trades(NamedTuple):
    """Trades. ``sign`` 1 bought, -1 sold, 0 unsigned by the aggressor; all of one length."""

    effective_ns: NDArray[np.int64]
    event_ns: NDArray[np.int64]
    instrument_id: NDArray[np.int64]
    tick: NDArray[np.int64]
    size: NDArray[np.int64]
    sign: NDArray[np.int64]
    ok: NDArray[np.bool_]


@kernel
def _fill_level(
    price: Floats,
    price_valid: NDArray[np.bool_],
    size: NDArray[np.int32],
    side: int,
    k: int,
    tick_size: float,
    ticks: NDArray[np.int32],
    sizes: NDArray[np.int32],
    ok: NDArray[np.bool_],
) -> None:
    for n in range(len(price)):
        if not price_valid[n]:
            continue
        tick = tick_of(price[n], tick_size)
        if tick == MISSING or size[n] < 0 or (k > 0 and ticks[n, side, k - 1] == MISSING):
            ok[n] = False  # off the grid, a negative size, or a level behind an absent one
        ticks[n, side, k] = tick
        sizes[n, side, k] = size[n]


def _envelope(batch: Batch) -> tuple[Integers, Integers, Integers]:
    columns = batch.columns
    return (
        columns["ts_effective_ns"].filled(0, np.int64),
        columns["ts_event_ns"].filled(0, np.int64),
        columns["instrument_id"].filled(0, np.int64),
    )


def _levels(batch: Batch) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Ticks and contracts of each level, and whether a record's are all usable."""
    n = batch.length
    ticks = np.full((n, 2, DEPTH), MISSING, np.int32)
    sizes = np.zeros((n, 2, DEPTH), np.int32)
    ok = np.ones(n, np.bool_)
    for side, name in enumerate(("bid", "ask")):
        for k in range(DEPTH):
            price = batch.columns[f"{name}_px_{k + 1}"]
            size = batch.columns[f"{name}_sz_{k + 1}"]
            _fill_level(
                np.ascontiguousarray(price.values, np.float64),
                price.validity,
                np.ascontiguousarray(size.values, np.int32),
                side,
                k,
                ES_TICK_SIZE,
                ticks,
                sizes,
                ok,
            )
    return ticks, sizes, ok


def books(batch: Batch) -> Books:
    """Records of ``futures.mbp10.v1`` for the kernels; the book may stand in the columns of :mod:`common.ticks`."""
    columns = batch.columns
    if TICKS in columns:
        ticks, sizes = columns[TICKS].filled(0, np.int32), columns[SIZES].filled(0, np.int32)
        ok: NDArray[np.bool_] = columns[ON_GRID].filled(False, np.bool_)
    else:
        ticks, sizes, ok = _levels(batch)
    return Books(
        *_envelope(batch), columns["action"].filled(0, np.int64), columns["flags"].filled(0, np.int64), ticks, sizes, ok
    )


def trades(batch: Batch) -> Trades:
    """Records of ``futures.trades.v1`` for the kernels."""
    tick = to_ticks(np.ascontiguousarray(batch["price"], np.float64))
    on_grid = tick != ABSENT
    size = batch.columns["size"].filled(0, np.int64)
    aggressor = batch["aggressor"]
    sign = (aggressor == _BUY).astype(np.int64) - (aggressor == _SELL).astype(np.int64)
    return Trades(
        *_envelope(batch),
        np.where(on_grid, tick, 0),
        size,
        sign,
        on_grid & (size > 0),
    )


@cache
def no_records(topic: str) -> Batch:
    """A batch of the topic without records."""
    columns = {}
    for field in schemas.load(topic).fields:
        offsets = np.zeros(1, np.int64) if field.kind in ("string", "bytes", "array") else None
        valid = np.zeros(0, np.bool_) if field.nullable else None
        columns[field.name] = Column(np.zeros(0, field.dtype), valid, offsets)
    return Batch(topic, 0, columns)
