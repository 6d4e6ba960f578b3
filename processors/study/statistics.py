"""The study's statistics: small, vectorised, each with its formula and source.

Observations are arrays of one length n. ``event`` is bool[n]: the price broke the level. ``weight`` is one
non-negative number per observation (all 1 when None); the bootstrap resamples whole days by giving each observation
the number of times its day was drawn. NaN stands for what cannot be computed, never for zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

RESAMPLES = 1000
"""Draws of a bootstrap: the ends of a 95 % interval then rest on 25 draws each."""
LEVEL = 0.95
SEED = 20_240_229
"""Of every bootstrap: the same data give the same intervals."""
BINS = 10
_NEWTON_STEPS = 100
_Z_95 = 1.959963984540054
_FLATTEST = 1e-12


class Estimate(NamedTuple):
    """A value and the ends of its 95 % interval; the ends are NaN when there are fewer than two days."""

    value: float
    low: float
    high: float


class Curve(NamedTuple):
    """A reliability curve, one entry per bin that holds something.

    ``predicted``: mean probability in the bin. ``observed``: share that broke. ``low``, ``high``: Wilson's interval of
    the share. ``size``: observations.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    size: Integers


class Line(NamedTuple):
    """``intercept + slope * x``; for :func:`fit_platt` on the scale of log odds."""

    intercept: float
    slope: float


def mean(values: Floats, weight: Floats | None = None) -> float:
    """Weighted mean: sum(w x) / sum(w)."""
    w = np.ones(len(values)) if weight is None else weight
    total = float(w.sum())
    return float(w @ values) / total if total > 0 else np.nan


def brier(probability: Floats, event: Flags, weight: Floats | None = None) -> float:
    """Mean squared error of a probability: mean((p - y)^2), y 1 or 0 (Brier 1950). 0 is perfect."""
    return mean((probability - event) ** 2, weight)


def ranks(score: Floats) -> Integers:
    """The place of each score among the distinct ones, from 0: all that an AUC needs to know of it."""
    return np.unique(score, return_inverse=True)[1].astype(np.int64)


def auc(rank: Integers, event: Flags, weight: Floats | None = None) -> float:
    """Chance that an event scores above a non-event, ties counting half (Hanley and McNeil 1982); takes :func:`ranks`.

    Sum over events i and others j of w_i w_j ([s_i > s_j] + [s_i = s_j] / 2), over the sum of w_i w_j (the statistic
    of Mann and Whitney), counted rank by rank instead of pair by pair. NaN when either class is absent.
    """
    w = np.ones(len(rank)) if weight is None else weight
    bins = int(rank.max()) + 1 if len(rank) else 0
    events = np.bincount(rank, w * event, bins)
    others = np.bincount(rank, w * ~event, bins)
    pairs = float(events.sum() * others.sum())
    below = np.cumsum(others) - others
    return float(events @ (below + 0.5 * others)) / pairs if pairs > 0 else np.nan


def wilson(successes: Floats, count: Floats) -> tuple[Floats, Floats]:
    """95 % interval of a share (Wilson 1927): (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    It takes the observations for independent, which those of one day are not: read it as a lower bound of the doubt.
    """
    p = successes / count
    centre = p + _Z_95**2 / (2 * count)
    half = _Z_95 * np.sqrt(p * (1 - p) / count + _Z_95**2 / (4 * count**2))
    scale = 1 + _Z_95**2 / count
    return (centre - half) / scale, (centre + half) / scale


def reliability(probability: Floats, event: Flags, bins: int = BINS) -> Curve:
    """Predicted against observed in ``bins`` bins of equal width over 0..1 (Murphy and Winkler 1977)."""
    place = np.clip((probability * bins).astype(np.int64), 0, bins - 1)
    size = np.bincount(place, minlength=bins).astype(np.int64)
    held = np.flatnonzero(size)
    n = size[held].astype(np.float64)
    broke: Floats = np.bincount(place, event, bins)[held].astype(np.float64)
    low, high = wilson(broke, n)
    return Curve(np.bincount(place, probability, bins)[held] / n, broke / n, low, high, size[held])


def fit_platt(score: Floats, event: Flags) -> Line | None:
    """Logistic curve through a score, p = 1 / (1 + exp(-(a + b s))), by maximum likelihood (Platt 1999).

    The targets are Platt's, (N+ + 1)/(N+ + 2) and 1/(N- + 2), which keep the fit finite when the classes separate.
    Newton's method on the standardised score, halving a step that makes the loss worse. None when a class is absent or
    the score is constant.
    """
    positive = int(event.sum())
    negative = len(event) - positive
    spread = float(np.std(score)) if len(score) else 0.0
    if not positive or not negative or spread < _FLATTEST:
        return None
    centre = float(np.mean(score))
    x = np.stack([np.ones(len(score)), (score - centre) / spread], axis=1)
    target = np.where(event, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(theta: Floats) -> float:
        z = x @ theta
        return float(np.sum(np.logaddexp(0.0, z) - target * z))

    theta = np.array([np.log((positive + 1) / (negative + 1)), 0.0])
    for _ in range(_NEWTON_STEPS):
        p = _logistic(x @ theta)
        gradient = x.T @ (p - target)
        step = np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]), gradient)
        while loss(theta - step) > loss(theta) and np.abs(step).max() > _FLATTEST:
            step = step / 2
        theta = theta - step
        if np.abs(step).max() < _FLATTEST:
            break
    slope = float(theta[1]) / spread
    return Line(float(theta[0]) - slope * centre, slope)


def _logistic(z: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -z))


def platt(line: Line, score: Floats) -> Floats:
    """The probabilities that the fitted curve gives to scores."""
    return _logistic(line.intercept + line.slope * score)


def fit_line(x: Floats, y: Floats) -> Line | None:
    """Least squares: slope = cov(x, y) / var(x). None with fewer than two points or a constant x."""
    if len(x) < 2:
        return None
    dx = x - x.mean()
    spread = float(dx @ dx)
    if spread < _FLATTEST:
        return None
    slope = float(dx @ (y - y.mean())) / spread
    return Line(float(y.mean()) - slope * float(x.mean()), slope)


def squares(line: Line, x: Floats, y: Floats, reference: float) -> tuple[Floats, Floats]:
    """(y - a - b x)^2 and (y - reference)^2 of each observation: what :func:`r_squared` sums."""
    return (y - line.intercept - line.slope * x) ** 2, (y - reference) ** 2


def r_squared(misses: Floats, spread: Floats, weight: Floats | None = None) -> float:
    """1 - sum((y - a - b x)^2) / sum((y - reference)^2), from the :func:`squares` (or sums of them, by day).

    In sample ``reference`` is the mean of y. Out of sample it is the mean of the training days' y, so that the value is
    what the line gains over the best constant known beforehand, and may be negative (Campbell and Thompson 2008).
    """
    w = np.ones(len(misses)) if weight is None else weight
    total = float(w @ spread)
    return 1 - float(w @ misses) / total if total > 0 else np.nan


def day_bootstrap(
    days: Integers, statistic: Callable[[Floats], float], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Estimate:
    """``statistic`` of all observations, with the 95 % interval of its distribution over resampled days.

    Percentile bootstrap of whole days (Efron and Tibshirani 1993, chapters 8 and 13): what happens within a day depends
    on itself, so days are drawn, not episodes. ``days``: int64[n], the day of each observation. ``statistic`` takes the
    weights. Draws in which it is not defined are left out.
    """
    if not len(days):
        return Estimate(np.nan, np.nan, np.nan)
    distinct, place = np.unique(days, return_inverse=True)
    value = statistic(np.ones(len(days)))
    if len(distinct) < 2:
        return Estimate(value, np.nan, np.nan)
    equal = np.full(len(distinct), 1 / len(distinct))
    draws = np.random.default_rng(seed).multinomial(len(distinct), equal, size=resamples).astype(np.float64)
    found = np.array([statistic(draw[place]) for draw in draws])
    found = found[np.isfinite(found)]
    if not len(found):
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
