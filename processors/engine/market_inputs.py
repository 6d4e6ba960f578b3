"""Stock trades and quotes, trading status, definitions and requests for the kernels: what is not the ES book.

Bad values are marked in ``ok``, never raised.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column
from common.errors import InvariantError
from common.prices import ABSENT, to_e4
from processors.engine.shapes import Integers

_STATUS_ACTIONS = schemas.load(topics.FUTURES_STATUS).field("action").symbols
_REQUEST_KINDS = schemas.load(topics.REQUESTS).field("kind").symbols
UNCHANGED, HALTS, TRADES_ON = -1, 0, 1
_STATE_AFTER = np.array(
    [TRADES_ON if a == "TRADING" else UNCHANGED if a == "OTHER" else HALTS for a in _STATUS_ACTIONS], np.int64
)

ADD_HOTZONE, REMOVE_HOTZONE, OTHER_REQUEST = (
    _REQUEST_KINDS.index(name) for name in ("HOTZONE_ADD", "HOTZONE_REMOVE", "OTHER")
)


class StockQuotes(NamedTuple):
    """Best bid and offer of the underlying in 0.0001 USD, ABSENT where there is none; all of one length."""

    effective_ns: Integers
    bid_e4: Integers
    ask_e4: Integers
    ok: NDArray[np.bool_]


class StockTrades(NamedTuple):
    """Trades of the underlying. ``counts`` False for those that update neither last price, VWAP nor tape; ``venue``
    -1 where unknown.
    """

    effective_ns: Integers
    price_e4: Integers
    size: Integers
    venue: Integers
    counts: NDArray[np.bool_]
    ok: NDArray[np.bool_]


class Statuses(NamedTuple):
    """Trading states. ``state`` HALTS, TRADES_ON or UNCHANGED; ``instrument_id`` 0 for all contracts."""

    effective_ns: Integers
    instrument_id: Integers
    state: Integers
    ok: NDArray[np.bool_]


class Definitions(NamedTuple):
    """Contracts. ``front`` True where the contract becomes the one that is followed."""

    effective_ns: Integers
    instrument_id: Integers
    front: NDArray[np.bool_]
    ok: NDArray[np.bool_]


class Requests(NamedTuple):
    """What people ask: ``kind`` as in the schema, ``price_e4`` of the hotzone."""

    effective_ns: Integers
    kind: Integers
    price_e4: Integers
    ok: NDArray[np.bool_]


def _e4(column: Column) -> Integers:
    """Dollars in 0.0001 USD; ABSENT where null or not a number."""
    ticks = to_e4(np.ascontiguousarray(column.values, np.float64))
    return ticks if column.valid is None else np.where(column.valid, ticks, ABSENT)


def text_is(column: Column, text: str) -> NDArray[np.bool_]:
    """Which strings are ``text``."""
    raw = np.frombuffer(text.encode(), np.uint8)
    if column.offsets is None:
        raise InvariantError("a string column has no offsets")
    starts = column.offsets[:-1]
    same: NDArray[np.bool_] = np.diff(column.offsets) == len(raw)
    values = np.ascontiguousarray(column.values).view(np.uint8)
    for place, letter in enumerate(raw):
        same[same] = values[starts[same] + place] == letter
    return same


def stock_quotes(batch: Batch, underlying: str) -> StockQuotes:
    """Records of ``stocks.quotes.v1``; those of other symbols are not ok."""
    columns = batch.columns
    bid, ask = _e4(columns["bid_px"]), _e4(columns["ask_px"])
    ok = text_is(columns["symbol"], underlying) & ((bid > 0) | (bid == ABSENT)) & ((ask > 0) | (ask == ABSENT))
    return StockQuotes(columns["ts_effective_ns"].filled(0, np.int64), bid, ask, ok)


def stock_trades(batch: Batch, underlying: str) -> StockTrades:
    """Records of ``stocks.trades.v1``; those of other symbols are not ok."""
    columns = batch.columns
    price, size = _e4(columns["price"]), columns["size"].filled(0, np.int64)
    updates = columns["updates_last"]
    # unknown counts: a feed without conditions would otherwise have no tape at all
    counts = updates.filled(True)
    ok = text_is(columns["symbol"], underlying) & (price > 0) & (size > 0)
    return StockTrades(
        columns["ts_effective_ns"].filled(0, np.int64),
        price,
        size,
        columns["exchange"].filled(-1, np.int64),
        counts,
        ok,
    )


def statuses(batch: Batch) -> Statuses:
    """Records of ``futures.status.v1``: what the vendor says of matching wins over the action's name."""
    columns = batch.columns
    state = _STATE_AFTER[np.asarray(columns["action"].values, np.int64)]
    trading = columns["is_trading"]
    state = np.where(trading.validity, np.where(np.asarray(trading.values, np.bool_), TRADES_ON, HALTS), state)
    return Statuses(
        columns["ts_effective_ns"].filled(0, np.int64),
        columns["instrument_id"].filled(0, np.int64),
        state,
        np.ones(batch.length, np.bool_),
    )


def definitions(batch: Batch, asset: str) -> Definitions:
    """Records of ``futures.definitions.v1``; those of other products are not ok."""
    columns = batch.columns
    instrument = columns["instrument_id"].filled(0, np.int64)
    return Definitions(
        columns["ts_effective_ns"].filled(0, np.int64),
        instrument,
        np.asarray(columns["is_front"].values, np.bool_),
        text_is(columns["asset"], asset) & (instrument > 0),
    )


def requests(batch: Batch, underlying: str) -> Requests:
    """Records of ``control.requests.v1``; those of other complexes, and hotzones without a price, are not ok."""
    columns = batch.columns
    kind, price = columns["kind"].filled(0, np.int64), _e4(columns["price"])
    ok = text_is(columns["underlying"], underlying) & ((price > 0) | (kind == OTHER_REQUEST))
    return Requests(columns["ts_effective_ns"].filled(0, np.int64), kind, price, ok)
