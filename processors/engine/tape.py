"""What traded: volume by aggressor near a tick, sweeps, velocity (DESIGN 4.6, plan §5.2)."""

from __future__ import annotations

from common.jit import kernel
from processors.engine.state import BOUGHT, SOLD, SWEEPS, TICK_MASK, UNSIGNED, Arrays
from processors.engine.window import add


@kernel
def add_trade(st: Arrays, bucket: int, tick: int, size: int, sign: int) -> None:
    """Count a trade for its tick. ``sign`` 1 bought, -1 sold, 0 unsigned. The caller keeps room in the log."""
    component = UNSIGNED
    if sign > 0:
        component = BOUGHT
    elif sign < 0:
        component = SOLD
    add(st.tape, bucket, tick & TICK_MASK, component, size)


@kernel
def extend_run(st: Arrays, ts_ns: int, tick: int, size: int, sign: int, gap_ns: int, min_amount: float) -> None:
    """Add a signed print to the run of same-side prints, or end that run and begin another."""
    s = st.scalars[0]
    if sign == s.run_side and ts_ns - s.run_ts_ns <= gap_ns:
        s.run_ts_ns = ts_ns
        s.run_amount += tick * size
        return
    _finish_run(st, min_amount)
    s.run_side = sign
    s.run_ts_ns = ts_ns
    s.run_amount = tick * size


@kernel
def _finish_run(st: Arrays, min_amount: float) -> None:
    s = st.scalars[0]
    if s.run_side == 0 or s.run_amount < min_amount:
        return
    # Only sweeps larger than every later one can ever be the largest of a window, so smaller earlier ones are dropped.
    while s.sweep_head > s.sweep_tail and st.sweep_amount[(s.sweep_head - 1) % SWEEPS] <= s.run_amount:
        s.sweep_head -= 1
    if s.sweep_head - s.sweep_tail == SWEEPS:
        s.sweep_tail += 1
    slot = s.sweep_head % SWEEPS
    st.sweep_ts[slot] = s.run_ts_ns
    st.sweep_side[slot] = s.run_side
    st.sweep_amount[slot] = s.run_amount
    s.sweep_head += 1


@kernel
def largest_sweep(st: Arrays, after_ns: int, min_amount: float) -> tuple[int, int]:
    """Side (1, -1, or 0 for none) and amount of the largest sweep whose last print is later than ``after_ns``."""
    s = st.scalars[0]
    while s.sweep_tail < s.sweep_head and st.sweep_ts[s.sweep_tail % SWEEPS] <= after_ns:
        s.sweep_tail += 1
    side = 0
    amount = 0
    if s.sweep_tail < s.sweep_head:
        side = st.sweep_side[s.sweep_tail % SWEEPS]
        amount = st.sweep_amount[s.sweep_tail % SWEEPS]
    if s.run_side != 0 and s.run_ts_ns > after_ns and s.run_amount >= min_amount and s.run_amount > amount:
        side = s.run_side
        amount = s.run_amount
    return side, amount


@kernel
def tape_volume(st: Arrays, tick: int, band_ticks: int) -> tuple[int, int, int]:
    """Contracts bought, sold and unsigned within ``band_ticks`` of ``tick`` in the window."""
    bought = 0
    sold = 0
    unsigned = 0
    for at in range(tick - band_ticks, tick + band_ticks + 1):
        key = at & TICK_MASK
        bought += st.tape.total[key, BOUGHT]
        sold += st.tape.total[key, SOLD]
        unsigned += st.tape.total[key, UNSIGNED]
    return bought, sold, unsigned


@kernel
def push_mid(st: Arrays) -> None:
    """Remember the mid of this snap for the velocity."""
    s = st.scalars[0]
    st.mid_ring[s.mid_count % len(st.mid_ring)] = s.mid2
    s.mid_count += 1


@kernel
def mid_slope(st: Arrays) -> float:
    """Least-squares slope of the last mids, in half ticks per snap; 0 with fewer than two."""
    s = st.scalars[0]
    size = len(st.mid_ring)
    n = min(s.mid_count, size)
    if n < 2:
        return 0.0
    first = s.mid_count - n
    sum_x = 0
    sum_y = 0
    sum_xx = 0
    sum_xy = 0
    origin = st.mid_ring[first % size]
    for x in range(n):
        y = st.mid_ring[(first + x) % size] - origin
        sum_x += x
        sum_y += y
        sum_xx += x * x
        sum_xy += x * y
    # all sums are integers and exact; one division
    return float(n * sum_xy - sum_x * sum_y) / float(n * sum_xx - sum_x * sum_x)
