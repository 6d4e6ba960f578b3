"""Option topics as what the kernels read: premiums in 0.0001 USD, strikes in 0.001 USD, signs. Bad values are marked,
never raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column
from common.errors import InvariantError
from common.jit import kernel
from common.prices import ABSENT, to_ticks
from processors.engine.blackscholes import GREATEST_SIGMA, LEAST_SIGMA

Closes = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Dates as days since the epoch, ascending, and the end of their regular trading in ns since the epoch."""

NO_CLOSES: Closes = (np.zeros(0, np.int64), np.zeros(0, np.int64))

PREMIUM_UNIT = 1e-4
STRIKE_UNIT = 1e-3

_NS_PER_DAY = 86_400_000_000_000
_USUAL_CLOSE_NS = 75_600_000_000_000
"""21:00 UTC, 16:00 New York in winter: the expiry on a date that the table does not know."""

# Beyond these a value is a vendor's error; they keep every product of the engine within 64 bits.
_GREATEST_PREMIUM = 100_000.0
_GREATEST_STRIKE = 1_000_000.0
_GREATEST_SIZE = 1_000_000
_GREATEST_DAYS = 100_000

_SELL, _BUY = (schemas.load(topics.OPTIONS_TRADES).field("aggressor").symbols.index(name) for name in ("SELL", "BUY"))
RIGHTS = schemas.load(topics.OPTIONS_TRADES).field("right").symbols
_PUT = RIGHTS.index("P")

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class OptionQuotes(NamedTuple):
    """Best bids and offers. All of one length; a missing side is ABSENT."""

    effective_ns: Integers
    event_ns: Integers
    exp_days: Integers
    strike_milli: Integers
    is_put: Integers  # 0 call, 1 put
    expiry_ns: Integers
    ok: Flags
    bid_e4: Integers
    ask_e4: Integers


class OptionTrades(NamedTuple):
    """Option trades. All of one length; ``sign`` is the record's own aggressor, 1 bought, -1 sold, 0 unknown."""

    effective_ns: Integers
    event_ns: Integers
    exp_days: Integers
    strike_milli: Integers
    is_put: Integers
    expiry_ns: Integers
    ok: Flags
    price_e4: Integers
    size: Integers
    opt_bid_e4: Integers  # ABSENT when the record names none
    opt_ask_e4: Integers
    sign: Integers
    multi_leg: Flags


class Greeks(NamedTuple):
    """Contracts of chain snapshots. All of one length; ``iv`` and ``gamma`` NaN, ``open_interest`` -1 when null."""

    effective_ns: Integers
    event_ns: Integers
    exp_days: Integers
    strike_milli: Integers
    is_put: Integers
    expiry_ns: Integers
    ok: Flags
    iv: Floats
    gamma: Floats
    open_interest: Integers


def expiry_ns_of(exp_days: Integers, closes: Closes) -> Integers:
    """When contracts of these dates expire: the close of ``closes``, 21:00 UTC where it has no such date."""
    dates, close_ns = closes
    usual = exp_days * _NS_PER_DAY + _USUAL_CLOSE_NS
    if len(dates) == 0:
        return usual
    at = np.minimum(np.searchsorted(dates, exp_days), len(dates) - 1)
    return np.where(dates[at] == exp_days, close_ns[at], usual)


def _scaled(dollars: NDArray[Any], unit: float, greatest: float) -> Integers:
    """Prices in integer units; ABSENT for one that is not on their grid, not a number or beyond ``greatest``."""
    values = np.asarray(dollars, np.float64)
    return to_ticks(np.where(np.abs(values) <= greatest, values, np.nan), unit)


def _side(column: Column) -> tuple[Integers, Flags]:
    """A side of a quote and whether it can be used: an absent price can, one that is no price cannot."""
    valid = column.validity
    scaled = _scaled(column.values, PREMIUM_UNIT, _GREATEST_PREMIUM)
    return np.where(valid, scaled, ABSENT), ~valid | (scaled >= 0)


def _offer(column: Column) -> tuple[Integers, Flags]:
    """An ask; zero means that nobody offers."""
    ask, good = _side(column)
    return np.where(ask == 0, ABSENT, ask), good


class _Contract(NamedTuple):
    effective_ns: Integers
    event_ns: Integers
    exp_days: Integers
    strike_milli: Integers
    is_put: Integers
    expiry_ns: Integers
    ok: Flags


def _contract(batch: Batch, closes: Closes) -> _Contract:
    exp_days = batch.columns["exp_date"].filled(0, np.int64)
    strike = _scaled(batch["strike"], STRIKE_UNIT, _GREATEST_STRIKE)
    dated = (exp_days >= 0) & (exp_days < _GREATEST_DAYS)
    return _Contract(
        batch.columns["ts_effective_ns"].filled(0, np.int64),
        batch.columns["ts_event_ns"].filled(0, np.int64),
        exp_days,
        strike,
        (batch["right"] == _PUT).astype(np.int64),
        expiry_ns_of(np.where(dated, exp_days, 0), closes),
        dated & (strike > 0),
    )


@kernel
def _number(text: NDArray[np.uint8], start: int, stop: int) -> int:
    """The decimal number in these characters; -1 when one is no digit."""
    value = 0
    for n in range(start, stop):
        if text[n] < ord("0") or text[n] > ord("9"):
            return -1
        value = 10 * value + (int(text[n]) - ord("0"))
    return value


@kernel
def _days_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date of the Gregorian calendar; -1 when there is no such date.

    Years are counted from March, so that the leap day comes last in them (Hinnant, "chrono-compatible low-level date
    algorithms").
    """
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    length = 31
    if month in (4, 6, 9, 11):
        length = 30
    elif month == 2:
        length = 29 if leap else 28
    if month < 1 or month > 12 or day < 1 or day > length:
        return -1
    if month <= 2:
        year -= 1
    months = (month + 9) % 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * months + 2) // 5 + day - 1 - 719_468


_SYMBOL_TAIL = 15


@kernel
def _ends_as_occ(text: NDArray[np.uint8], start: int) -> bool:
    """Whether the characters from ``start`` on are YYMMDD, C or P, and eight digits."""
    right = text[start + 6]
    dated = _number(text, start, start + 6) >= 0
    return dated and (right == ord("C") or right == ord("P")) and _number(text, start + 7, start + _SYMBOL_TAIL) >= 0


@kernel
def _find_root(text: NDArray[np.uint8], offsets: Integers, root: NDArray[np.uint8], found: Flags) -> None:
    for n in range(len(found)):
        start = offsets[n]
        stop = offsets[n + 1] - _SYMBOL_TAIL
        found[n] = True
        if stop < start or not _ends_as_occ(text, stop):
            continue
        if stop - start >= 2 and text[start] == ord("O") and text[start + 1] == ord(":"):
            start += 2
        while stop > start and text[stop - 1] == ord(" "):
            stop -= 1
        found[n] = stop - start == len(root)
        for k in range(len(root)):
            if found[n] and text[start + k] != root[k]:
                found[n] = False


def of_root(symbols: Column, root: str) -> Flags:
    """Which options have this root: SPY's are not SPY1's (adjusted), nor those of an index with the same strikes.

    A symbol that is not OCC's (with or without ``O:``, padded with spaces or not) names no root, and passes.
    """
    if symbols.offsets is None:
        raise InvariantError("option_symbol is not a string column")
    found = np.zeros(len(symbols), np.bool_)
    text = np.ascontiguousarray(symbols.values).view(np.uint8)
    _find_root(text, np.ascontiguousarray(symbols.offsets), np.frombuffer(root.encode(), np.uint8).copy(), found)
    return found


@kernel
def _read_symbols(
    text: NDArray[np.uint8],
    offsets: Integers,
    exp_days: Integers,
    strike_milli: Integers,
    is_put: Integers,
) -> None:
    """Expiration, strike and right of OCC symbols, which end in YYMMDD, C or P, and the strike in 0.001 USD with eight
    digits; an expiration of -1 where a symbol does not.
    """
    for n in range(len(exp_days)):
        exp_days[n] = -1
        end = offsets[n + 1]
        start = end - _SYMBOL_TAIL
        if start < offsets[n]:
            continue
        if not _ends_as_occ(text, start):
            continue
        date = _number(text, start, start + 6)
        exp_days[n] = _days_of(2000 + date // 10_000, date // 100 % 100, date % 100)
        strike_milli[n] = _number(text, start + 7, end)
        is_put[n] = 1 if text[start + 6] == ord("P") else 0


def _named_contract(batch: Batch, closes: Closes) -> _Contract:
    """Contracts by their symbol alone, as option quotes have them."""
    column = batch.columns["option_symbol"]
    exp_days, strike, is_put = (np.zeros(batch.length, np.int64) for _ in range(3))
    if column.offsets is not None:
        text = np.ascontiguousarray(column.values, np.uint8)
        _read_symbols(text, np.ascontiguousarray(column.offsets), exp_days, strike, is_put)
    return _Contract(
        batch.columns["ts_effective_ns"].filled(0, np.int64),
        batch.columns["ts_event_ns"].filled(0, np.int64),
        exp_days,
        strike,
        is_put,
        expiry_ns_of(exp_days, closes),
        (exp_days >= 0) & (strike > 0),
    )


def option_quotes(batch: Batch, closes: Closes) -> OptionQuotes:
    """Records of ``options.quotes.v1`` for the kernels; the contract is read from its symbol."""
    contract = _named_contract(batch, closes)
    bid, bid_good = _side(batch.columns["bid_px"])
    ask, ask_good = _offer(batch.columns["ask_px"])
    return OptionQuotes(*contract._replace(ok=contract.ok & bid_good & ask_good), bid, ask)


def option_trades(batch: Batch, closes: Closes, multi_leg_conditions: Sequence[int]) -> OptionTrades:
    """Records of ``options.trades.v1`` for the kernels.

    A quote in the record that is no price is only left out: the trade itself is still good.
    """
    contract = _contract(batch, closes)
    price = _scaled(batch["price"], PREMIUM_UNIT, _GREATEST_PREMIUM)
    size = batch.columns["size"].filled(0, np.int64)
    bid, bid_good = _side(batch.columns["opt_bid"])
    ask, ask_good = _offer(batch.columns["opt_ask"])
    aggressor = batch["aggressor"]
    good = (price > 0) & (size > 0) & (size <= _GREATEST_SIZE)
    return OptionTrades(
        *contract._replace(ok=contract.ok & good),
        np.where(price > 0, price, 0),
        size,
        np.where(bid_good, bid, ABSENT),
        np.where(ask_good, ask, ABSENT),
        (aggressor == _BUY).astype(np.int64) - (aggressor == _SELL).astype(np.int64),
        _any_of(batch.columns["conditions"], multi_leg_conditions),
    )


def _any_of(conditions: Column, wanted: Sequence[int]) -> Flags:
    """Records that have one of the ``wanted`` conditions."""
    if conditions.offsets is None:
        return np.zeros(len(conditions), np.bool_)
    hits = np.zeros(len(conditions.values) + 1, np.int64)
    np.cumsum(np.isin(conditions.values, np.array(wanted, np.int64)), out=hits[1:])
    return hits[conditions.offsets[1:]] > hits[conditions.offsets[:-1]]


def greeks(batch: Batch, closes: Closes) -> Greeks:
    """Records of ``options.greeks_snapshots.v1`` for the kernels. An impossible value counts as null."""
    contract = _contract(batch, closes)
    iv, gamma, interest = (batch.columns[name] for name in ("implied_volatility", "gamma", "open_interest"))
    sigma = np.asarray(iv.values, np.float64)
    given = np.asarray(gamma.values, np.float64)
    contracts = np.ascontiguousarray(interest.values, np.int64)
    return Greeks(
        *contract,
        np.where(iv.validity & (sigma >= LEAST_SIGMA) & (sigma <= GREATEST_SIGMA), sigma, np.nan),
        np.where(gamma.validity & (given >= 0.0) & (given < np.inf), given, np.nan),
        np.where(interest.validity & (contracts >= 0), contracts, -1),
    )


_NONE = np.zeros(0, np.int64)
_NO_FLAGS = np.zeros(0, np.bool_)
_NO_FLOATS = np.zeros(0, np.float64)
_NO_CONTRACT = _Contract(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NO_FLAGS)
NO_OPTION_QUOTES = OptionQuotes(*_NO_CONTRACT, _NONE, _NONE)
NO_OPTION_TRADES = OptionTrades(*_NO_CONTRACT, _NONE, _NONE, _NONE, _NONE, _NONE, _NO_FLAGS)
NO_GREEKS = Greeks(*_NO_CONTRACT, _NO_FLOATS, _NO_FLOATS, _NONE)
