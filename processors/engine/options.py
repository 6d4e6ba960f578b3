"""What an option record does to the dealers' book: sign, price, windows (DESIGN 4.7, plan §5.3, core.md "Fuel Engine").

A customer who buys leaves the dealers short: dealer change = -sign x size x gamma x multiplier. It is rounded once per
trade, to 1e-9 shares per USD, so that windowed sums are exact integers. Callers pass only records that are ``ok``,
and keep room: :func:`has_contract_room`, and one entry in ``op.flow`` and ``op.wall``.
"""

from __future__ import annotations

import numpy as np

from common.jit import kernel
from common.prices import ABSENT
from processors.engine.blackscholes import delta, gamma, implied_volatility
from processors.engine.contracts import (
    DELTA,
    GAMMA,
    PREMIUM,
    SIGNED,
    VOLUME,
    OptionArrays,
    Parameters,
    empty,
    forget_expired,
    grown,
    has_contract_room,
    insert_sorted,
    slot_of,
    start_contract,
)
from processors.engine.option_inputs import Greeks, OptionQuotes, OptionTrades
from processors.engine.window import add, clear

__all__ = [
    "OptionArrays",
    "apply_greeks",
    "apply_quote",
    "apply_trade",
    "begin_session",
    "empty",
    "grown",
    "has_contract_room",
]

YEAR_S = 365.0 * 86_400.0
_GREATEST_NANO = 1e16
"""Ten million shares per USD from one trade is no gamma, and windowed sums of less stay within 64 bits."""


@kernel
def begin_session(op: OptionArrays, session_open_ns: int) -> None:
    """Start flows, positions and volumes anew and forget what has expired; quotes and snapshots stay."""
    s = op.scalars[0]
    clear(op.flow)
    clear(op.wall)
    for slot in range(s.contract_count):
        start_contract(op, slot)
    forget_expired(op, session_open_ns)
    s.strike_count = 0
    s.call_wall_milli = 0
    s.put_wall_milli = 0
    s.call_wall_strength = 0.0
    s.put_wall_strength = 0.0
    s.hvl = np.nan
    s.priced_ts_ns = 0
    s.implied_ts_ns = 0
    s.unpriced = 0
    s.unsigned = 0
    s.dirty = 1
    s.flow_dirty = 1


@kernel
def years_left(p: Parameters, expiry_ns: int, now_ns: int) -> float:
    """Time to expiry in years of 365 days, not below EXPIRY_MIN_S."""
    return float(max((expiry_ns - now_ns) / 1e9, p.expiry_min_s) / YEAR_S)


@kernel
def apply_quote(op: OptionArrays, p: Parameters, quotes: OptionQuotes, i: int) -> None:
    """Remember a best bid and offer, unless a later one is known."""
    s = op.scalars[0]
    s.last_event_ns = max(s.last_event_ns, quotes.effective_ns[i])
    c = op.contract[slot_of(op, quotes.exp_days[i], quotes.strike_milli[i], quotes.is_put[i], quotes.expiry_ns[i])]
    if quotes.event_ns[i] < c.quote_ts_ns:
        return
    c.quote_ts_ns = quotes.event_ns[i]
    c.bid_e4 = quotes.bid_e4[i]
    c.ask_e4 = quotes.ask_e4[i]


@kernel
def apply_greeks(op: OptionArrays, p: Parameters, greeks: Greeks, i: int) -> None:
    """Remember a contract's snapshot, unless a later one is known. What is null in it leaves volatility and open
    interest as they were.
    """
    s = op.scalars[0]
    s.last_event_ns = max(s.last_event_ns, greeks.effective_ns[i])
    event_ns = greeks.event_ns[i]
    c = op.contract[slot_of(op, greeks.exp_days[i], greeks.strike_milli[i], greeks.is_put[i], greeks.expiry_ns[i])]
    if event_ns < c.snapshot_ts_ns:
        return
    s.snapshot_ts_ns = max(s.snapshot_ts_ns, event_ns)
    c.snapshot_ts_ns = event_ns
    c.gamma = greeks.gamma[i]
    if greeks.open_interest[i] >= 0:
        c.open_interest = greeks.open_interest[i]
    if not np.isnan(greeks.iv[i]):
        if event_ns > c.iv_ts_ns:
            c.iv_before = c.iv
            c.iv_before_ts_ns = c.iv_ts_ns
        c.iv = greeks.iv[i]
        c.iv_ts_ns = event_ns
        if event_ns >= c.sigma_ts_ns:
            c.sigma = c.iv
            c.sigma_ts_ns = event_ns


@kernel
def sign_by_quote(price_e4: int, bid_e4: int, ask_e4: int) -> int:
    """1 at or above the ask, -1 at or below the bid, 0 in between."""
    if ask_e4 != ABSENT and price_e4 >= ask_e4:
        return 1
    if bid_e4 != ABSENT and price_e4 <= bid_e4:
        return -1
    return 0


@kernel
def signs(bid_e4: int, ask_e4: int) -> bool:
    """True for a quote that can sign a trade: at least one side, not locked, not crossed."""
    if ABSENT in (bid_e4, ask_e4):
        return bool(bid_e4 != ask_e4)
    return bool(bid_e4 < ask_e4)


@kernel
def _tick_rule(op: OptionArrays, slot: int, price_e4: int) -> int:
    """Sign against the contract's last trade; an unchanged price keeps the last sign."""
    c = op.contract[slot]
    sign = c.tick_sign
    if c.trade_e4 not in (0, price_e4):
        sign = 1 if price_e4 > c.trade_e4 else -1
    c.trade_e4 = price_e4
    c.tick_sign = sign
    return int(sign)


@kernel
def _snapshot_volatility(op: OptionArrays, p: Parameters, slot: int, now_ns: int) -> float:
    """Implied volatility of the newest snapshot that is not after ``now_ns`` and not too old; else NaN."""
    c = op.contract[slot]
    iv = c.iv
    ts_ns = c.iv_ts_ns
    if ts_ns > now_ns:
        iv = c.iv_before
        ts_ns = c.iv_before_ts_ns
    if ts_ns > now_ns or now_ns - ts_ns > p.greeks_max_age_ns:
        return np.nan
    return float(iv)


@kernel
def _rounded(x: float) -> int:
    return int(np.floor(min(max(x, -_GREATEST_NANO), _GREATEST_NANO) + 0.5))


@kernel
def _activate(op: OptionArrays, slot: int) -> None:
    s = op.scalars[0]
    c = op.contract[slot]
    if c.active == 0:
        c.active = 1
        insert_sorted(op, op.active, s.active_count, slot)
        s.active_count += 1


@kernel
def apply_trade(
    op: OptionArrays, p: Parameters, trades: OptionTrades, i: int, bucket: int, spot: float, session_days: int
) -> None:
    """Sign and price a trade and add it to the windows of ``bucket``.

    ``spot`` USD, 0.0 when unknown; ``session_days`` the session's date in days since the epoch. A contract of another
    expiration than the fuel's (FUEL_MAX_DTE_DAYS) leaves no trace but its last price.
    """
    s = op.scalars[0]
    s.last_event_ns = max(s.last_event_ns, trades.effective_ns[i])
    slot = slot_of(op, trades.exp_days[i], trades.strike_milli[i], trades.is_put[i], trades.expiry_ns[i])
    c = op.contract[slot]
    now_ns = trades.event_ns[i]
    price_e4 = trades.price_e4[i]
    size = trades.size[i]

    bid_e4 = trades.opt_bid_e4[i]
    ask_e4 = trades.opt_ask_e4[i]
    if 0 <= now_ns - c.quote_ts_ns <= p.option_quote_stale_ns and signs(c.bid_e4, c.ask_e4):
        bid_e4 = c.bid_e4
        ask_e4 = c.ask_e4
    sign = 0
    if not trades.multi_leg[i]:  # the price of a package says nothing about its legs
        tick_sign = _tick_rule(op, slot, price_e4)
        if signs(bid_e4, ask_e4):
            sign = sign_by_quote(price_e4, bid_e4, ask_e4)
        elif trades.sign[i] != 0:
            sign = trades.sign[i]
        else:
            sign = tick_sign

    days_left = c.exp_days - session_days
    if days_left < 0 or days_left > p.fuel_max_dte_days:
        return
    _activate(op, slot)
    c.volume += size
    c.position -= sign * size
    s.dirty = 1
    s.flow_dirty = 1
    add(op.flow, bucket, slot, VOLUME, size)
    add(op.flow, bucket, slot, PREMIUM, price_e4 * size * p.option_multiplier)
    if sign == 0:
        s.unsigned += 1
        return
    add(op.flow, bucket, slot, SIGNED, size)

    strike = c.strike_milli / 1000.0
    years = years_left(p, c.expiry_ns, now_ns)
    sigma = _snapshot_volatility(op, p, slot, now_ns)
    implied = False
    if np.isnan(sigma) and spot > 0.0 and ABSENT not in (bid_e4, ask_e4) and bid_e4 < ask_e4:
        sigma = implied_volatility((bid_e4 + ask_e4) / 20_000.0, spot, strike, years, c.is_put == 0)
        implied = True
    if np.isnan(sigma) or not spot > 0.0:
        s.unpriced += 1
        return
    if implied:
        s.implied_ts_ns = trades.effective_ns[i]
        if now_ns >= c.sigma_ts_ns:
            c.sigma = sigma
            c.sigma_ts_ns = now_ns
    s.priced_ts_ns = trades.effective_ns[i]
    shares = -sign * size * p.option_multiplier
    nano = _rounded(shares * gamma(spot, strike, sigma, years) * 1e9)
    add(op.flow, bucket, slot, GAMMA, nano)
    add(op.flow, bucket, slot, DELTA, _rounded(shares * delta(spot, strike, sigma, years, c.is_put == 0) * 1e6))
    add(op.wall, bucket, slot, 0, nano)
