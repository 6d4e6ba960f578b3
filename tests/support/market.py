"""A small market to write by hand: books and trades in dollars, turned into the engine's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common import schemas, topics
from common.columns import Batch, Column, string_list
from common.config import EngineConfig, make_config
from common.sessions import cme_es_sessions
from processors.engine import features
from processors.engine.order import Merger
from tests.support.event_batches import filled

NS = 1_000_000_000
SNAP_NS = 250_000_000
OPEN_NS = 1_748_901_600 * NS
"""Open of the ES session of 2025-06-03."""
INSTRUMENT = 4916

_ACTIONS = schemas.load(topics.FUTURES_MBP10).field("action").symbols
_AGGRESSORS = schemas.load(topics.FUTURES_TRADES).field("aggressor").symbols

Side = Sequence[tuple[float, int]]


def ladder(best: float, sizes: Sequence[int], side: str) -> list[tuple[float, int]]:
    """Levels a tick apart from the best price outwards."""
    step = -0.25 if side == "bid" else 0.25
    return [(best + k * step, size) for k, size in enumerate(sizes)]


EXP_DAYS = 20_242
"""The session's date, 2025-06-03, as days since the epoch."""


class Market:
    """Collects records in the order of their calls; times are ns after the session's open."""

    def __init__(self) -> None:
        self.books: list[dict[str, Any]] = []
        self.trades: list[dict[str, Any]] = []
        self.others: dict[str, list[dict[str, Any]]] = {}
        self._seq = 0

    def _stamp(self, at_ns: int, event_ns: int | None) -> dict[str, int]:
        self._seq += 1
        effective = OPEN_NS + at_ns
        return {
            "ts_effective_ns": effective,
            "ts_event_ns": effective if event_ns is None else OPEN_NS + event_ns,
            "seq": self._seq,
        }

    def book(
        self,
        at_ns: int,
        bids: Side,
        asks: Side,
        action: str = "MODIFY",
        flags: int = 128,
        instrument: int = INSTRUMENT,
        event_ns: int | None = None,
    ) -> None:
        """One book record with the whole book after it."""
        record: dict[str, Any] = {
            **self._stamp(at_ns, event_ns),
            "action": _ACTIONS.index(action),
            "flags": flags,
            "instrument_id": instrument,
        }
        for name, side in (("bid", bids), ("ask", asks)):
            for k in range(10):
                record[f"{name}_px_{k + 1}"], record[f"{name}_sz_{k + 1}"] = side[k] if k < len(side) else (None, None)
        self.books.append(record)

    def trade(
        self,
        at_ns: int,
        price: float,
        size: int,
        aggressor: str,
        instrument: int = INSTRUMENT,
        event_ns: int | None = None,
    ) -> None:
        """One trade; ``aggressor`` BUY, SELL or MID."""
        self.trades.append(
            {
                **self._stamp(at_ns, event_ns),
                "price": price,
                "size": size,
                "instrument_id": instrument,
                "aggressor": _AGGRESSORS.index(aggressor),
            }
        )

    def add(self, topic: str, at_ns: int, event_ns: int | None = None, **fields: Any) -> None:
        """One record of any other input; fields not given are zero, empty or null."""
        self.others.setdefault(topic, []).append({**self._stamp(at_ns, event_ns), **fields})

    def spy_quote(self, at_ns: int, bid: float | None, ask: float | None, symbol: str = "SPY") -> None:
        """The underlying's best bid and offer."""
        self.add(topics.STOCKS_QUOTES, at_ns, symbol=symbol, bid_px=bid, ask_px=ask, bid_sz=100, ask_sz=100)

    def spy_trade(
        self, at_ns: int, price: float, size: int, *, updates_last: bool | None = True, exchange: int | None = None
    ) -> None:
        """One trade of the underlying."""
        self.add(
            topics.STOCKS_TRADES,
            at_ns,
            symbol="SPY",
            price=price,
            size=size,
            updates_last=updates_last,
            exchange=exchange,
        )

    def option_trade(
        self, at_ns: int, strike: float, right: str, price: float, size: int, exp_days: int = EXP_DAYS, **fields: Any
    ) -> None:
        """One trade of an option, of today's unless said otherwise; MID without an aggressor of its own."""
        option = {**_option(strike, right), "exp_date": exp_days}
        self.add(topics.OPTIONS_TRADES, at_ns, event_ns=None, **option, price=price, size=size, **fields)

    def option_quote(self, at_ns: int, strike: float, right: str, bid: float | None, ask: float | None) -> None:
        """Best bid and offer of an option."""
        self.add(topics.OPTIONS_QUOTES, at_ns, **_option(strike, right), bid_px=bid, ask_px=ask)

    def greeks(self, at_ns: int, strike: float, right: str, iv: float | None, **fields: Any) -> None:
        """A snapshot of an option's implied volatility, and whatever else is given."""
        self.add(topics.OPTIONS_GREEKS, at_ns, **_option(strike, right), implied_volatility=iv, **fields)

    def after_gap(self, topic: str) -> None:
        """The topic's newest record is the first one after its connection was lost for a second."""
        own = {topics.FUTURES_MBP10: self.books, topics.FUTURES_TRADES: self.trades}
        record = own.get(topic, self.others.get(topic, []))[-1]
        record["gap_begin_ns"] = record["ts_effective_ns"] - NS

    def batches(self) -> tuple[Batch, ...]:
        """The records as batches of their topics."""
        own = _batch(topics.FUTURES_MBP10, self.books), _batch(topics.FUTURES_TRADES, self.trades)
        return *own, *(_records(topic, self.others[topic]) for topic in sorted(self.others))

    def rows(self, until_s: float, **overrides: Any) -> list[dict[str, Any]]:
        """Feature rows of all snaps up to ``until_s`` seconds after the open."""
        return to_rows(self.output(until_s, **overrides).features)

    def output(self, until_s: float, **overrides: Any) -> features.Output:
        """All that the engine says up to ``until_s`` seconds after the open."""
        return run(self.batches(), round(until_s * NS), make_config(overrides))[0]

    def last(self, until_s: float, level: str, **overrides: Any) -> dict[str, Any]:
        """The row of ``level`` at the last snap."""
        rows = [row for row in self.rows(until_s, **overrides) if row["level_id"] == level]
        if not rows:
            raise AssertionError(f"no row of {level}; rows of {sorted({r['level_id'] for r in rows})}")
        return rows[-1]


_INT32 = {"flags", "action", "aggressor", "size"} | {f"{s}_sz_{k}" for s in ("bid", "ask") for k in range(1, 11)}
_COLUMNS: Mapping[str, Sequence[str]] = {
    topics.FUTURES_MBP10: [
        "ts_effective_ns",
        "ts_event_ns",
        "seq",
        "action",
        "flags",
        "instrument_id",
        *(f"{s}_{f}_{k}" for s in ("bid", "ask") for k in range(1, 11) for f in ("px", "sz")),
        "gap_begin_ns",
    ],
    topics.FUTURES_TRADES: [
        "ts_effective_ns",
        "ts_event_ns",
        "seq",
        "price",
        "size",
        "instrument_id",
        "aggressor",
        "gap_begin_ns",
    ],
}


def _batch(topic: str, records: Sequence[Mapping[str, Any]]) -> Batch:
    columns = {}
    for name in _COLUMNS[topic]:
        values = [record.get(name) for record in records]
        valid = np.array([value is not None for value in values], np.bool_)
        kind = np.float64 if "px" in name or name == "price" else np.int32 if name in _INT32 else np.int64
        filled = np.array([0 if value is None else value for value in values], kind)
        columns[name] = Column(filled, None if valid.all() and name != "gap_begin_ns" else valid)
    return Batch(topic, len(records), columns)


def _option(strike: float, right: str) -> dict[str, Any]:
    symbol = f"O:SPY250603{right}{round(strike * 1000):08d}"
    return {"underlying": "SPY", "option_symbol": symbol, "exp_date": EXP_DAYS, "strike": strike, "right": right}


def _records(topic: str, records: Sequence[Mapping[str, Any]]) -> Batch:
    names = {name for record in records for name in record}
    defaults = {"conditions": (), "aggressor": "MID"}
    given = {name: [record.get(name, defaults.get(name)) for record in records] for name in sorted(names)}
    for name, value in defaults.items():
        if name not in given:
            given[name] = [value] * len(records)
    return filled(topic, len(records), given)


def merged(batches: Sequence[Batch], until_ns: int) -> Any:
    """All events of the batches, and the promise that nothing below ``until_ns`` follows."""
    merger = Merger(tuple(topic for topic in topics.ENGINE_INPUTS if any(b.name == topic for b in batches)))
    for batch in batches:
        merger.push(batch.name, batch, np.arange(batch.length, dtype=np.int64))
        merger.promise(batch.name, batch.length, until_ns)
    return merger.pop()


def run(
    batches: Sequence[Batch], until_ns: int, config: EngineConfig | None = None
) -> tuple[features.Output, features.State]:
    """Output and state after one step over everything; ``until_ns`` after the open, that snap included."""
    state = features.initial_state(config or EngineConfig(), cme_es_sessions())
    events = merged(batches, OPEN_NS + until_ns + 1)
    return features.step(state, events, events.until_ns), state


def to_rows(batch: Batch) -> list[dict[str, Any]]:
    """A batch as dictionaries, enums as symbols, nulls as None."""
    schema = schemas.load(batch.name)
    out: list[dict[str, Any]] = [{} for _ in range(batch.length)]
    for field in schema.fields:
        column = batch.columns[field.name]
        values = string_list(column) if column.offsets is not None else column.values.tolist()
        for n, value in enumerate(values):
            null = column.valid is not None and not column.valid[n]
            out[n][field.name] = None if null else field.symbols[value] if field.kind == "enum" else value
    return out
