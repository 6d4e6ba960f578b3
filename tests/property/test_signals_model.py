"""core.md §7, plan §5.6, DESIGN §4.9, against a plain model: when a level starts anew and what its smoothers say."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config import EngineConfig, make_config
from processors.engine import signals
from tests.support.feature_rows import INTERVAL_NS, feature_batch, random_snaps, row_dicts


class Series:
    """One smoothed series since the last start anew: all its samples, and the average of their medians."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        self.average: float | None = None

    def push(self, sample: float, config: EngineConfig, tau_s: float) -> None:
        self.samples.append(sample)
        if config.SMOOTHING != "EWMA":
            recent = sorted(self.samples[-config.ROBUST_WINDOW :])
            half = len(recent) // 2
            sample = recent[half] if len(recent) % 2 else (recent[half - 1] + recent[half]) / 2
        alpha = 1 - math.exp(-0.25 / tau_s)
        if self.average is None or config.SMOOTHING == "MEDIAN":
            self.average = sample
        else:
            self.average += alpha * (sample - self.average)


class Level:
    """What a level remembers, as a list of everything."""

    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None
        self.series: dict[str, Series] = defaultdict(Series)

    def snap(self, row: dict[str, Any], score: float, config: EngineConfig) -> None:
        if self.last is not None and self._anew(row):
            self.series.clear()
        self.last = row
        if row["validity_bits"] & 32:
            return
        self.series["score"].push(score, config, config.tau_score)
        self.series["delta_liq"].push(row["barrier_delta_liq"], config, config.tau_delta_liq)
        self.series["velocity"].push(row["tape_velocity"], config, config.tau_velocity)
        self.series["added"].push(row["barrier_added"], config, config.tau_replenish)
        self.series["removed"].push(row["barrier_canceled"] + row["barrier_filled"], config, config.tau_replenish)
        if row["fuel_net_dealer_gamma"] is None:
            self.series.pop("gamma", None)
        else:
            self.series["gamma"].push(row["fuel_net_dealer_gamma"], config, config.tau_dealer_gamma)

    def _anew(self, row: dict[str, Any]) -> bool:
        assert self.last is not None
        if row["ts_event_ns"] != self.last["ts_event_ns"] + INTERVAL_NS:
            return True
        if any(row[name] != self.last[name] for name in ("session_date", "direction")):
            return True
        return self.last["episode"] is not None and row["episode"] != self.last["episode"]

    def expected(self, name: str, raw: float) -> float:
        average = self.series[name].average if name in self.series else None
        return raw if average is None else average


@given(
    seed=st.integers(0, 2**32 - 1),
    smoothing=st.sampled_from(("EWMA", "MEDIAN", "HYBRID")),
    window=st.integers(1, 15),
)
@settings(max_examples=60, deadline=None)
def test_every_smoothed_value_is_the_models(seed: int, smoothing: str, window: int) -> None:
    config = make_config({"SMOOTHING": smoothing, "ROBUST_WINDOW": window})
    rows = row_dicts(feature_batch([row for snap in random_snaps(seed, 60) for row in snap]))
    judged = row_dicts(signals.step(config, signals.initial_state(), feature_batch(rows)))
    levels: dict[str, Level] = defaultdict(Level)
    for row, out in zip(rows, judged, strict=True):
        level = levels[row["level_id"]]
        level.snap(row, out["break_score_raw"], config)
        assert out["break_score_smooth"] == pytest.approx(level.expected("score", out["break_score_raw"]))
        delta_liq, velocity = row["barrier_delta_liq"], row["tape_velocity"]
        assert out["barrier_delta_liq_smooth"] == pytest.approx(level.expected("delta_liq", delta_liq), abs=1e-9)
        assert out["tape_velocity_smooth"] == pytest.approx(level.expected("velocity", velocity), abs=1e-12)
        added = level.expected("added", row["barrier_added"])
        removed = level.expected("removed", row["barrier_canceled"] + row["barrier_filled"])
        ratio = min(added / removed, 10.0) if removed > 0 else 10.0 if added > 0 else 0.0
        assert out["barrier_replenishment_ratio_smooth"] == pytest.approx(ratio)
        gamma = row["fuel_net_dealer_gamma"]
        if gamma is None:
            assert out["fuel_net_dealer_gamma_smooth"] is None
        else:
            assert out["fuel_net_dealer_gamma_smooth"] == pytest.approx(level.expected("gamma", gamma), abs=1e-6)
