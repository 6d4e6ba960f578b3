"""The made-up session as DBN files: the vendor's record layouts, metadata and compression."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import databento_dbn
import numpy as np
import zstandard
from databento_dbn.metadata import MappingInterval
from numba import njit
from numpy.typing import NDArray

from producers.dbn.file import LAYOUTS
from producers.dbn.parse import SIMULATED_DATASET
from producers.simulator.feed import write_bytes
from producers.simulator.market import ADD, ASK, BID, CANCEL, LEVELS, TICKS, TRADE, UNSEEN, Market

INSTRUMENT_ID = 4916
PUBLISHER_ID = 1
SYMBOL = "ESM5"
TICK_1E9 = 250_000_000
LAST_FLAG = 128
NS_PER_DAY = 86_400_000_000_000
CONTRACTS_PER_ORDER = 4
"""Mean size of an order, from which a level's order count follows."""

_ACTIONS = np.array([b"A", b"C", b"T"])
_SIDES = np.array([b"B", b"A"])
_ADD, _CANCEL, _TRADE, _UNSEEN, _ASK, _LEVELS = ADD, CANCEL, TRADE, UNSEEN, ASK, LEVELS


@dataclass(slots=True)
class _Interval:
    """As the vendor's encoder wants a mapping's days."""

    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass(slots=True)
class _Mapping:
    """As the vendor's encoder wants a mapping."""

    raw_symbol: str
    intervals: Sequence[MappingInterval]


@njit(cache=True)
def _books(
    kinds: NDArray[np.int64],
    sides: NDArray[np.int64],
    ticks: NDArray[np.int64],
    sizes: NDArray[np.int64],
    span: int,
    levels: NDArray[np.int64],
) -> None:
    """The ten best levels of both sides after every change (before it, for a trade): tick, size per side and level.

    ``levels`` int64[changes, 2, 10, 2]; tick -1 where there is none.
    """
    book = np.zeros((2, span), np.int64)
    best = np.array([-1, span], np.int64)
    for i in range(len(kinds)):
        side, tick = sides[i], ticks[i]
        if kinds[i] == _UNSEEN:
            book[side, tick] = sizes[i]
        elif kinds[i] == _ADD:
            book[side, tick] += sizes[i]
        elif kinds[i] == _CANCEL:
            book[side, tick] -= sizes[i]
        if kinds[i] != _TRADE and book[side, tick] > 0:
            best[side] = min(best[side], tick) if side == _ASK else max(best[side], tick)
        for s in range(2):
            step = 1 if s == _ASK else -1
            while 0 <= best[s] < span and book[s, best[s]] == 0:
                best[s] += step
            at, found = best[s], 0
            while found < _LEVELS and 0 <= at < span:
                if book[s, at] > 0:
                    levels[i, s, found, 0] = at
                    levels[i, s, found, 1] = book[s, at]
                    found += 1
                at += step
            levels[i, s, found:, 0] = -1


def write_session(market: Market, out: Path, name: str) -> tuple[Path, Path]:
    """Write the book and the trades of the market's changes; returns both paths. Raises InputError when it cannot."""
    rows = np.array([(c.ts_ns, c.kind, c.side, c.tick, c.size, c.is_last) for c in market.changes], np.int64)
    ts_ns, kinds, sides, ticks, sizes, last = rows.T.copy()
    levels = np.zeros((len(rows), 2, LEVELS, 2), np.int64)
    _books(kinds, sides, ticks - market.base_tick, sizes, TICKS, levels)
    shown = kinds != UNSEEN
    common = _common(market, ts_ns[shown], kinds[shown], sides[shown], ticks[shown], sizes[shown])
    book = np.zeros(len(common), LAYOUTS["mbp-10"].dtype)
    for field in common.dtype.names or ():
        book[field] = common[field]
    book["flags"] = np.where(last[shown] == 1, LAST_FLAG, 0)
    _fill_levels(book, levels[shown], market.base_tick)
    is_trade = kinds[shown] == TRADE
    return (
        _write(out / f"{name}.mbp-10.dbn.zst", "mbp-10", book),
        _write(out / f"{name}.trades.dbn.zst", "trades", common[is_trade]),
    )


def _common(
    market: Market,
    ts_ns: NDArray[np.int64],
    kinds: NDArray[np.int64],
    sides: NDArray[np.int64],
    ticks: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> NDArray[np.void]:
    """The fields that book and trade records share, in the trades' layout."""
    out = np.zeros(len(ts_ns), LAYOUTS["trades"].dtype)
    draws = np.array([market.random.randint(0, 2**20) for _ in range(len(ts_ns))], np.int64)
    new_event = np.diff(ts_ns, prepend=0) > 0
    delay_ns = np.maximum.accumulate(np.where(new_event, ts_ns + 120_000 + draws % 90_000, 0)) - ts_ns
    out["publisher_id"] = PUBLISHER_ID
    out["instrument_id"] = INSTRUMENT_ID
    out["ts_event"] = ts_ns
    out["ts_recv"] = ts_ns + delay_ns
    out["ts_in_delta"] = 13_000 + draws % 4_000
    out["sequence"] = np.cumsum(np.where(new_event, 1 + (draws >> 12) % 3, 0))
    out["price"] = ticks * TICK_1E9
    out["size"] = sizes
    out["action"] = _ACTIONS[kinds]
    out["side"] = _SIDES[sides]
    return out


def _fill_levels(book: NDArray[np.void], levels: NDArray[np.int64], base_tick: int) -> None:
    for side, letter in ((BID, "bid"), (ASK, "ask")):
        for level in range(LEVELS):
            tick, size = levels[:, side, level, 0], levels[:, side, level, 1]
            there = tick >= 0
            price = np.where(there, (tick + base_tick) * TICK_1E9, databento_dbn.UNDEF_PRICE)
            book[f"{letter}_px_{level:02d}"] = price
            book[f"{letter}_sz_{level:02d}"] = np.where(there, size, 0)
            book[f"{letter}_ct_{level:02d}"] = np.where(there, -(-size // CONTRACTS_PER_ORDER), 0)


def _write(path: Path, schema: str, records: NDArray[np.void]) -> Path:
    layout = LAYOUTS[schema]
    records["length"] = layout.dtype.itemsize // 4
    records["rtype"] = layout.rtype
    begin_ns, end_ns = (int(records["ts_event"][i]) for i in (0, -1))
    day = dt.date(1970, 1, 1) + dt.timedelta(days=begin_ns // NS_PER_DAY)
    mapping = _Mapping(SYMBOL, [_Interval(day, day + dt.timedelta(days=1), str(INSTRUMENT_ID))])
    metadata = databento_dbn.Metadata(
        dataset=SIMULATED_DATASET,
        start=begin_ns,
        end=end_ns + 1,
        stype_in=databento_dbn.SType.from_str("raw_symbol"),
        stype_out=databento_dbn.SType.from_str("instrument_id"),
        schema=databento_dbn.Schema.from_str(schema),
        symbols=[SYMBOL],
        mappings=[mapping],
    )
    return write_bytes(path, zstandard.ZstdCompressor(level=3).compress(bytes(metadata) + records.tobytes()))
