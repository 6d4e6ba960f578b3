"""What traded: volume by aggressor near a price, and velocity (DESIGN 4.6, plan §5.2)."""

from __future__ import annotations

from common.jit import inlined, kernel
from processors.engine.shapes import BOUGHT, SOLD, UNSIGNED, Integers, Scalars
from processors.engine.window import WindowedSums, add


@inlined
def add_print(sums: WindowedSums, bucket: int, key: int, size: int, sign: int) -> None:
    """Count a print at its price. ``sign`` 1 bought, -1 sold, 0 unsigned. The caller keeps room in the log."""
    component = UNSIGNED
    if sign > 0:
        component = BOUGHT
    elif sign < 0:
        component = SOLD
    add(sums, bucket, key, component, size)


@kernel
def volume_near(sums: WindowedSums, place: int, band: int, mask: int) -> tuple[int, int, int]:
    """Volume bought, sold and unsigned within ``band`` places of ``place`` in the window."""
    bought = 0
    sold = 0
    unsigned = 0
    for at in range(place - band, place + band + 1):
        key = at & mask
        bought += sums.total[key, BOUGHT]
        sold += sums.total[key, SOLD]
        unsigned += sums.total[key, UNSIGNED]
    return bought, sold, unsigned


@kernel
def push_mid(s: Scalars, ring: Integers) -> None:
    """Remember the mid of this snap for the velocity."""
    ring[s.mid_count % len(ring)] = s.mid2
    s.mid_count += 1


@kernel
def mid_slope(s: Scalars, ring: Integers) -> float:
    """Least-squares slope of the last mids, in half ticks per snap; 0 with fewer than two."""
    size = len(ring)
    n = min(s.mid_count, size)
    if n < 2:
        return 0.0
    first = s.mid_count - n
    sum_x = 0
    sum_y = 0
    sum_xx = 0
    sum_xy = 0
    origin = ring[first % size]
    for x in range(n):
        y = ring[(first + x) % size] - origin
        sum_x += x
        sum_y += y
        sum_xx += x * x
        sum_xy += x * y
    # all sums are integers and exact; one division
    return float(n * sum_xy - sum_x * sum_y) / float(n * sum_xx - sum_x * sum_x)
