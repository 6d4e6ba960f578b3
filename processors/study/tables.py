"""The report as tables of text, the same for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from processors.study.analysis import SCORE, Report
from processors.study.episodes import HORIZONS_S, PRIMARY
from processors.study.staged import Hits, Rate
from processors.study.statistics import LEVEL, Estimate


@dataclass(frozen=True, slots=True)
class Table:
    """``rows`` as text; the first column is a name, the others are numbers. ``note`` says how to read it."""

    title: str
    note: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def number(value: float, places: int = 3) -> str:
    """A number, or a dot where there is none."""
    return f"{value:.{places}f}" if math.isfinite(value) else "·"


def interval(estimate: Estimate, places: int = 3) -> str:
    """``0.531 [0.502, 0.560]``; without the brackets when there is no interval."""
    text = number(estimate.value, places)
    if math.isfinite(estimate.low):
        text += f" [{number(estimate.low, places)}, {number(estimate.high, places)}]"
    return text


def share(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "·"


def facts(report: Report) -> list[tuple[str, str]]:
    """What was frozen, when, and over which days."""
    entry = report.frozen
    where = "training days (in sample)" if report.in_sample else "test days"
    rows = [
        ("measured on", where),
        ("training days", _days(report.training_days)),
        ("test days", _days(report.test_days)),
        ("episodes", f"{report.episodes:,}, of which {report.usable:,} usable at {HORIZONS_S[PRIMARY]} s"),
        ("engine configuration", report.config_hash),
        (
            "frozen",
            f"{report.frozen_hash}" + (f" at {entry.opened_at}, before the test days were read" if entry else ""),
        ),
    ]
    if entry is not None:
        rows.append(("variants tried", f"{entry.variants} on these test days, {entry.looks} looks"))
    return rows


def multiplicity(report: Report) -> str:
    """How many intervals there are, and what that means."""
    count = sum(1 for _ in _intervals(report))
    by_chance = count * (1 - LEVEL)
    return (
        f"One comparison was named beforehand: the {SCORE}'s AUC against velocity alone at {HORIZONS_S[PRIMARY]} s."
        f" Everything else describes. The report holds {count} intervals of 95 %; if nothing were there at all, about"
        f" {by_chance:.0f} of them would still miss the value of no effect. None is corrected for that, and they depend"
        " on one another, so a single interval that looks good is no finding."
    )


def tables(report: Report) -> list[Table]:
    """All tables that have something to show, in reading order."""
    made = [
        _prediction(report),
        _advantages(report),
        _controls(report),
        _outcome_mix(report),
        _trades(report),
        _flow(report),
        _fills(report),
        _staged(report),
        _staged_outcomes(report),
    ]
    return [table for table in made if table is not None and table.rows]


def _prediction(report: Report) -> Table:
    rows = []
    for prediction in report.predictions:
        for predictor in prediction.predictors:
            rows.append(
                (
                    predictor.name,
                    f"{prediction.horizon_s}",
                    f"{prediction.n:,}",
                    interval(predictor.auc),
                    interval(predictor.brier, 4),
                    interval(predictor.skill),
                )
            )
    shares = ", ".join(
        f"{p.horizon_s} s {share(p.base_rate)} ({share(p.base_rate_training)} in training)" for p in report.predictions
    )
    return Table(
        "Prediction at the touch",
        "Event: the level breaks within the horizon; rejections and chop are its opposite, censored episodes are left"
        " out. Probabilities come from a logistic curve per predictor, fitted on the training days, AUC takes the score"
        " as it is, and velocity and OFI from the end that those days found to mean a break; skill is 1 - Brier"
        f" / Brier of the base rate, so 0 is what knowing nothing earns. Share that broke: {shares}.",
        ("predictor", "horizon, s", "episodes", "AUC", "Brier score", "skill"),
        rows,
    )


def _advantages(report: Report) -> Table:
    rows = [
        (f"{SCORE} minus {name}", f"{prediction.horizon_s}", interval(estimate))
        for prediction in report.predictions
        for name, estimate in prediction.advantages.items()
    ]
    return Table(
        "Advantage over the simplest predictors",
        "Differences of AUC on the same resampled days. An interval that holds 0 shows no advantage.",
        ("difference", "horizon, s", "AUC difference"),
        rows,
    )


def _controls(report: Report) -> Table:
    rows = []
    for c in report.comparisons:
        if not c.pairs:
            continue
        rows += [
            (f"{c.control}: share that broke", f"{c.pairs:,}", *map(share, c.break_share), _points(c.break_difference)),
            (f"{c.control}: share rejected", f"{c.pairs:,}", *map(share, c.reject_share), _points(c.reject_difference)),
            (f"{c.control}: AUC", f"{c.pairs:,}", *map(interval, c.auc), interval(c.auc_difference)),
        ]
        rows += [
            (
                f"{c.control}: mean {name}",
                f"{c.pairs:,}",
                number(real, 4),
                number(control, 4),
                number(real - control, 4),
            )
            for name, (real, control) in c.balance.items()
        ]
    left = "; ".join(f"{c.control}: {c.unmatched:,} without a match" for c in report.comparisons)
    return Table(
        "Real levels against levels nobody cares about",
        f"Episodes at {HORIZONS_S[PRIMARY]} s, paired within session and direction with the nearest control in time, "
        f"distance and volatility ({left}). If real levels behave like their controls, they carry nothing themselves.",
        ("measure", "pairs", "real levels", "controls", "difference"),
        rows,
    )


def _points(estimate: Estimate) -> str:
    scaled = Estimate(*(100 * value for value in estimate))
    return f"{interval(scaled, 1)} points"


def _outcome_mix(report: Report) -> Table:
    rows = []
    for name, counts in report.outcome_mix.items():
        total = sum(counts.values())
        shares = [share(count / total) if total else "·" for count in counts.values()]
        rows.append(({"NONE": "no signal"}.get(name, name), f"{total:,}", *shares))
    return Table(
        "What became of the signals",
        f"Outcome within {HORIZONS_S[PRIMARY]} s of the touch, by the episode's first signal. A signal comes after the"
        " touch, when part of the outcome may already be visible: the trades below start at the signal.",
        ("first signal", "episodes", *(next(iter(report.outcome_mix.values()), {}))),
        rows,
    )


def _trades(report: Report) -> Table:
    rows = [
        (
            f"{e.signal}, {e.delay_ms} ms late",
            f"{e.horizon_s}",
            f"{e.n:,}",
            interval(Estimate(*(100 * value for value in e.gain)), 2),
            share(e.win_share),
            number(100 * e.best[2], 1),
            number(100 * e.worst[2], 1),
        )
        for e in report.trades
        if e.n
    ]
    fee = report.choices.get("fee_usd")
    return Table(
        "Trading the first signal",
        "In US cents per share of the underlying. Bought at the ask or sold at the bid one snap after the signal, and"
        " 250 ms after that; closed at the other side's price when the horizon ends; paid"
        f" {fee} USD per ES contract and side. BREAK is traded through the level, REJECT away from it. MFE and MAE:"
        " medians of the best and worst mark on the way.",
        ("signal", "held, s", "trades", "expectancy, cents", "winners", "MFE, cents", "MAE, cents"),
        rows,
    )


def _flow(report: Report) -> Table:
    rows = [
        (f.target, f"{f.n_in:,}", interval(f.in_sample, 4), f"{f.n_out:,}", interval(f.out_of_sample, 4))
        for f in report.flow
    ]
    return Table(
        "What order flow imbalance explains of the mid's change",
        "OFI within W_b. The contemporaneous R² is no prediction: flow and price happen together. Out of sample R² is"
        " the gain of the training days' line over their mean, and below 0 when it is worse.",
        ("change of the ES mid", "intervals", "R², training", "intervals", "R², test"),
        rows,
    )


def _fills(report: Report) -> Table | None:
    found = report.fills
    if found is None:
        return None
    rows = [
        ("precision", number(found.precision, 4), f"{found.inferred:,} contracts taken for filled"),
        ("recall", number(found.recall, 4), f"{found.true:,} contracts truly filled"),
    ]
    return Table(
        "Fills inferred from the book, against the order-by-order truth",
        "In contracts, at exact event time, side and tick.",
        ("measure", "value", "of"),
        rows,
    )


def _staged(report: Report) -> Table | None:
    if report.staged is None:
        return None
    rows = [
        (
            _fight(hits),
            f"{hits.staged:,}",
            _rate(hits.said),
            _counts(hits.before),
            _counts(hits.elsewhere),
            f"{hits.opposite:,}",
        )
        for hits in report.staged
    ]
    return Table(
        "Staged fights: the signals, against what was staged (circular)",
        "Signal: it came during the fight or within 2 s after price was let go (NEUTRAL: none that takes a side), with"
        " Wilson's 95 % interval. Two rates to hold it against: before, in as long a stretch at the same level up to"
        " the fight; elsewhere, in the fights staged for another signal. Opposite: a signal that takes the"
        " other side came. Circular: a simulator's fights follow the engine's own idea of the market. This shows that"
        " the parts work together, and nothing about a real market.",
        ("staged", "fights", "signal", "before", "elsewhere", "opposite"),
        rows,
    )


def _staged_outcomes(report: Report) -> Table | None:
    if report.staged is None:
        return None
    rows = [(_fight(hits), f"{hits.staged:,}", _rate(hits.labelled), number(hits.lead_s, 1)) for hits in report.staged]
    return Table(
        "Staged fights: where price went (circular)",
        "Label: the outcome at 120 s says where price went. Lead: median time from the first right signal to when price"
        " was let go.",
        ("staged", "fights", "label", "lead, s"),
        rows,
    )


def _fight(hits: Hits) -> str:
    return f"{hits.kind.lower()} for {hits.signal}"


def _rate(rate: Rate) -> str:
    """``9: 90 % [60, 98]``."""
    if not rate.of:
        return "·"
    return f"{rate.found:,}: {100 * rate.found / rate.of:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _counts(rate: Rate) -> str:
    """``1 of 10: 10 %``."""
    return f"{rate.found:,} of {rate.of:,}: {100 * rate.found / rate.of:.0f} %" if rate.of else "·"


def _days(days: list[int]) -> str:
    return f"{len(days)}: {days[0]} to {days[-1]}" if days else "none"


def _intervals(value: Any) -> Iterator[Estimate]:
    """Every estimate with an interval, anywhere in the report."""
    if isinstance(value, Estimate):
        if math.isfinite(value.low):
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _intervals(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _intervals(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from _intervals(getattr(value, name))


def plain(value: Any) -> Any:
    """The report as JSON takes it: dataclasses and tuples with names as objects, NaN as null, arrays as lists."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    tolist: Callable[[], Any] | None = getattr(value, "tolist", None)
    if tolist is not None:
        return plain(tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
