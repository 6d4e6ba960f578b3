"""The option contracts the engine has met: one table, found by hash, listed in the order of strikes.

Slots are numbered in the order of appearance; nothing that leaves the engine depends on them. A full table is doubled
outside of kernels (:func:`grown`), before the record that needs the room is applied, so that the state does not depend
on batches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.config import EngineConfig
from common.jit import kernel
from common.prices import ABSENT
from processors.engine import window
from processors.engine.elementary import log
from processors.engine.window import WindowedSums

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Parameters = Any

VOLUME, PREMIUM, GAMMA, DELTA, SIGNED = 0, 1, 2, 3, 4
"""Components of the flow per contract over W_g: contracts, 0.0001 USD, 1e-9 shares per USD, 1e-6 shares, contracts."""

_CONTRACTS = 512
_LOG = 1024

_SPREAD_STRIKE = 0x1E3779B97F4A7C15
_SPREAD_DATE = 0x42B2AE3D27D4EB4F

CONTRACT = np.dtype(
    [
        ("exp_days", np.int64),
        ("strike_milli", np.int64),
        ("is_put", np.int64),
        ("expiry_ns", np.int64),
        ("log_strike", np.float64),
        ("bid_e4", np.int64),  # newest quote; ABSENT for a missing side
        ("ask_e4", np.int64),
        ("quote_ts_ns", np.int64),  # event time; 0 before the first
        ("trade_e4", np.int64),  # newest single-leg trade of the session; 0 before the first
        ("tick_sign", np.int64),  # its sign by the tick rule
        ("iv", np.float64),  # newest snapshot with an implied volatility
        ("iv_ts_ns", np.int64),
        ("iv_before", np.float64),  # the one before it, for a trade that came late
        ("iv_before_ts_ns", np.int64),
        ("sigma", np.float64),  # newest volatility known, by snapshot or implied by a quote; NaN before the first
        ("sigma_ts_ns", np.int64),
        ("snapshot_ts_ns", np.int64),  # newest snapshot; 0 before the first
        ("gamma", np.float64),  # its gamma; NaN when null
        ("open_interest", np.int64),  # newest that was not null; -1 before the first
        ("position", np.int64),  # contracts the dealers took on in the session, signed
        ("volume", np.int64),  # contracts traded in the session
        ("active", np.int64),  # 1 when listed in OptionArrays.active
        ("shown", np.int64),  # 1 when the last flow row written was not all zeros
    ],
    align=True,
)

SCALARS = np.dtype(
    [
        ("contract_count", np.int64),
        ("active_count", np.int64),
        ("strike_count", np.int64),
        ("below", np.int64),  # strikes below spot, and up to it, when the walls were found
        ("upto", np.int64),
        ("dirty", np.int64),  # 1 when a window changed since the sums per strike were made
        ("flow_dirty", np.int64),  # 1 when the flow's window changed since flow rows were last written
        ("call_wall_milli", np.int64),  # 0 when there is none, in all four walls
        ("put_wall_milli", np.int64),
        ("oi_call_wall_milli", np.int64),
        ("oi_put_wall_milli", np.int64),
        ("call_wall_strength", np.float64),  # dealers' gamma lost, shares per USD
        ("put_wall_strength", np.float64),
        ("oi_call_wall_strength", np.float64),  # USD per 1 %
        ("oi_put_wall_strength", np.float64),
        ("hvl", np.float64),  # USD; NaN when unknown
        ("gex", np.float64),  # USD per 1 %; NaN when unknown
        ("snapshot_ts_ns", np.int64),  # event time of the newest snapshot; 0 before the first
        ("last_event_ns", np.int64),  # effective time of the newest option record; 0 before the first
        ("priced_ts_ns", np.int64),  # effective time of the newest trade that moved dealers' gamma; 0 before the first
        ("implied_ts_ns", np.int64),  # the same, of one whose volatility was implied by a quote
        ("unpriced", np.int64),  # signed trades of the session without a volatility
        ("unsigned", np.int64),  # trades of the session without a sign
    ],
    align=True,
)


class OptionArrays(NamedTuple):
    """The option side's state. Contract arrays grow together by doubling, each log for itself."""

    scalars: NDArray[np.void]  # SCALARS[1]
    contract: NDArray[np.void]  # CONTRACT[capacity]
    table: NDArray[np.int64]  # [2 * capacity] slots by hash, -1 empty
    order: NDArray[np.int64]  # [capacity] slots by strike, expiration, right
    active: NDArray[np.int64]  # [capacity] those that traded in the session or have a flow row to take back
    moved: NDArray[np.int64]  # [capacity] scratch: a slot's new number, -1 forgotten
    strike_milli: NDArray[np.int64]  # [capacity] strikes that traded in the session, ascending
    strike_volume: NDArray[np.int64]  # [capacity] contracts traded there in the session
    strike_sum: NDArray[np.int64]  # [capacity + 1, 2] sums before a strike: dealers' gamma in 1e-9, signed contracts
    strike_wall: NDArray[np.int64]  # [capacity, 2] dealers' gamma of calls and of puts within W_wall, 1e-9
    pricing: NDArray[np.float64]  # [capacity, 3] scratch: contracts repriced for the gamma flip
    flow: WindowedSums  # [capacity, 5] over W_g: VOLUME to SIGNED per contract
    wall: WindowedSums  # [capacity, 1] over W_wall: dealers' gamma per contract, 1e-9


def empty(config: EngineConfig) -> OptionArrays:
    """The state before the first option record."""
    scalars = np.zeros(1, SCALARS)
    for name in ("hvl", "gex"):
        scalars[name] = np.nan
    return _sized(scalars, _CONTRACTS, window.empty(_CONTRACTS, 5, _LOG), window.empty(_CONTRACTS, 1, _LOG))


def _sized(scalars: NDArray[np.void], capacity: int, flow: WindowedSums, wall: WindowedSums) -> OptionArrays:
    return OptionArrays(
        scalars=scalars,
        contract=np.zeros(capacity, CONTRACT),
        table=np.full(2 * capacity, -1, np.int64),
        order=np.zeros(capacity, np.int64),
        active=np.zeros(capacity, np.int64),
        moved=np.zeros(capacity, np.int64),
        strike_milli=np.zeros(capacity, np.int64),
        strike_volume=np.zeros(capacity, np.int64),
        strike_sum=np.zeros((capacity + 1, 2), np.int64),
        strike_wall=np.zeros((capacity, 2), np.int64),
        pricing=np.zeros((capacity, 3), np.float64),
        flow=flow,
        wall=wall,
    )


def _wider(sums: WindowedSums, keys: int) -> WindowedSums:
    before = len(sums.last)
    total = np.zeros((keys, sums.total.shape[1]), np.int64)
    total[:before] = sums.total
    last = np.full(keys, -1, np.int64)
    last[:before] = sums.last
    return sums._replace(total=total, last=last)


def grown(op: OptionArrays) -> OptionArrays:
    """The same contracts with room for twice as many."""
    before = len(op.contract)
    larger = _sized(op.scalars, 2 * before, _wider(op.flow, 2 * before), _wider(op.wall, 2 * before))
    for name in ("contract", "order", "active", "strike_milli", "strike_volume", "strike_sum", "strike_wall"):
        old = getattr(op, name)
        getattr(larger, name)[: len(old)] = old
    rebuild_table(larger)
    return larger


@kernel
def has_contract_room(op: OptionArrays) -> bool:
    """True when another contract fits."""
    return bool(op.scalars[0].contract_count < len(op.contract))


@kernel
def _place(op: OptionArrays, exp_days: int, strike_milli: int, is_put: int) -> int:
    """Where in the hash table the contract is, or the empty place where it belongs."""
    mask = len(op.table) - 1
    # products of 64 bits wrap; the bits taken here are those of the exact product, too
    spread = (2 * strike_milli + is_put) * _SPREAD_STRIKE + exp_days * _SPREAD_DATE
    at = (spread >> 32) & mask
    while True:
        slot = op.table[at]
        if slot < 0:
            return at
        c = op.contract[slot]
        if c.strike_milli == strike_milli and c.exp_days == exp_days and c.is_put == is_put:
            return at
        at = (at + 1) & mask


@kernel
def rebuild_table(op: OptionArrays) -> None:
    """Fill the hash table from the contracts."""
    op.table[:] = -1
    for slot in range(op.scalars[0].contract_count):
        c = op.contract[slot]
        op.table[_place(op, c.exp_days, c.strike_milli, c.is_put)] = slot


@kernel
def _before(op: OptionArrays, a: int, b: int) -> bool:
    """Contract in slot ``a`` comes before the one in ``b``: by strike, expiration, right."""
    one = op.contract[a]
    other = op.contract[b]
    if one.strike_milli != other.strike_milli:
        return bool(one.strike_milli < other.strike_milli)
    if one.exp_days != other.exp_days:
        return bool(one.exp_days < other.exp_days)
    return bool(one.is_put < other.is_put)


@kernel
def insert_sorted(op: OptionArrays, listed: Integers, count: int, slot: int) -> None:
    """Put ``slot`` in its place among the first ``count`` of a sorted list that has room."""
    n = count
    while n > 0 and _before(op, slot, listed[n - 1]):
        listed[n] = listed[n - 1]
        n -= 1
    listed[n] = slot


@kernel
def slot_of(op: OptionArrays, exp_days: int, strike_milli: int, is_put: int, expiry_ns: int) -> int:
    """The contract's slot; made when it is new. The caller keeps room."""
    s = op.scalars[0]
    at = _place(op, exp_days, strike_milli, is_put)
    slot = op.table[at]
    if slot >= 0:
        return int(slot)
    slot = s.contract_count
    op.table[at] = slot
    c = op.contract[slot]
    c.exp_days = exp_days
    c.strike_milli = strike_milli
    c.is_put = is_put
    c.expiry_ns = expiry_ns
    c.log_strike = log(strike_milli / 1000.0)
    c.bid_e4 = ABSENT
    c.ask_e4 = ABSENT
    c.quote_ts_ns = 0
    c.iv = np.nan
    c.iv_ts_ns = 0
    c.iv_before = np.nan
    c.iv_before_ts_ns = 0
    c.sigma = np.nan
    c.sigma_ts_ns = 0
    c.snapshot_ts_ns = 0
    c.gamma = np.nan
    c.open_interest = -1
    c.active = 0
    c.shown = 0
    start_contract(op, slot)
    insert_sorted(op, op.order, s.contract_count, slot)
    s.contract_count += 1
    return int(slot)


@kernel
def start_contract(op: OptionArrays, slot: int) -> None:
    """Forget what the contract did in the last session."""
    c = op.contract[slot]
    c.trade_e4 = 0
    c.tick_sign = 0
    c.position = 0
    c.volume = 0


@kernel
def forget_expired(op: OptionArrays, now_ns: int) -> None:
    """Drop the contracts that expired before ``now_ns``, but for those with a flow row to take back; the windows must
    be empty.
    """
    s = op.scalars[0]
    kept = 0
    for slot in range(s.contract_count):
        c = op.contract[slot]
        op.moved[slot] = -1
        if c.expiry_ns < now_ns and c.shown == 0:
            continue
        op.moved[slot] = kept
        if kept != slot:
            op.contract[kept] = op.contract[slot]
        kept += 1
    listed = 0
    for n in range(s.contract_count):
        slot = op.moved[op.order[n]]
        if slot >= 0:
            op.order[listed] = slot
            listed += 1
    s.contract_count = kept
    s.active_count = 0
    for n in range(kept):
        slot = op.order[n]
        c = op.contract[slot]
        c.active = c.shown
        if c.shown == 1:
            op.active[s.active_count] = slot
            s.active_count += 1
    rebuild_table(op)
