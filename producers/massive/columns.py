"""Rows of parsed messages as columns, and the words of their content's hash."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.columns import Batch, Column, repeated_string, string_list, strings
from common.schemas import Field, load
from common.topics import OPTIONS_GREEKS, OPTIONS_QUOTES, OPTIONS_TRADES, STOCKS_QUOTES, STOCKS_TRADES
from producers.event_ids import fnv1a

SOURCE = "massive"

_HEAD = ("ts_event_ns", "ts_recv_ns", "symbol", "seq")
_CONTRACT = ("underlying", "exp_date", "strike", "right")
_QUOTE = ("bid_px", "ask_px", "bid_sz", "ask_sz")
_TRADE = ("price", "size", "exchange", "conditions")
_MEASURES = ("delta", "gamma", "theta", "vega", "implied_volatility", "open_interest")
_LAST_TIMES = ("last_quote_ts_ns", "last_trade_ts_ns")

ROWS: dict[str, tuple[str, ...]] = {
    STOCKS_TRADES: (*_HEAD, *_TRADE, "updates_last", "trade_id"),
    STOCKS_QUOTES: (*_HEAD, *_QUOTE, "bid_exch", "ask_exch"),
    OPTIONS_TRADES: (*_HEAD, *_CONTRACT, *_TRADE, "opt_bid", "opt_ask", "aggressor"),
    OPTIONS_QUOTES: (*_HEAD, "underlying", *_QUOTE),
    OPTIONS_GREEKS: (*_HEAD, *_CONTRACT, *_MEASURES, *_LAST_TIMES, "snapshot_id"),
}
"""What a row of each topic holds, in this order. Fields of the topic that are not here are the same for all."""

CONTENT: dict[str, tuple[str, ...]] = {
    STOCKS_TRADES: ("exchange", "symbol", "ts_event_ns", "seq", "price", "size", "trade_id"),
    STOCKS_QUOTES: ("symbol", "ts_event_ns", "seq", *_QUOTE, "bid_exch", "ask_exch"),
    OPTIONS_TRADES: ("exchange", "symbol", "ts_event_ns", "seq", "price", "size"),
    OPTIONS_QUOTES: ("symbol", "ts_event_ns", "seq", *_QUOTE),
    OPTIONS_GREEKS: ("symbol", "ts_event_ns", *_MEASURES, *_LAST_TIMES),
}
"""What makes a record's id (DESIGN §3). Not the time at which we received it: the same message may come twice."""

ABSENT_WORD = np.uint64(0x8000000000000001)
"""Stands for null: no whole number above the least, and as a double a subnormal that no vendor sends."""


def batch_of(topic: str, rows: Sequence[tuple[Any, ...]]) -> Batch:
    """The rows (`ROWS`) as a batch with every field of the topic. At least one row."""
    length = len(rows)
    given = dict(zip(ROWS[topic], zip(*rows, strict=True), strict=True))
    columns: dict[str, Column] = {}
    for field in load(topic).fields:
        if field.name == "option_symbol":
            columns[field.name] = columns["symbol"]
        elif field.name in given:
            columns[field.name] = _column(field, given[field.name])
        elif field.name == "source":
            columns[field.name] = repeated_string(SOURCE, length)
        elif field.name == "ts_effective_ns":
            columns[field.name] = columns["ts_event_ns"]
        else:
            valid = np.zeros(length, np.bool_) if field.nullable else None
            columns[field.name] = Column(np.zeros(length, field.dtype), valid)
    return Batch(topic, length, columns)


def _column(field: Field, values: Sequence[Any]) -> Column:
    valid = np.array([value is not None for value in values], np.bool_) if field.nullable else None
    if field.kind == "string":
        column = strings(values)
        return Column(column.values, valid, column.offsets)
    if field.kind == "array":
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum([len(value) for value in values], out=offsets[1:])
        return Column(np.array([item for value in values for item in value], field.dtype), valid, offsets)
    if field.nullable:
        values = [0 if value is None else value for value in values]
    return Column(np.array(values, field.dtype), valid)


@lru_cache(maxsize=100_000)
def _text_word(item: str) -> int:
    return fnv1a(item)


def content_words(batch: Batch) -> list[NDArray[np.uint64]]:
    """One word per record for each field of `CONTENT`."""
    return [_words(batch.columns[name]) for name in CONTENT[batch.name]]


def _words(column: Column) -> NDArray[np.uint64]:
    if column.offsets is not None:
        words = np.array([_text_word(item or "") for item in string_list(column)], np.uint64)
    elif column.values.dtype == np.float64:
        words = np.ascontiguousarray(column.values).view(np.uint64)
    else:
        words = column.values.astype(np.int64).view(np.uint64)
    return words if column.valid is None else np.where(column.valid, words, ABSENT_WORD)
