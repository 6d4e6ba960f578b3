"""DESIGN §4.9: an episode's end starts a level anew; core.md §7: the robust smoothers begin again with it."""

from __future__ import annotations

from typing import Any

import pytest

from common.config import make_config
from processors.engine import signals
from tests.support.signal_stage import BREAKING, HOLD_SNAPS, QUIET, column, judge, snaps


def in_episode(number: int | None, row: dict[str, Any] = BREAKING) -> dict[str, Any]:
    if number is None:
        return {**row, "episode": None, "episode_id": None, "episode_touches": None}
    return {**row, "episode": number, "episode_id": f"20231225/ROUND_472/{number}", "episode_touches": number - 1}


def test_id_and_touches_pass_through() -> None:
    out = judge(snaps(in_episode(None), in_episode(1), in_episode(2)))
    assert column(out, "episode_id") == [None, "20231225/ROUND_472/1", "20231225/ROUND_472/2"]
    assert column(out, "episode_touches") == [None, 0, 1]


def test_the_opening_of_an_episode_keeps_holds_and_averages() -> None:
    quiet = in_episode(None, QUIET)
    out = judge(snaps(quiet, *[in_episode(None)] * 6, *[in_episode(1)] * 7))
    assert column(out, "signal") == ["NEUTRAL"] * (HOLD_SNAPS + 1) + ["BREAK"]
    without = judge(snaps(QUIET, *[BREAKING] * 13))
    assert column(out, "break_score_smooth") == column(without, "break_score_smooth")


@pytest.mark.parametrize("after", [None, 2])
def test_the_end_of_an_episode_starts_the_level_anew(after: int | None) -> None:
    low = {**BREAKING, "barrier_delta_liq": 40}
    out = judge(snaps(*[in_episode(1)] * (HOLD_SNAPS + 1), *[in_episode(after, low)] * (HOLD_SNAPS + 1)))
    assert column(out, "signal") == (["NEUTRAL"] * HOLD_SNAPS + ["BREAK"]) * 2
    assert column(out, "barrier_delta_liq_smooth") == [-300.0] * 13 + [40.0] * 13


def test_the_first_snap_after_an_episode_is_the_only_one_that_starts_anew() -> None:
    out = judge(snaps(in_episode(1, {"barrier_delta_liq": 900}), *[in_episode(None, {"barrier_delta_liq": 0})] * 2))
    assert column(out, "barrier_delta_liq_smooth") == [900.0, 0.0, 0.0]
    after = judge(snaps(in_episode(1), in_episode(None, {"barrier_delta_liq": 0}), {"barrier_delta_liq": 100}))
    assert after[2]["barrier_delta_liq_smooth"] < 100.0


def test_an_episode_that_ends_in_a_halt_starts_the_level_anew_all_the_same() -> None:
    halted = {**in_episode(None), "validity_bits": 160}
    out = judge(snaps(*[in_episode(1)] * 13, halted, in_episode(None, {"barrier_delta_liq": 9})))
    assert column(out, "signal")[-3:] == ["BREAK", "NEUTRAL", "NEUTRAL"]
    assert out[-1]["barrier_delta_liq_smooth"] == 9.0


def test_the_episode_is_part_of_the_levels_state() -> None:
    state = signals.initial_state()
    judge(snaps(in_episode(3)), state)
    assert state.get("ROUND_472").episode == 3
    (row,) = judge(snaps(in_episode(4, {"barrier_delta_liq": 9}), first=2), state)
    assert row["barrier_delta_liq_smooth"] == 9.0
    judge(snaps(in_episode(None), first=3), state)
    assert state.get("ROUND_472").episode == 0


MEDIAN = make_config({"SMOOTHING": "MEDIAN", "ROBUST_WINDOW": 3})
HYBRID = make_config({"SMOOTHING": "HYBRID", "ROBUST_WINDOW": 3})
DELTAS = [10, 30, 20, 900, 800, 25]
MEDIANS = [10.0, 20.0, 20.0, 30.0, 800.0, 800.0]


def test_median_smoothing_is_the_rolling_median_alone() -> None:
    out = judge(snaps(*[{"barrier_delta_liq": n} for n in DELTAS]), config=MEDIAN)
    assert column(out, "barrier_delta_liq_smooth") == MEDIANS


def test_hybrid_smoothing_is_the_average_of_the_rolling_median() -> None:
    out = judge(snaps(*[{"barrier_delta_liq": n} for n in DELTAS]), config=HYBRID)
    averaged = judge(snaps(*[{"barrier_delta_liq": int(n)} for n in MEDIANS]))
    assert column(out, "barrier_delta_liq_smooth") == column(averaged, "barrier_delta_liq_smooth")


def test_every_series_has_medians_of_its_own() -> None:
    rows = [
        {"barrier_state": state, "barrier_delta_liq": n, "tape_velocity": v, "fuel_net_dealer_gamma": g}
        for state, n, v, g in (("WALL", 5, 0.3, 9.0), ("VACUUM", 900, 0.1, 1e6), ("VACUUM", 7, 0.2, -4.0))
    ]
    out = judge(snaps(*rows), config=MEDIAN)[-1]
    assert out["break_score_smooth"] == 0.45 * 100 + 0.35 * 50
    assert (out["barrier_delta_liq_smooth"], out["tape_velocity_smooth"]) == (7.0, 0.2)
    assert out["fuel_net_dealer_gamma_smooth"] == 9.0


def test_the_ratio_is_of_the_medians_of_both_sides() -> None:
    rows = [{"barrier_added": a, "barrier_canceled": c} for a, c in ((10, 100), (50, 10), (30, 20))]
    out = judge(snaps(*rows), config=MEDIAN)
    assert column(out, "barrier_replenishment_ratio_smooth") == [0.1, 30 / 55, 30 / 20]


def test_the_median_of_gamma_begins_anew_after_null() -> None:
    gammas = (100.0, 300.0, None, 7.0, 9.0)
    out = judge(snaps(*[{"fuel_net_dealer_gamma": gamma} for gamma in gammas]), config=MEDIAN)
    assert column(out, "fuel_net_dealer_gamma_smooth") == [100.0, 200.0, None, 7.0, 8.0]


@pytest.mark.parametrize("config", [MEDIAN, HYBRID])
def test_the_medians_begin_anew_when_the_level_does(config: Any) -> None:
    out = judge(snaps(*[in_episode(1, {"barrier_delta_liq": 900})] * 3, {"barrier_delta_liq": 4}), config=config)
    assert out[-1]["barrier_delta_liq_smooth"] == 4.0


def test_without_a_median_no_samples_are_kept() -> None:
    state = signals.initial_state()
    judge(snaps(*[{"fuel_net_dealer_gamma": 1.0}] * 20), state)
    assert state.get("ROUND_472").rings == ()
    assert len(state.get("ROUND_472").to_bytes()) == 123


def test_while_halted_the_medians_stand_still() -> None:
    halted = {"barrier_delta_liq": 999, "validity_bits": 160}
    out = judge(snaps({"barrier_delta_liq": 10}, halted, halted, {"barrier_delta_liq": 20}), config=MEDIAN)
    assert column(out, "barrier_delta_liq_smooth") == [10.0, 10.0, 10.0, 15.0]
