"""Runs of same-side prints that follow each other quickly, and the largest of them in the window (DESIGN 4.6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.jit import inlined, kernel
from processors.engine.shapes import SWEEPS

ES, UNDERLYING = 0, 1
"""Whose sweeps: places in the state's array."""

HEAD, TAIL = 0, 1
SIDE, TS_NS, AMOUNT, VENUES = 0, 1, 2, 3


SWEEPS_OF = np.dtype(
    [
        ("run", np.int64, (4,)),  # SIDE (1 bought, -1 sold, 0 none), TS_NS of its last print, AMOUNT, VENUES as bits
        ("ends", np.int64, (2,)),  # numbers of the next sweep and of the oldest one kept
        ("ts_ns", np.int64, (SWEEPS,)),
        ("side", np.int64, (SWEEPS,)),
        ("amount", np.int64, (SWEEPS,)),
    ],
    align=True,
)
"""One market's running run, and its finished sweeps of falling size, oldest first. Amounts are price units times
size.
"""

Sweeps = Any
"""One record of SWEEPS_OF."""


@kernel
def clear_sweeps(sweeps: Sweeps) -> None:
    """Forget the run and every sweep."""
    sweeps.run[:] = 0
    sweeps.ends[TAIL] = sweeps.ends[HEAD]


@kernel
def _venue_count(bits: int) -> int:
    count = 0
    while bits != 0:
        bits &= bits - 1
        count += 1
    return count


@kernel
def _is_sweep(sweeps: Sweeps, min_amount: float, min_venues: int) -> bool:
    run = sweeps.run
    if run[SIDE] == 0 or run[AMOUNT] < min_amount:
        return False
    # a market of one venue names none
    return run[VENUES] == 0 or _venue_count(run[VENUES]) >= min_venues


@inlined
def extend_run(
    sweeps: Sweeps, ts_ns: int, amount: int, sign: int, venue: int, gap_ns: int, min_amount: float, min_venues: int
) -> None:
    """Add a signed print to the run of same-side prints, or end that run and begin another.

    ``venue`` 0..62, or -1 where venues are not told apart.
    """
    run = sweeps.run
    if sign != run[SIDE] or ts_ns - run[TS_NS] > gap_ns:
        _finish_run(sweeps, min_amount, min_venues)
        run[SIDE] = sign
        run[AMOUNT] = 0
        run[VENUES] = 0
    run[TS_NS] = ts_ns
    run[AMOUNT] += amount
    if venue >= 0:
        run[VENUES] |= np.int64(1) << (venue % 63)


@kernel
def _finish_run(sweeps: Sweeps, min_amount: float, min_venues: int) -> None:
    if not _is_sweep(sweeps, min_amount, min_venues):
        return
    run = sweeps.run
    ends = sweeps.ends
    # Only sweeps larger than every later one can ever be the largest of a window, so smaller earlier ones are dropped.
    while ends[HEAD] > ends[TAIL] and sweeps.amount[(ends[HEAD] - 1) % SWEEPS] <= run[AMOUNT]:
        ends[HEAD] -= 1
    if ends[HEAD] - ends[TAIL] == SWEEPS:
        ends[TAIL] += 1
    slot = ends[HEAD] % SWEEPS
    sweeps.ts_ns[slot] = run[TS_NS]
    sweeps.side[slot] = run[SIDE]
    sweeps.amount[slot] = run[AMOUNT]
    ends[HEAD] += 1


@kernel
def largest_sweep(sweeps: Sweeps, after_ns: int, min_amount: float, min_venues: int) -> tuple[int, int]:
    """Side (1, -1, or 0 for none) and amount of the largest sweep whose last print is later than ``after_ns``."""
    ends = sweeps.ends
    while ends[TAIL] < ends[HEAD] and sweeps.ts_ns[ends[TAIL] % SWEEPS] <= after_ns:
        ends[TAIL] += 1
    side = 0
    amount = 0
    if ends[TAIL] < ends[HEAD]:
        side = sweeps.side[ends[TAIL] % SWEEPS]
        amount = sweeps.amount[ends[TAIL] % SWEEPS]
    run = sweeps.run
    if run[TS_NS] > after_ns and run[AMOUNT] > amount and _is_sweep(sweeps, min_amount, min_venues):
        side = run[SIDE]
        amount = run[AMOUNT]
    return side, amount
