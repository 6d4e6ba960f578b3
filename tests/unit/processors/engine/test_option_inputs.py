"""Option records for the kernels: integer prices, signs, expiries; bad values are marked (DESIGN §3, §4.7)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from common import topics
from common.columns import Batch, Column
from common.config import make_config
from common.prices import ABSENT
from processors.engine.option_inputs import (
    NO_CLOSES,
    NO_GREEKS,
    NO_OPTION_QUOTES,
    NO_OPTION_TRADES,
    expiry_ns_of,
    greeks,
    of_root,
    option_quotes,
    option_trades,
)
from tests.support.event_batches import filled
from tests.support.option_book import DAY, S, occ_symbol

CONTRACT: dict[str, Any] = {"exp_date": DAY, "strike": 600.5, "right": 1, "ts_effective_ns": 7, "ts_event_ns": 5}


def one(topic: str, **fields: Any) -> Batch:
    return filled(topic, 1, {name: [value] for name, value in {**CONTRACT, **fields}.items()})


def quote(symbol: str | None = None, **fields: Any) -> Batch:
    given = {"ts_effective_ns": 7, "ts_event_ns": 5, "option_symbol": symbol or occ_symbol(DAY, 600.5, 1), **fields}
    return filled(topics.OPTIONS_QUOTES, 1, {name: [value] for name, value in given.items()})


def trade_batch(conditions: list[list[int]]) -> Batch:
    n = len(conditions)
    batch = filled(topics.OPTIONS_TRADES, n, {"strike": [600.0] * n, "price": [1.0] * n, "size": [1] * n})
    offsets = np.cumsum([0, *map(len, conditions)]).astype(np.int64)
    column = Column(np.array([c for row in conditions for c in row], np.int32), None, offsets)
    return Batch(batch.name, n, {**batch.columns, "conditions": column})


def test_a_quote_in_ten_thousandths_of_a_dollar_and_a_missing_side_as_absent() -> None:
    quotes = option_quotes(quote(bid_px=1.23, ask_px=None), NO_CLOSES)
    assert (quotes.bid_e4[0], quotes.ask_e4[0], quotes.ok[0]) == (12_300, ABSENT, True)
    assert (quotes.effective_ns[0], quotes.event_ns[0], quotes.exp_days[0]) == (7, 5, DAY)
    assert (quotes.strike_milli[0], quotes.is_put[0]) == (600_500, 1)


def test_a_bid_of_zero_is_a_bid_and_an_ask_of_zero_is_none() -> None:
    quotes = option_quotes(quote(bid_px=0.0, ask_px=0.0), NO_CLOSES)
    assert (quotes.bid_e4[0], quotes.ask_e4[0], quotes.ok[0]) == (0, ABSENT, True)


@pytest.mark.parametrize(
    "bad",
    [{"bid_px": -0.01}, {"ask_px": math.nan}, {"ask_px": math.inf}, {"bid_px": 0.00001}, {"ask_px": 1e300},
     {"symbol": "O:SPY250603C00000000"}, {"symbol": "O:SPY250603X00600000"}, {"symbol": "O:SPY251303C00600000"},
     {"symbol": "O:SPY250229C00600000"}, {"symbol": "O:SPY25060 C00600000"}, {"symbol": "O:SPY250603C0060000-"},
     {"symbol": "C00600000"}, {"symbol": "SPY"}],
)  # fmt: skip
def test_a_quote_that_is_none_is_not_ok(bad: dict[str, Any]) -> None:
    assert not option_quotes(quote(**bad), NO_CLOSES).ok[0]


@pytest.mark.parametrize(
    "bad", [{"price": 0.0}, {"price": -1.0}, {"price": math.nan}, {"price": 1e300}, {"size": 0}, {"size": -5},
            {"size": 2**31 - 1}, {"strike": 0.0}, {"strike": -600.0}, {"strike": math.nan}, {"strike": 1e300},
            {"strike": 600.0001}, {"exp_date": -1}, {"exp_date": 2**31 - 1}],
)  # fmt: skip
def test_a_trade_that_is_none_is_not_ok(bad: dict[str, float]) -> None:
    good = {"price": 1.5, "size": 3}
    assert option_trades(one(topics.OPTIONS_TRADES, **good), NO_CLOSES, ()).ok[0]
    assert not option_trades(one(topics.OPTIONS_TRADES, **{**good, **bad}), NO_CLOSES, ()).ok[0]


def test_a_trade_keeps_its_own_quote_and_aggressor() -> None:
    fields = {"price": 1.5, "size": 3, "opt_bid": 1.45, "opt_ask": None, "aggressor": 0}
    trades = option_trades(one(topics.OPTIONS_TRADES, **fields), NO_CLOSES, ())
    assert (trades.price_e4[0], trades.size[0], trades.sign[0]) == (15_000, 3, -1)
    assert (trades.opt_bid_e4[0], trades.opt_ask_e4[0]) == (14_500, ABSENT)
    signs = [option_trades(one(topics.OPTIONS_TRADES, aggressor=a), NO_CLOSES, ()).sign[0] for a in (0, 1, 2)]
    assert signs == [-1, 0, 1]


def test_a_quote_in_a_trade_that_is_no_price_leaves_the_trade_good() -> None:
    trades = option_trades(one(topics.OPTIONS_TRADES, price=1.5, size=3, opt_bid=-1.0, opt_ask=1.6), NO_CLOSES, ())
    assert (trades.opt_bid_e4[0], trades.opt_ask_e4[0], trades.ok[0]) == (ABSENT, 16_000, True)


def test_one_multi_leg_condition_among_others_marks_the_trade() -> None:
    wanted = make_config({}).MULTI_LEG_CONDITIONS
    batch = trade_batch([[], [209, 232], [209], [], [247, 1], [248], []])
    assert option_trades(batch, NO_CLOSES, wanted).multi_leg.tolist() == [False, True, False, False, True, False, False]


def test_multi_leg_survives_a_slice_of_the_batch() -> None:
    batch = trade_batch([[232], [1, 2], [233]]).slice(1, 3)
    assert option_trades(batch, NO_CLOSES, (232, 233)).multi_leg.tolist() == [False, True]


def test_a_quotes_contract_is_read_from_its_symbol_for_every_day_of_a_century() -> None:
    days = list(range(10_957, 47_481))  # 2000-01-01 to 2099-12-31
    wanted = [(day, 1000 + 37 * day, day % 2) for day in days]
    symbols = [occ_symbol(day, strike / 1000, right) for day, strike, right in wanted]
    quotes = option_quotes(filled(topics.OPTIONS_QUOTES, len(days), {"option_symbol": symbols}), NO_CLOSES)
    assert list(zip(quotes.exp_days, quotes.strike_milli, quotes.is_put, strict=True)) == wanted
    assert quotes.ok.all()


def test_null_and_impossible_greeks_are_nan_and_minus_one() -> None:
    empty = greeks(one(topics.OPTIONS_GREEKS), NO_CLOSES)
    assert math.isnan(empty.iv[0]) and math.isnan(empty.gamma[0]) and empty.open_interest[0] == -1
    bad = greeks(one(topics.OPTIONS_GREEKS, implied_volatility=-0.2, gamma=-0.01, open_interest=-7), NO_CLOSES)
    assert math.isnan(bad.iv[0]) and math.isnan(bad.gamma[0]) and bad.open_interest[0] == -1 and bad.ok[0]
    good = greeks(one(topics.OPTIONS_GREEKS, implied_volatility=0.2, gamma=0.01, open_interest=7), NO_CLOSES)
    assert (good.iv[0], good.gamma[0], good.open_interest[0]) == (0.2, 0.01, 7)


def test_expiry_is_the_dates_close_and_21_utc_on_an_unknown_date() -> None:
    half_day_ns = (DAY * 86_400 + 17 * 3600) * S
    closes = (np.array([DAY, DAY + 2], np.int64), np.array([half_day_ns, 1], np.int64))
    days = np.array([DAY - 1, DAY, DAY + 1, DAY + 2, DAY + 3], np.int64)
    usual = [(int(day) * 86_400 + 21 * 3600) * S for day in days]
    assert expiry_ns_of(days, closes).tolist() == [usual[0], half_day_ns, usual[2], 1, usual[4]]
    assert expiry_ns_of(days, NO_CLOSES).tolist() == usual


def test_the_empty_inputs_have_the_types_of_full_ones() -> None:
    full = (
        option_quotes(quote(), NO_CLOSES),
        option_trades(one(topics.OPTIONS_TRADES), NO_CLOSES, ()),
        greeks(one(topics.OPTIONS_GREEKS), NO_CLOSES),
    )
    for none, some in zip((NO_OPTION_QUOTES, NO_OPTION_TRADES, NO_GREEKS), full, strict=True):
        assert [(a.dtype, a.ndim, len(a)) for a in none] == [(b.dtype, b.ndim, 0) for b in some]


@pytest.mark.parametrize(
    ("symbol", "ours"),
    [
        ("O:SPY250603C00600000", True),
        ("SPY250603C00600000", True),
        ("SPY   250603C00600000", True),
        ("O:SPY1250603C00600000", False),
        ("O:SPYW250603C00600000", False),
        ("O:SP250603C00600000", False),
        ("O:SPXW250603C00600000", False),
        ("O:250603C00600000", False),
        ("250603C00600000", False),
        ("ESM5 C6000", True),
        ("", True),
    ],
)
def test_a_contract_of_another_root_is_not_one_of_the_underlying_s(symbol: str, ours: bool) -> None:
    """Contracts are known by date, strike and right, so another root's would move SPY's fuel (core FuelEngine)."""
    column = one(topics.OPTIONS_TRADES, option_symbol=symbol).columns["option_symbol"]
    assert of_root(column, "SPY").tolist() == [ours]
