"""Levels that nobody cares about: how they are chosen, judged and matched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from processors.study.controls import HOTZONES, PLACEBO_OFFSET, Prices, at_prices, choose, match
from processors.study.episodes import EPISODE
from tests.support.study_sessions import NS, START_NS, episodes

LEVELS = np.array([599.0, 600.0, 601.0, 600.0])


def test_a_placebo_is_a_real_level_moved_by_the_offset() -> None:
    prices = choose(LEVELS, 598.0, 602.0, 0.1, seed=1)
    assert prices.placebo == pytest.approx([599 + PLACEBO_OFFSET, 600 + PLACEBO_OFFSET, 601 + PLACEBO_OFFSET])


def test_random_levels_lie_in_the_range_on_whole_cents_and_away_from_real_ones() -> None:
    prices = choose(LEVELS, 598.5, 601.5, 0.1, seed=1)
    random = np.array(prices.random)
    assert ((random >= 598.5) & (random <= 601.5)).all()
    assert np.abs(random[:, None] - LEVELS).min() >= 0.1 - 1e-9
    assert (random * 100).tolist() == pytest.approx(np.round(random * 100).tolist())


def test_no_control_stands_twice_and_the_engine_has_room_for_all() -> None:
    prices = choose(np.arange(560.0, 640.0), 560.0, 640.0, 0.1, seed=1)
    every = [*prices.random, *prices.placebo]
    assert len(every) == len(set(every)) == HOTZONES
    assert len(prices.placebo) == HOTZONES // 2


def test_the_seed_decides_the_random_levels() -> None:
    one, again, other = (choose(LEVELS, 590.0, 610.0, 0.1, seed) for seed in (1, 1, 2))
    assert one == again
    assert one.random != other.random


def test_a_placebo_that_meets_another_real_level_is_left_out() -> None:
    assert choose(np.array([600.0, 600.4]), 599.0, 602.0, 0.1, seed=1).placebo == pytest.approx([600.77])


def test_control_episodes_are_told_apart_by_their_price() -> None:
    own = episodes(3, 20250603, seed=1)
    own["level_price"] = [600.37, 600.5, 601.37]
    prices = Prices(random=(600.5,), placebo=(600.37, 601.37))
    assert at_prices(own, prices.random)["level_price"].tolist() == [600.5]
    assert at_prices(own, prices.placebo)["level_price"].tolist() == [600.37, 601.37]
    assert len(at_prices(own, ())) == 0


def touched(*at_s: float, **fields: Any) -> Any:
    out = np.zeros(len(at_s), EPISODE)
    out["session_date"], out["towards"], out["volatility"], out["distance"] = 20250603, 1, 0.01, 0.02
    out["touch_ns"] = START_NS + np.round(np.array(at_s) * NS).astype(np.int64)
    for name, value in fields.items():
        out[name] = value
    return out


def pairs(real: Any, controls: Any) -> list[tuple[int, int]]:
    found = match(real, controls)
    return list(zip(found.real.tolist(), found.control.tolist(), strict=True))


def test_each_episode_takes_the_nearest_unused_control() -> None:
    # the first takes 90 s; the second would have liked it too and takes the next best
    assert pairs(touched(0, 100), touched(90, 400, -600)) == [(0, 0), (1, 1)]


def test_nearness_weighs_time_volatility_and_distance_in_calipers() -> None:
    controls = touched(900, 0, 0, volatility=[0.01, 0.01 * np.exp(0.4), 0.01], distance=[0.02, 0.02, 0.06])
    # apart by 0.5 of a caliper in time, 0.8 in volatility, 0.8 in distance
    assert pairs(touched(0), controls) == [(0, 0)]
    assert pairs(touched(0), controls[1:2]) == [(0, 0)]


@pytest.mark.parametrize(
    "control",
    [
        touched(1801),
        touched(0, volatility=0.01 * np.exp(0.51)),
        touched(0, distance=0.08),
        touched(0, towards=-1),
        touched(0, session_date=20250604),
    ],
    ids=["time", "volatility", "distance", "direction", "session"],
)
def test_nothing_beyond_a_caliper_or_of_another_kind_is_a_match(control: Any) -> None:
    assert pairs(touched(0), control) == []


def test_matching_does_not_look_at_outcomes() -> None:
    real, controls = episodes(40, 20250603, seed=1), episodes(80, 20250603, seed=2)
    before = pairs(real, controls)
    controls["outcome"] = 1 - controls["outcome"]
    real["score"] = 0
    assert pairs(real, controls) == before
    assert len({control for _, control in before}) == len(before)


def test_without_controls_nothing_is_matched() -> None:
    assert pairs(touched(0), touched()) == []
