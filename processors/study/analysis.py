"""From sessions to a report: what is fitted on training days, what is measured on test days, and what it may claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError
from processors.study import controls, flow, trading
from processors.study.episodes import CHOP, EPISODE, HORIZONS_S, OUTCOMES, PRIMARY, REJECT, SIGNALS, broke, usable
from processors.study.fills import FillTruth
from processors.study.ledger import Entry, Ledger, frozen_hash
from processors.study.source import SIMULATED, Session, Source
from processors.study.staged import Hits
from processors.study.statistics import (
    Curve,
    Estimate,
    Flags,
    Floats,
    Integers,
    Line,
    auc,
    brier,
    day_bootstrap,
    fit_platt,
    mean,
    platt,
    ranks,
    reliability,
)

MIN_SESSIONS = 20
MIN_EPISODES = 200
"""Below either, the report claims nothing."""

SCORE, VELOCITY, OFI = "break score", "velocity alone", "OFI alone"
BASE_RATE, AS_PUBLISHED = "base rate", "break score / 100, as published"
_COLUMNS = {SCORE: "score", VELOCITY: "velocity", OFI: "ofi"}


@dataclass(frozen=True, slots=True)
class Predictor:
    """How one predictor did; ``skill`` is 1 - Brier / Brier of the base rate (Murphy 1973). NaN where not fitted."""

    name: str
    auc: Estimate
    brier: Estimate
    skill: Estimate


@dataclass(frozen=True, slots=True)
class Prediction:
    """One horizon. Base rates are shares of episodes that broke; ``advantages`` are AUC of SCORE minus the other's."""

    horizon_s: int
    n: int
    counts: dict[str, int]
    base_rate_training: float
    base_rate: float
    predictors: list[Predictor]
    advantages: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Real levels against one kind of control, over matched pairs at the primary horizon."""

    control: str
    pairs: int
    unmatched: int
    balance: dict[str, tuple[float, float]]
    break_share: tuple[float, float]
    reject_share: tuple[float, float]
    break_difference: Estimate
    reject_difference: Estimate
    auc: tuple[Estimate, Estimate]
    auc_difference: Estimate


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the study found, ready to be shown. ``verdict`` is its first line."""

    verdict: str
    warnings: list[str]
    frozen: Entry | None
    frozen_hash: str
    config_hash: str
    choices: dict[str, Any]
    training_days: list[int]
    test_days: list[int]
    in_sample: bool
    episodes: int
    usable: int
    predictions: list[Prediction]
    reliability: dict[str, Curve]
    comparisons: list[Comparison]
    outcome_mix: dict[str, dict[str, int]]
    trades: list[trading.Expectancy]
    flow: list[flow.Explained]
    fills: FillTruth | None
    staged: list[Hits] | None

    @property
    def primary(self) -> Prediction:
        """The horizon of the named comparison."""
        return self.predictions[PRIMARY]


def split(dates: Sequence[int], test_from: int | None) -> tuple[list[int], list[int]]:
    """Training and test days: those before ``test_from`` and the others; without it the last third is the test.

    A single session has no test day. Raises ConfigError when ``test_from`` leaves either side empty.
    """
    if test_from is None:
        count = max(len(dates) // 3, 1) if len(dates) > 1 else 0
        return list(dates[: len(dates) - count]), list(dates[len(dates) - count :])
    training, test = [d for d in dates if d < test_from], [d for d in dates if d >= test_from]
    if not training or not test:
        raise ConfigError(
            f"--test-from {test_from} leaves {len(training)} training and {len(test)} test days",
            hint=f"The stored sessions are {dates[0]} to {dates[-1]}." if dates else "No session is stored.",
        )
    return training, test


def study(
    source: Source,
    ledger: Ledger,
    config_hash: str,
    choices: Mapping[str, Any],
    opened_at: str,
    *,
    test_from: int | None = None,
    simulated: bool = False,
    fills: FillTruth | None = None,
    staged: list[Hits] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Study all sessions of ``source``.

    Training days are read and fitted first; then the ledger notes what is frozen; only then are test days read.
    ``choices`` are the study's own settings, part of what is frozen. ``simulated`` flags data that carry no such mark.
    """
    training_days, test_days = split(source.dates(), test_from)

    def load(days: Sequence[int]) -> list[Session]:
        out = []
        for day in days:
            progress(f"session {day}")
            out.append(source.load(day))
        return out

    training = load(training_days)
    fitted = _pool(training, "episodes", EPISODE)
    fits = [_fits(fitted, horizon) for horizon in range(len(HORIZONS_S))]
    frozen = frozen_hash(config_hash, choices)
    entry = ledger.open_days(test_days, frozen, config_hash, opened_at) if test_days else None
    test = load(test_days)
    progress("bootstrap")

    measured = test or training
    held = _pool(measured, "episodes", EPISODE)
    predictions = [_prediction(held, horizon, fits[horizon]) for horizon in range(len(HORIZONS_S))]
    everything = np.concatenate([fitted, _pool(test, "episodes", EPISODE)])
    counted = int(usable(everything, PRIMARY).sum())
    feeds = {session.feed for session in (*training, *test)}
    is_simulated = simulated or SIMULATED in feeds
    made = _pool(measured, "trades", trading.TRADE)
    return Report(
        verdict=_verdict(len(training) + len(test), counted, bool(test), is_simulated, predictions[PRIMARY]),
        warnings=_warnings(bool(test), is_simulated, None in feeds, entry),
        frozen=entry,
        frozen_hash=frozen,
        config_hash=config_hash,
        choices=dict(choices),
        training_days=training_days,
        test_days=test_days,
        in_sample=not test,
        episodes=len(everything),
        usable=counted,
        predictions=predictions,
        reliability=_reliability(held, fits[PRIMARY][SCORE]),
        comparisons=[
            _comparison("random level", held, _pool(measured, "random", EPISODE)),
            _comparison("placebo level", held, _pool(measured, "placebo", EPISODE)),
        ],
        outcome_mix=_outcome_mix(held),
        trades=trading.expectancies(made),
        flow=flow.explained(_pool(training, "samples", flow.SAMPLE), _pool(test, "samples", flow.SAMPLE)),
        fills=fills,
        staged=staged,
    )


def _pool(sessions: Sequence[Session], field: str, dtype: np.dtype[Any]) -> NDArray[np.void]:
    parts: list[NDArray[np.void]] = [getattr(session, field) for session in sessions]
    return np.concatenate([np.zeros(0, dtype), *parts])


@dataclass(frozen=True, slots=True)
class _Fits:
    """What the training days gave at one horizon: their base rate and a curve per predictor."""

    base_rate: float
    lines: dict[str, Line | None]

    def __getitem__(self, name: str) -> Line | None:
        return self.lines[name]


def _fits(training: NDArray[np.void], horizon: int) -> _Fits:
    counted = training[usable(training, horizon)]
    event = broke(counted, horizon)
    return _Fits(
        mean(event.astype(np.float64)), {name: fit_platt(counted[column], event) for name, column in _COLUMNS.items()}
    )


def _prediction(episodes: NDArray[np.void], horizon: int, fits: _Fits) -> Prediction:
    held = episodes[usable(episodes, horizon)]
    days, event = held["session_date"], broke(held, horizon)
    base = np.full(len(held), fits.base_rate)
    predictors = [Predictor(BASE_RATE, _constant(0.5), _brier(days, base, event), _constant(0.0))]
    predictors.append(_predictor(AS_PUBLISHED, days, held["score"], held["score"] / 100, event, base))
    for name, column in _COLUMNS.items():
        line = fits[name]
        p = np.full(len(held), np.nan) if line is None else platt(line, held[column])
        rank = held[column] if name == SCORE else _facing(held[column], line)
        predictors.append(_predictor(name, days, rank, p, event, base))
    advantages = {
        name: _auc_difference(days, held["score"], _facing(held[_COLUMNS[name]], fits[name]), event)
        for name in (VELOCITY, OFI)
    }
    symbols = episodes["outcome"][:, horizon][episodes["actionable"]]
    return Prediction(
        HORIZONS_S[horizon],
        len(held),
        {name: int((symbols == n).sum()) for n, name in enumerate(OUTCOMES)},
        fits.base_rate,
        mean(event.astype(np.float64)),
        predictors,
        advantages,
    )


def _facing(values: Floats, line: Line | None) -> Floats:
    """The values with the sign that the fitted days gave them: what speaks against a break ranks from its other end.

    Velocity and OFI claim no direction, and would lose to the score for being told upside down. The score claims one.
    """
    return -values if line is not None and line.slope < 0 else values


def _constant(value: float) -> Estimate:
    return Estimate(value, np.nan, np.nan)


def _predictor(name: str, days: Integers, score: Floats, p: Floats, event: Flags, base: Floats) -> Predictor:
    def skill(weight: Floats) -> float:
        reference = brier(base, event, weight)
        return 1 - brier(p, event, weight) / reference if reference > 0 else np.nan

    return Predictor(name, _auc(days, score, event), _brier(days, p, event), day_bootstrap(days, skill))


def _auc(days: Integers, score: Floats, event: Flags) -> Estimate:
    rank = ranks(score)
    return day_bootstrap(days, lambda weight: auc(rank, event, weight))


def _brier(days: Integers, p: Floats, event: Flags) -> Estimate:
    return day_bootstrap(days, lambda weight: brier(p, event, weight))


def _auc_difference(days: Integers, score: Floats, other: Floats, event: Flags) -> Estimate:
    ours, theirs = ranks(score), ranks(other)
    return day_bootstrap(days, lambda weight: auc(ours, event, weight) - auc(theirs, event, weight))


def _reliability(episodes: NDArray[np.void], line: Line | None) -> dict[str, Curve]:
    held = episodes[usable(episodes, PRIMARY)]
    event = broke(held, PRIMARY)
    curves = {AS_PUBLISHED: reliability(held["score"] / 100, event)}
    if line is not None:
        curves[SCORE] = reliability(platt(line, held["score"]), event)
    return curves


def _comparison(name: str, episodes: NDArray[np.void], pool: NDArray[np.void]) -> Comparison:
    real, other = episodes[usable(episodes, PRIMARY)], pool[usable(pool, PRIMARY)]
    pairs = controls.match(real, other)
    a, b = real[pairs.real], other[pairs.control]
    days = a["session_date"]
    shares = {}
    for symbol, of in (("break", broke), ("reject", _rejected)):
        x, y = of(a, PRIMARY).astype(np.float64), of(b, PRIMARY).astype(np.float64)
        shares[symbol] = (mean(x), mean(y)), _difference(days, x, y)
    broke_a, broke_b = broke(a, PRIMARY), broke(b, PRIMARY)
    rank_a, rank_b = ranks(a["score"]), ranks(b["score"])
    return Comparison(
        control=name,
        pairs=len(a),
        unmatched=len(real) - len(a),
        balance={
            column: (mean(a[column].astype(np.float64)), mean(b[column].astype(np.float64)))
            for column in ("distance", "volatility", "velocity")
        },
        break_share=shares["break"][0],
        reject_share=shares["reject"][0],
        break_difference=shares["break"][1],
        reject_difference=shares["reject"][1],
        auc=(_auc(days, a["score"], broke_a), _auc(days, b["score"], broke_b)),
        auc_difference=day_bootstrap(days, lambda weight: auc(rank_a, broke_a, weight) - auc(rank_b, broke_b, weight)),
    )


def _rejected(episodes: NDArray[np.void], horizon: int) -> Flags:
    return np.asarray(episodes["outcome"][:, horizon] == REJECT)


def _difference(days: Integers, x: Floats, y: Floats) -> Estimate:
    return day_bootstrap(days, lambda weight: mean(x, weight) - mean(y, weight))


def _outcome_mix(episodes: NDArray[np.void]) -> dict[str, dict[str, int]]:
    """Outcomes at the primary horizon per first signal; censored ones are left out."""
    held = episodes[usable(episodes, PRIMARY)]
    symbols = held["outcome"][:, PRIMARY]
    return {
        name: {OUTCOMES[n]: int(((held["signal"] == signal) & (symbols == n)).sum()) for n in range(CHOP + 1)}
        for signal, name in enumerate(SIGNALS)
    }


def _verdict(sessions: int, counted: int, has_test: bool, simulated: bool, primary: Prediction) -> str:
    """The first line: what may be said, and no more."""
    if simulated:
        return (
            "This report claims nothing: its data are simulated, and a simulator that follows the engine's own idea of "
            "the market proves that idea in a circle."
        )
    if sessions < MIN_SESSIONS or counted < MIN_EPISODES:
        return (
            f"This report claims nothing: {sessions} sessions and {counted} usable episodes, "
            f"where {MIN_SESSIONS} and {MIN_EPISODES} are the least that could mean something."
        )
    if not has_test:
        return "This report claims nothing: no day was held back for a test."
    score = next(predictor for predictor in primary.predictors if predictor.name == SCORE)
    gain = primary.advantages[VELOCITY]
    said = "is above" if gain.low > 0 else "is below" if gain.high < 0 else "cannot be told from"
    return (
        f"On {primary.n} episodes of the test days the break score ranks breaks with AUC {_shown(score.auc)} at "
        f"{primary.horizon_s} s; it {said} velocity alone (difference {_shown(gain)})."
    )


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _warnings(has_test: bool, simulated: bool, no_events: bool, entry: Entry | None) -> list[str]:
    out = []
    if simulated:
        out.append("CIRCULAR: simulated data. Use it to see that the study works, not whether the score does.")
    if not has_test:
        out.append("IN SAMPLE: no test day; everything below was measured where it was fitted.")
    if no_events:
        out.append("Some sessions have no stored events, so they have no controls.")
    if entry is not None and entry.variants > 1:
        out.append(
            f"These test days have been opened {entry.looks} times under {entry.variants} frozen configurations. The "
            "best of several variants looks better than it is: hold fresh days against it before believing it."
        )
    return out
