"""What order flow imbalance explains: R squared of the mid's change on OFI (Cont, Kukanov and Stoikov 2014).

OFI within (t - W_b, t] against three changes of the ES mid: over the same interval, over the next one, and over the
next snap. The first is contemporaneous: both happen together, so a high value describes how prices form and predicts
nothing. Intervals follow each other on the grid of W_b and do not overlap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.study.episodes import Path
from processors.study.statistics import (
    Estimate,
    Floats,
    Integers,
    Line,
    day_bootstrap,
    fit_line,
    mean,
    r_squared,
    squares,
)

TARGETS = ("same interval (contemporaneous)", "next interval", "next snap")

SAMPLE = np.dtype(
    [
        ("session_date", np.int64),
        ("ofi", np.float64),  # contracts
        ("change", np.float64, (len(TARGETS),)),  # ES points; NaN where the snap at either end is missing
    ]
)


class Explained(NamedTuple):
    """R squared for one of TARGETS: on the days the line was fitted on, and on the others.

    ``slope`` is in ES points per contract; ``n_in`` and ``n_out`` count intervals.
    """

    target: str
    slope: float
    in_sample: Estimate
    out_of_sample: Estimate
    n_in: int
    n_out: int


def samples(session_date: int, path: Path, window_ns: int, snap_ns: int) -> NDArray[np.void]:
    """OFI and mid changes at every multiple of the window: SAMPLE[n]."""
    here = np.flatnonzero(path.ts_ns % window_ns == 0)
    mid = path.mid * path.ratio
    out = np.zeros(len(here), SAMPLE)
    out["session_date"] = session_date
    out["ofi"] = path.ofi[here]
    now_ns = path.ts_ns[here]
    out["change"][:, 0] = mid[here] - _at(path.ts_ns, mid, now_ns - window_ns)
    out["change"][:, 1] = _at(path.ts_ns, mid, now_ns + window_ns) - mid[here]
    out["change"][:, 2] = _at(path.ts_ns, mid, now_ns + snap_ns) - mid[here]
    return out


def _at(ts_ns: Integers, values: Floats, wanted_ns: Integers) -> Floats:
    """Values at exactly these times, NaN where there is none."""
    if not len(ts_ns):
        return np.full(len(wanted_ns), np.nan)
    place = np.minimum(np.searchsorted(ts_ns, wanted_ns), len(ts_ns) - 1)
    return np.where(ts_ns[place] == wanted_ns, values[place], np.nan)


def explained(training: NDArray[np.void], test: NDArray[np.void]) -> list[Explained]:
    """One line per target, fitted on the training days, with its R squared there and on the test days."""
    out = []
    for n, target in enumerate(TARGETS):
        fitted, held = (part[np.isfinite(part["change"][:, n])] for part in (training, test))
        line = fit_line(fitted["ofi"], fitted["change"][:, n])
        nothing = Estimate(np.nan, np.nan, np.nan)
        if line is None:
            out.append(Explained(target, np.nan, nothing, nothing, len(fitted), len(held)))
            continue
        reference = mean(fitted["change"][:, n])
        inside, outside = (_r_squared(line, part, n, reference) for part in (fitted, held))
        out.append(Explained(target, line.slope, inside, outside, len(fitted), len(held)))
    return out


def _r_squared(line: Line, part: NDArray[np.void], target: int, reference: float) -> Estimate:
    """Each day adds its two sums of squares, so a draw costs as much as there are days."""
    days, place = np.unique(part["session_date"], return_inverse=True)
    misses, spread = squares(line, part["ofi"], part["change"][:, target], reference)
    left, all_of_it = (np.bincount(place, sums, len(days)).astype(np.float64) for sums in (misses, spread))
    return day_bootstrap(days, lambda weight: r_squared(left, all_of_it, weight))
