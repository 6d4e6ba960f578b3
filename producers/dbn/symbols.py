"""Which symbol an instrument number stood for on a day, from a DBN file's metadata or a live session's messages."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

import databento_dbn
import numpy as np
from numpy.typing import NDArray

from common.columns import Column, repeated_string, strings

NS_PER_DAY = 86_400_000_000_000
_FRONT = re.compile(r"[A-Z0-9]+\.[cvn]\.0")
"""A continuous symbol of rank 0: the contract that is followed, by calendar, volume or open interest."""


@dataclass(frozen=True, slots=True)
class Interval:
    """``symbol`` names ``instrument_id`` from ``begin_ns`` up to, not including, ``end_ns`` (in files, midnights UTC).

    ``is_front``: a continuous symbol of rank 0 means it then.
    """

    instrument_id: int
    begin_ns: int
    end_ns: int
    symbol: str
    is_front: bool = False


@dataclass(frozen=True, slots=True)
class SymbolMap:
    """The mappings of a file, in its order; where two cover the same instrument and day the first one counts."""

    intervals: tuple[Interval, ...]

    def column(self, instrument_ids: NDArray[np.int64], ts_ns: NDArray[np.int64]) -> Column:
        """The symbol of each record by its instrument and time; an unmapped instrument's number as text."""
        names: list[str] = []
        codes = np.full(len(instrument_ids), -1, np.int64)
        for instrument_id in _distinct(instrument_ids):
            is_it = instrument_ids == instrument_id
            for interval in self.intervals:
                if interval.instrument_id != instrument_id:
                    continue
                hit = is_it & (codes < 0) & (ts_ns >= interval.begin_ns) & (ts_ns < interval.end_ns)
                if hit.any():
                    codes[hit] = _code(names, interval.symbol)
            unmapped = is_it & (codes < 0)
            if unmapped.any():
                codes[unmapped] = _code(names, str(instrument_id))
        if len(names) == 1:
            return repeated_string(names[0], len(instrument_ids))
        return strings(names).take(codes)

    def is_front(self, instrument_ids: NDArray[np.int64], ts_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each instrument was the one that is followed at its time."""
        out = np.zeros(len(instrument_ids), np.bool_)
        for interval in self.intervals:
            if interval.is_front:
                within = (ts_ns >= interval.begin_ns) & (ts_ns < interval.end_ns)
                out |= (instrument_ids == interval.instrument_id) & within
        return out


def names_front(symbol: str) -> bool:
    """True for a continuous symbol of rank 0, such as ES.c.0."""
    return _FRONT.fullmatch(symbol) is not None


def _distinct(values: NDArray[np.int64]) -> list[int]:
    """The different values, sorted; most files hold one instrument, which needs no sorting."""
    if len(values) and bool((values == values[0]).all()):
        return [int(values[0])]
    return [int(value) for value in np.unique(values)]


def _code(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)


def symbol_map(metadata: databento_dbn.Metadata) -> SymbolMap:
    """The mappings of the metadata, whether they were asked for as symbol to number or as number to symbol."""
    to_symbol = str(metadata.stype_out) != "instrument_id"
    intervals = []
    for requested, mapped in metadata.mappings.items():
        for interval in mapped:
            number, symbol = (requested, interval["symbol"]) if to_symbol else (interval["symbol"], requested)
            if number.isdigit() and symbol:
                begin_ns, end_ns = _midnight_ns(interval["start_date"]), _midnight_ns(interval["end_date"])
                is_front = names_front(requested)
                intervals.append(Interval(int(number), begin_ns, end_ns, symbol, is_front))
    return SymbolMap(tuple(intervals))


def _midnight_ns(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days * NS_PER_DAY
