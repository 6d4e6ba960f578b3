"""Stock and option records beside an ES session, so that every input of the engine is on. Seeded; made as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column, repeated_string, strings

SNAP_NS = 250_000_000
NS_PER_DAY = 86_400_000_000_000
STRIKES = 41
"""Strikes a dollar apart around the spot, calls and puts of one expiration each."""

PER_SNAP = {
    topics.STOCKS_QUOTES: 8,
    topics.STOCKS_TRADES: 3,
    topics.OPTIONS_QUOTES: 20,
    topics.OPTIONS_TRADES: 3,
}
"""Records of each topic per snap."""

CHAIN_EVERY_SNAPS = 240
"""A snapshot of the whole chain a minute."""

_Times = NDArray[np.int64]


class Complex:
    """The stocks and options of one complex near ``spot`` (USD), in batches of all that happens in a span."""

    def __init__(self, spot: float, begin_ns: int, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        self._spot = spot
        self._days = begin_ns // NS_PER_DAY
        self._seq = 0
        low = round(spot) - STRIKES // 2
        self._contracts = [(float(low + k), right) for k in range(STRIKES) for right in (0, 1)]
        day = str(np.datetime64(self._days, "D")).replace("-", "")[2:]
        self._symbols = strings([f"O:SPY{day}{'CP'[r]}{round(k * 1000):08d}" for k, r in self._contracts])

    def batches(self, begin_ns: int, end_ns: int) -> Iterator[Batch]:
        """One batch per topic with records from ``begin_ns`` on, before ``end_ns``."""
        makers: dict[str, Callable[[_Times], Mapping[str, Column]]] = {
            topics.STOCKS_QUOTES: self._stock_quotes,
            topics.STOCKS_TRADES: self._stock_trades,
            topics.OPTIONS_QUOTES: self._option_quotes,
            topics.OPTIONS_TRADES: self._option_trades,
        }
        for topic, make in makers.items():
            count = (end_ns - begin_ns) * PER_SNAP[topic] // SNAP_NS
            times = np.sort(self._random.integers(begin_ns, end_ns, count))
            yield self._batch(topic, times, make(times))
        grid = CHAIN_EVERY_SNAPS * SNAP_NS
        chains = np.arange(-(-begin_ns // grid) * grid, end_ns, grid, dtype=np.int64)
        times = np.repeat(chains, len(self._contracts))
        yield self._batch(topics.OPTIONS_GREEKS, times, self._greeks(times))

    def _batch(self, topic: str, times: _Times, own: Mapping[str, Column]) -> Batch:
        length = len(times)
        seq = np.arange(self._seq, self._seq + length, dtype=np.int64)
        self._seq += length
        given = {
            "event_id": Column(seq),
            "ts_event_ns": Column(times),
            "ts_recv_ns": Column(times + 1_000_000),
            "ts_effective_ns": Column(times),
            "source": repeated_string("sim", length),
            "symbol": repeated_string("SPY", length),
            "underlying": repeated_string("SPY", length),
            "seq": Column(seq, np.ones(length, np.bool_)),
            **own,
        }
        columns = {field.name: given.get(field.name) or _nothing(field, length) for field in schemas.load(topic).fields}
        return Batch(topic, length, columns)

    def _prices(self, length: int) -> NDArray[np.float64]:
        return np.round(self._spot + self._random.normal(0, 0.2, length), 2)

    def _stock_quotes(self, times: _Times) -> Mapping[str, Column]:
        price = self._prices(len(times))
        return {
            **_floats(bid_px=price - 0.01, ask_px=price + 0.01),
            **self._sizes(len(times), "bid_sz", "ask_sz"),
        }

    def _stock_trades(self, times: _Times) -> Mapping[str, Column]:
        return {
            "price": Column(self._prices(len(times))),
            "size": Column(self._random.integers(1, 400, len(times)).astype(np.int32)),
            "updates_last": Column(np.ones(len(times), np.bool_), np.ones(len(times), np.bool_)),
        }

    def _contract(self, which: NDArray[np.int64]) -> dict[str, Column]:
        strike = np.array([strike for strike, _ in self._contracts])[which]
        right = np.array([right for _, right in self._contracts], np.int32)[which]
        return {
            "option_symbol": self._symbols.take(which),
            "exp_date": Column(np.full(len(which), self._days, np.int32)),
            "strike": Column(strike),
            "right": Column(right),
        }

    def _any_contract(self, length: int) -> NDArray[np.int64]:
        return self._random.integers(0, len(self._contracts), length)

    def _option_quotes(self, times: _Times) -> Mapping[str, Column]:
        price = np.round(self._random.uniform(0.5, 5, len(times)), 2)
        own = self._contract(self._any_contract(len(times)))
        return {
            "option_symbol": own["option_symbol"],
            **_floats(bid_px=price - 0.02, ask_px=price + 0.02),
            **self._sizes(len(times), "bid_sz", "ask_sz"),
        }

    def _option_trades(self, times: _Times) -> Mapping[str, Column]:
        length = len(times)
        return {
            **self._contract(self._any_contract(length)),
            "price": Column(np.round(self._random.uniform(0.5, 5, length), 2)),
            "size": Column(self._random.integers(1, 50, length).astype(np.int32)),
            "aggressor": Column(self._random.integers(0, 3, length).astype(np.int32)),
        }

    def _greeks(self, times: _Times) -> Mapping[str, Column]:
        length = len(times)
        which = np.arange(length, dtype=np.int64) % len(self._contracts)
        every = np.ones(length, np.bool_)
        return {
            **self._contract(which),
            **_floats(implied_volatility=self._random.uniform(0.1, 0.3, length)),
            "open_interest": Column(self._random.integers(0, 20_000, length), every),
            "snapshot_id": repeated_string("chain", length),
        }

    def _sizes(self, length: int, *names: str) -> dict[str, Column]:
        every = np.ones(length, np.bool_)
        return {name: Column(self._random.integers(1, 500, length).astype(np.int32), every) for name in names}


def _floats(**values: NDArray[np.float64]) -> dict[str, Column]:
    return {name: Column(item, np.ones(len(item), np.bool_)) for name, item in values.items()}


def _nothing(field: Any, length: int) -> Column:
    """Null where the field may be, else zeros and empty texts."""
    valid = np.zeros(length, np.bool_) if field.nullable else None
    if field.kind in ("string", "bytes", "array"):
        return Column(np.zeros(0, field.dtype), valid, np.zeros(length + 1, np.int64))
    return Column(np.zeros(length, field.dtype), valid)
