"""What the dealers' book says at a snap: gamma near a level, walls, gamma flip (DESIGN 4.7, plan §5.3, core.md
"FuelEngine").

A snap costs a few comparisons unless a window changed, spot crossed a strike, or the slow measures (gamma flip, open
interest) are due.
"""

from __future__ import annotations

import numpy as np

from common import schemas, topics
from common.jit import kernel
from processors.engine.blackscholes import gamma
from processors.engine.contracts import GAMMA, SIGNED, OptionArrays, Parameters
from processors.engine.elementary import log, normal_density
from processors.engine.options import years_left
from processors.engine.window import TAIL, expire

NEUTRAL, AMPLIFY, DAMPEN = (
    schemas.load(topics.FEATURES).field("fuel_effect").symbols.index(name) for name in ("NEUTRAL", "AMPLIFY", "DAMPEN")
)

_NANO = 1e9
_EDGE_MILLI = 1e-6
"""Slack of the strike range, for prices that binary fractions miss."""


@kernel
def expire_windows(op: OptionArrays, p: Parameters, bucket: int) -> None:
    """Take what is older than W_g and W_wall before ``bucket`` out of the sums."""
    s = op.scalars[0]
    tail = op.flow.ends[TAIL]
    expire(op.flow, bucket - p.fuel_snaps + 1)
    if op.flow.ends[TAIL] != tail:
        s.dirty = 1
        s.flow_dirty = 1
    tail = op.wall.ends[TAIL]
    expire(op.wall, bucket - p.wall_snaps + 1)
    if op.wall.ends[TAIL] != tail:
        s.dirty = 1


@kernel
def _sum_strikes(op: OptionArrays) -> None:
    """Make the sums per strike from the windows' totals per contract."""
    s = op.scalars[0]
    count = 0
    for n in range(s.active_count):
        slot = op.active[n]
        c = op.contract[slot]
        if c.volume == 0:
            continue
        if count == 0 or op.strike_milli[count - 1] != c.strike_milli:
            op.strike_milli[count] = c.strike_milli
            op.strike_volume[count] = 0
            op.strike_wall[count, 0] = 0
            op.strike_wall[count, 1] = 0
            op.strike_sum[count + 1, 0] = op.strike_sum[count, 0]
            op.strike_sum[count + 1, 1] = op.strike_sum[count, 1]
            count += 1
        op.strike_volume[count - 1] += c.volume
        op.strike_wall[count - 1, c.is_put] += op.wall.total[slot, 0]
        op.strike_sum[count, 0] += op.flow.total[slot, GAMMA]
        op.strike_sum[count, 1] += op.flow.total[slot, SIGNED]
    s.strike_count = count


@kernel
def _strikes_below(op: OptionArrays, milli: float) -> int:
    """How many strikes that traded lie below ``milli``."""
    low = 0
    high = op.scalars[0].strike_count
    while low < high:
        middle = (low + high) // 2
        if op.strike_milli[middle] < milli:
            low = middle + 1
        else:
            high = middle
    return int(low)


@kernel
def _find_walls(op: OptionArrays, p: Parameters, below: int, upto: int) -> None:
    """Most negative dealers' gamma of calls above spot and of puts below; of equal ones the nearest to spot."""
    s = op.scalars[0]
    s.call_wall_milli = 0
    s.put_wall_milli = 0
    s.call_wall_strength = 0.0
    s.put_wall_strength = 0.0
    best = 0
    for n in range(upto, s.strike_count):
        lost = -op.strike_wall[n, 0]
        if lost > best and lost >= p.wall_threshold * _NANO:
            best = lost
            s.call_wall_milli = op.strike_milli[n]
            s.call_wall_strength = lost / _NANO
    best = 0
    for n in range(below - 1, -1, -1):
        lost = -op.strike_wall[n, 1]
        if lost > best and lost >= p.wall_threshold * _NANO:
            best = lost
            s.put_wall_milli = op.strike_milli[n]
            s.put_wall_strength = lost / _NANO


@kernel
def _find_interest(op: OptionArrays, p: Parameters, snap_ns: int, spot: float) -> None:
    """GEX and walls by open interest, over all contracts with a snapshot that have not expired."""
    s = op.scalars[0]
    s.gex = np.nan
    s.oi_call_wall_milli = 0
    s.oi_put_wall_milli = 0
    s.oi_call_wall_strength = 0.0
    s.oi_put_wall_strength = 0.0
    if not spot > 0.0:
        return
    spot_milli = spot * 1000.0
    per_gamma = p.option_multiplier * spot * spot * 0.01
    total = 0.0
    known = False
    strike_milli = 0
    calls = 0.0
    puts = 0.0
    for n in range(s.contract_count):
        c = op.contract[op.order[n]]
        if c.open_interest <= 0 or c.expiry_ns <= snap_ns:
            continue
        g = c.gamma
        if np.isnan(g):
            g = gamma(spot, c.strike_milli / 1000.0, c.sigma, years_left(p, c.expiry_ns, snap_ns))
            if np.isnan(g):
                continue
        known = True
        exposure = g * c.open_interest * per_gamma
        if c.strike_milli != strike_milli:
            strike_milli = c.strike_milli
            calls = 0.0
            puts = 0.0
        if c.is_put == 0:
            total += exposure
            calls += exposure
            if strike_milli > spot_milli and calls > s.oi_call_wall_strength:
                s.oi_call_wall_milli = strike_milli
                s.oi_call_wall_strength = calls
        else:
            total -= exposure
            puts += exposure
            # of equal ones the nearest to spot, which comes last here
            if strike_milli < spot_milli and puts > 0.0 and puts >= s.oi_put_wall_strength:
                s.oi_put_wall_milli = strike_milli
                s.oi_put_wall_strength = puts
    if known:
        s.gex = total


@kernel
def _list_positions(op: OptionArrays, p: Parameters, snap_ns: int) -> int:
    """Write what repricing needs of every open position into ``op.pricing``: contracts, log strike, standard
    deviation; returns how many there are.
    """
    count = 0
    for n in range(op.scalars[0].active_count):
        c = op.contract[op.active[n]]
        if c.position == 0 or c.expiry_ns <= snap_ns or np.isnan(c.sigma):
            continue
        op.pricing[count, 0] = c.position
        op.pricing[count, 1] = c.log_strike
        op.pricing[count, 2] = c.sigma * np.sqrt(years_left(p, c.expiry_ns, snap_ns))
        count += 1
    return count


@kernel
def _book_gamma(op: OptionArrays, count: int, spot: float) -> float:
    """Gamma of the listed positions at ``spot``, up to a positive factor: it is only asked for its zero."""
    log_spot = log(spot)
    total = 0.0
    for n in range(count):
        deviation = op.pricing[n, 2]
        d1 = (log_spot - op.pricing[n, 1]) / deviation + 0.5 * deviation
        if abs(d1) < 38.0:
            total += op.pricing[n, 0] * normal_density(d1) / deviation
    return float(total / spot)


@kernel
def _crossing(here: float, there: float, at_here: float, at_there: float) -> float:
    """Zero of the line between two spots whose gamma differs in sign; NaN when it does not, or one has none."""
    if 0.0 in (at_here, at_there) or (at_here > 0.0) == (at_there > 0.0):
        return np.nan
    return here + (there - here) * (at_here / (at_here - at_there))


@kernel
def gamma_flip(op: OptionArrays, p: Parameters, snap_ns: int, spot: float) -> float:
    """The spot nearest to now at which the session's dealer gamma changes sign; NaN when it does not.

    Searched outwards on a grid of HVL_STEP within HVL_RANGE, and interpolated. A point where nothing is left of any
    gamma has no sign and is passed over.
    """
    if not spot > 0.0:
        return np.nan
    count = _list_positions(op, p, snap_ns)
    if count == 0:
        return np.nan
    above = _book_gamma(op, count, spot)
    below = above
    above_at = spot
    below_at = spot
    for k in range(1, int(np.floor(p.hvl_range / p.hvl_step + 1e-9)) + 1):
        up = spot + k * p.hvl_step
        down = spot - k * p.hvl_step
        gamma_up = _book_gamma(op, count, up)
        gamma_down = _book_gamma(op, count, down) if down > 0.0 else 0.0
        if above == 0.0 and below == 0.0:  # no sign yet anywhere: the first one found stands for both sides
            if gamma_up != 0.0:
                below, below_at = gamma_up, up
            elif gamma_down != 0.0:
                above, above_at = gamma_down, down
        high = _crossing(above_at, up, above, gamma_up)
        low = _crossing(below_at, down, below, gamma_down)
        if not np.isnan(high) and (np.isnan(low) or abs(high - spot) <= abs(spot - low)):
            return high
        if not np.isnan(low):
            return low
        if gamma_up != 0.0:
            above, above_at = gamma_up, up
        if gamma_down != 0.0:
            below, below_at = gamma_down, down
    return np.nan


@kernel
def refresh(op: OptionArrays, p: Parameters, snap_ns: int, spot: float) -> None:
    """Bring sums, walls, and when they are due gamma flip and open interest, up to the snap. ``spot`` USD, 0.0 when
    unknown.
    """
    s = op.scalars[0]
    bucket = snap_ns // p.snap_ns
    changed = s.dirty == 1
    if changed:
        _sum_strikes(op)
        s.dirty = 0
    below = 0
    upto = s.strike_count
    if spot > 0.0:
        below = _strikes_below(op, spot * 1000.0)
        upto = below
        if below < s.strike_count and op.strike_milli[below] == spot * 1000.0:
            upto = below + 1
    if changed or below != s.below or upto != s.upto:
        s.below = below
        s.upto = upto
        _find_walls(op, p, below, upto)
    if bucket % p.refresh_snaps == 0 and s.contract_count > 0:
        s.hvl = gamma_flip(op, p, snap_ns, spot)
        _find_interest(op, p, snap_ns, spot)


@kernel
def near(op: OptionArrays, p: Parameters, price: float) -> tuple[float, int]:
    """Dealers' gamma gained within W_g in shares per USD, and contracts behind it, at strikes within
    FUEL_STRIKE_RANGE of ``price``.
    """
    first = _strikes_below(op, (price - p.fuel_strike_range) * 1000.0 - _EDGE_MILLI)
    last = _strikes_below(op, (price + p.fuel_strike_range) * 1000.0 + _EDGE_MILLI)
    nano = op.strike_sum[last, 0] - op.strike_sum[first, 0]
    return float(nano / _NANO), int(op.strike_sum[last, 1] - op.strike_sum[first, 1])


@kernel
def effect(p: Parameters, net_dealer_gamma: float) -> int:
    """Dealers short gamma chase the move (AMPLIFY), dealers long gamma fade it (DAMPEN); in between NEUTRAL."""
    if net_dealer_gamma < -p.gamma_threshold:
        return AMPLIFY
    if net_dealer_gamma > p.gamma_threshold:
        return DAMPEN
    return NEUTRAL


@kernel
def confidence(p: Parameters, signed_contracts: int) -> float:
    """0..1: how much signed volume stands behind the gamma near a level."""
    return float(min(1.0, signed_contracts / p.fuel_confidence_contracts))
