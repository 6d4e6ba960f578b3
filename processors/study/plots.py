"""The report's plots as PNG, on a light and on a dark ground."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from processors.study.analysis import AS_PUBLISHED, BASE_RATE, SCORE, Report
from processors.study.episodes import HORIZONS_S, PRIMARY
from processors.study.statistics import Estimate

DPI = 150


@dataclass(frozen=True, slots=True)
class Ground:
    """Colours (Okabe and Ito's, told apart by every eye) on one background."""

    back: str
    text: str
    faint: str
    breaks: str
    rejects: str
    other: str
    extra: str


LIGHT = Ground("#ffffff", "#1f2328", "#d0d7de", "#d55e00", "#0072b2", "#8c959f", "#009e73")
DARK = Ground("#0d1117", "#e6edf3", "#30363d", "#ff8c42", "#56b4e9", "#8b949e", "#2fc594")


def draw(report: Report, ground: Ground) -> dict[str, bytes]:
    """PNG files by name: ``reliability``, ``auc``, ``outcomes``, ``excursions``."""
    makers: dict[str, Callable[[Report, Ground], Figure]] = {
        "reliability": _reliability,
        "auc": _auc,
        "outcomes": _outcomes,
        "excursions": _excursions,
    }
    return {name: _png(make(report, ground)) for name, make in makers.items()}


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    FigureCanvasAgg(figure)  # makes itself the figure's canvas: no display is asked for
    figure.savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def _figure(ground: Ground, width: float, height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.1)
    return Figure(figsize=(width, height), dpi=DPI, facecolor=ground.back, layout=layout)


def _dress(axes: Axes, ground: Ground, title: str, x: str, y: str) -> None:
    axes.set_facecolor(ground.back)
    axes.set_title(title, color=ground.text, loc="left", fontsize=11, pad=10)
    axes.set_xlabel(x, color=ground.text, fontsize=9)
    axes.set_ylabel(y, color=ground.text, fontsize=9)
    axes.tick_params(colors=ground.text, labelsize=9, length=3)
    axes.set_axisbelow(True)
    axes.grid(color=ground.faint, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_color(ground.faint)


def _days(report: Report) -> str:
    return "training days, IN SAMPLE" if report.in_sample else f"{len(report.test_days)} test days"


def _reliability(report: Report, ground: Ground) -> Figure:
    figure = _figure(ground, 6.4, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    title = f"Reliability of P(break within {HORIZONS_S[PRIMARY]} s)\n{report.primary.n:,} episodes, {_days(report)}"
    _dress(upper, ground, title, "", "share that broke")
    _dress(lower, ground, "", "predicted probability", "episodes")
    upper.plot([0, 1], [0, 1], color=ground.other, linewidth=1, linestyle="--", label="perfect")
    upper.axhline(report.primary.base_rate, color=ground.other, linewidth=1, linestyle=":", label="share that broke")
    styles = {
        AS_PUBLISHED: (ground.rejects, "s", "score / 100, as published"),
        SCORE: (ground.breaks, "o", "score, calibrated on training days"),
    }
    for n, (name, curve) in enumerate(report.reliability.items()):
        colour, marker, label = styles[name]
        errors = np.stack([curve.observed - curve.low, curve.high - curve.observed])
        upper.errorbar(
            curve.predicted,
            curve.observed,
            yerr=np.maximum(errors, 0),
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.4,
            elinewidth=1,
            alpha=0.85,
            label=label,
        )
        width = 0.035
        lower.bar(curve.predicted + (n - 0.5) * width, curve.size, width=width, color=colour)
    upper.set_xlim(-0.02, 1.02)
    upper.set_ylim(-0.02, 1.02)
    upper.legend(loc="upper left", fontsize=8, labelcolor=ground.text, facecolor=ground.back, edgecolor=ground.faint)
    return figure


def _auc(report: Report, ground: Ground) -> Figure:
    bars: list[tuple[str, Estimate, str]] = [
        (predictor.name, predictor.auc, ground.breaks if predictor.name == SCORE else ground.rejects)
        for predictor in report.primary.predictors
        if predictor.name not in (BASE_RATE, AS_PUBLISHED)
    ]
    for comparison in report.comparisons:
        if comparison.pairs:
            kind, n = comparison.control, f"{comparison.pairs:,} pairs"
            bars.append((f"{SCORE}, real levels matched to\na {kind} ({n})", comparison.auc[0], ground.breaks))
            bars.append((f"{SCORE} at the {kind}s", comparison.auc[1], ground.other))
    figure = _figure(ground, 7.6, 1.6 + 0.5 * len(bars))
    axes = figure.subplots()
    title = (
        f"Does it rank breaks above the rest? AUC at {HORIZONS_S[PRIMARY]} s\n"
        f"{report.primary.n:,} episodes, {_days(report)}; lines: 95 % over resampled days"
    )
    _dress(axes, ground, title, "AUC (0.5 is chance)", "")
    places = np.arange(len(bars))[::-1]
    for place, (_, estimate, colour) in zip(places, bars, strict=True):
        if not np.isfinite(estimate.value):
            continue
        axes.barh(place, estimate.value - 0.5, left=0.5, height=0.55, color=colour, alpha=0.55)
        if np.isfinite(estimate.low):
            axes.plot([estimate.low, estimate.high], [place, place], color=ground.text, linewidth=1.6)
        axes.plot(estimate.value, place, marker="o", markersize=5, color=ground.text)
        right = estimate.high if np.isfinite(estimate.high) else estimate.value
        axes.annotate(
            f"{estimate.value:.3f}",
            (max(right, 0.5), place),
            (6, 0),
            textcoords="offset points",
            va="center",
            color=ground.text,
            fontsize=8,
        )
    axes.axvline(0.5, color=ground.text, linewidth=1)
    axes.set_yticks(places, [name for name, _, _ in bars])
    ends = [end for _, e, _ in bars for end in e if np.isfinite(end)]
    axes.set_xlim(min([0.4, *ends]) - 0.02, max([0.6, *ends]) + 0.06)
    axes.grid(visible=False, axis="y")
    return figure


def _outcomes(report: Report, ground: Ground) -> Figure:
    names = list(report.outcome_mix)
    figure = _figure(ground, 7.6, 1.9 + 0.5 * len(names))
    axes = figure.subplots()
    title = f"What became of the episodes within {HORIZONS_S[PRIMARY]} s, by first signal\n{_days(report)}"
    _dress(axes, ground, title, "share of episodes, %", "")
    colours = {"BREAK": ground.breaks, "REJECT": ground.rejects, "CHOP": ground.other}
    places = np.arange(len(names))[::-1]
    left = np.zeros(len(names))
    totals = np.array([max(sum(counts.values()), 1) for counts in report.outcome_mix.values()])
    for outcome, colour in colours.items():
        shares = np.array([counts[outcome] for counts in report.outcome_mix.values()]) / totals * 100
        axes.barh(places, shares, left=left, height=0.6, color=colour, label=outcome.lower())
        for place, begin, part in zip(places, left, shares, strict=True):
            if part >= 6:
                axes.text(
                    begin + part / 2, place, f"{part:.0f}", ha="center", va="center", color=ground.back, fontsize=9
                )
        left += shares
    labels = [
        f"{'no signal' if name == 'NONE' else name}\nn = {sum(counts.values()):,}"
        for name, counts in report.outcome_mix.items()
    ]
    axes.set_yticks(places, labels)
    axes.set_xlim(0, 100)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False, labelcolor=ground.text)
    return figure


def _excursions(report: Report, ground: Ground) -> Figure:
    figure = _figure(ground, 7.6, 4.6)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, signal in zip(panels, ("BREAK", "REJECT"), strict=True):
        rows = [e for e in report.trades if e.signal == signal and e.delay_ms == 0]
        count = max((row.n for row in rows), default=0)
        title = f"{signal} traded, up to {count:,} trades\n{_days(report)}"
        y = "US cents per share" if signal == "BREAK" else ""
        _dress(axes, ground, title, "held, s, from one snap after the signal", y)
        axes.axhline(0, color=ground.text, linewidth=0.8)
        for place, row in enumerate(rows):
            if not row.n:
                continue
            for quantiles, colour, shift in ((row.best, ground.extra, -0.16), (row.worst, ground.breaks, 0.16)):
                low, lower, median, upper, high = (100 * value for value in quantiles)
                x = place + shift
                axes.plot([x, x], [low, high], color=colour, linewidth=1)
                axes.plot([x, x], [lower, upper], color=colour, linewidth=8, alpha=0.6, solid_capstyle="butt")
                axes.plot(x, median, marker="_", markersize=12, markeredgewidth=2, color=ground.text)
            gain = [100 * value for value in row.gain]
            axes.plot(place, gain[0], marker="D", markersize=5, color=ground.text)
            if np.isfinite(gain[1]):
                axes.plot([place, place], gain[1:], color=ground.text, linewidth=1.4)
        axes.set_xticks(range(len(rows)), [f"{row.horizon_s}" for row in rows])
        axes.set_xlim(-0.6, len(rows) - 0.4)
        axes.grid(visible=False, axis="x")
    handles = [
        panels[0].plot([], [], color=ground.extra, linewidth=8, alpha=0.6, label="MFE")[0],
        panels[0].plot([], [], color=ground.breaks, linewidth=8, alpha=0.6, label="MAE")[0],
        panels[0].plot([], [], color=ground.text, marker="D", linewidth=1.4, label="expectancy after fees, 95 %")[0],
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        fontsize=8,
        frameon=False,
        labelcolor=ground.text,
        title="bars: middle half, lines: 5 to 95 %, dash: median",
        title_fontproperties={"size": 8},
    )
    figure.legends[0].get_title().set_color(ground.text)
    return figure
