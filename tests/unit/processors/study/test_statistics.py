"""The study's statistics against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from processors.study.statistics import (
    Line,
    auc,
    brier,
    day_bootstrap,
    fit_line,
    fit_platt,
    mean,
    platt,
    r_squared,
    ranks,
    reliability,
    squares,
    wilson,
)

EVENT = np.array([True, True, False, False])


def of(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(values, np.float64)


def test_brier_is_the_mean_squared_error_of_the_probability() -> None:
    assert brier(of(1.0, 0.5, 0.5, 0.0), EVENT) == pytest.approx((0 + 0.25 + 0.25 + 0) / 4)


def test_brier_counts_each_observation_by_its_weight() -> None:
    assert brier(of(1.0, 0.5, 0.5, 0.0), EVENT, of(0, 3, 0, 1)) == pytest.approx(0.75 / 4)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ((3, 4, 1, 2), 1.0),
        ((1, 2, 3, 4), 0.0),
        ((5, 5, 5, 5), 0.5),
        # events 2 and 3 against others 2 and 1: a tie counts half, then 1, 1, 1
        ((2, 3, 2, 1), 3.5 / 4),
    ],
)
def test_auc_counts_ties_half(score: tuple[float, ...], expected: float) -> None:
    assert auc(ranks(of(*score)), EVENT) == pytest.approx(expected)


def test_auc_equals_the_count_over_all_pairs() -> None:
    rng = np.random.default_rng(5)
    score, event = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.4
    weight = rng.integers(0, 4, 60).astype(float)
    won = [
        weight[i] * weight[j] * ((score[i] > score[j]) + 0.5 * (score[i] == score[j]))
        for i in np.flatnonzero(event)
        for j in np.flatnonzero(~event)
    ]
    pairs = weight[event].sum() * weight[~event].sum()
    assert auc(ranks(score), event, weight) == pytest.approx(sum(won) / pairs)


@pytest.mark.parametrize("event", [np.ones(4, np.bool_), np.zeros(4, np.bool_), np.zeros(0, np.bool_)])
def test_auc_without_both_classes_is_not_a_number(event: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    assert np.isnan(auc(ranks(np.arange(len(event), dtype=float)), event))


def test_wilson_interval_of_half_of_ten_is_as_tabulated() -> None:
    low, high = wilson(of(5), of(10))
    assert low[0] == pytest.approx(0.2366, abs=1e-4)
    assert high[0] == pytest.approx(0.7634, abs=1e-4)


def test_reliability_bins_hold_their_mean_and_their_share() -> None:
    curve = reliability(of(0.1, 0.2, 0.9, 1.0), np.array([False, True, True, True]), bins=2)
    assert curve.predicted.tolist() == pytest.approx([0.15, 0.95])
    assert curve.observed.tolist() == pytest.approx([0.5, 1.0])
    assert curve.size.tolist() == [2, 2]


def test_reliability_leaves_empty_bins_out() -> None:
    assert reliability(of(0.05, 0.06), np.array([False, False])).size.tolist() == [2]


def test_platt_without_information_gives_the_smoothed_base_rate() -> None:
    line = fit_platt(of(1, 2, 1, 2), EVENT)
    assert line is not None
    # the score says nothing, so only Platt's targets count: (3/4 + 3/4 + 1/4 + 1/4) / 4
    assert platt(line, of(1, 2)).tolist() == pytest.approx([0.5, 0.5])


def test_platt_meets_its_targets_where_two_scores_separate_the_classes() -> None:
    line = fit_platt(of(2, 2, 1, 1), EVENT)
    assert line is not None
    assert platt(line, of(1, 2)).tolist() == pytest.approx([1 / 4, 3 / 4])


def test_platt_finds_the_curve_that_made_the_data() -> None:
    rng = np.random.default_rng(1)
    score = rng.uniform(0, 100, 20_000)
    event = rng.random(20_000) < platt(Line(-2.0, 0.04), score)
    line = fit_platt(score, event)
    assert line is not None
    assert line.slope == pytest.approx(0.04, rel=0.05)
    assert line.intercept == pytest.approx(-2.0, rel=0.05)


@pytest.mark.parametrize(
    ("score", "event"), [(of(1, 2), np.array([True, True])), (of(1, 1), np.array([True, False])), (of(), EVENT[:0])]
)
def test_platt_is_not_fitted_where_nothing_can_be(
    score: np.ndarray[tuple[int], np.dtype[np.float64]], event: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> None:
    assert fit_platt(score, event) is None


def test_r_squared_is_one_for_a_line_and_the_explained_share_otherwise() -> None:
    x = of(0, 1, 2, 3)
    exact = fit_line(x, 2 * x + 1)
    assert exact is not None
    assert exact == pytest.approx((1.0, 2.0))
    assert r_squared(*squares(exact, x, 2 * x + 1, mean(2 * x + 1))) == pytest.approx(1.0)
    y = of(0, 1, 1, 2)
    line = fit_line(x, y)
    assert line is not None
    assert line.slope == pytest.approx(0.6)
    # residuals -0.1, 0.3, -0.3, 0.1 against 2 in all
    assert r_squared(*squares(line, x, y, mean(y))) == pytest.approx(1 - 0.2 / 2)


def test_r_squared_out_of_sample_may_be_negative() -> None:
    assert r_squared(*squares(Line(0.0, 1.0), of(1, -1), of(-1, 1), 0.0)) == pytest.approx(1 - 8 / 2)


def test_a_constant_cause_has_no_line() -> None:
    assert fit_line(of(1, 1, 1), of(1, 2, 3)) is None


def test_the_bootstrap_draws_days_and_not_observations() -> None:
    days = np.repeat([1, 2], 500)
    value = np.repeat(of(0.0, 1.0), 500)
    found = day_bootstrap(days, lambda weight: mean(value, weight))
    # with two days a draw holds 0, 1 or 2 of the second: the interval is as wide as it can be, however many rows
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.0, 1.0))


def test_the_bootstrap_repeats_itself_and_follows_its_seed() -> None:
    rng = np.random.default_rng(2)
    days, value = np.repeat(np.arange(20), 5), rng.standard_normal(100)

    def once(seed: int) -> tuple[float, ...]:
        return day_bootstrap(days, lambda weight: mean(value, weight), seed=seed)

    assert once(1) == once(1)
    assert once(1) != once(2)


def test_the_bootstrap_of_one_day_has_no_interval() -> None:
    found = day_bootstrap(np.ones(3, np.int64), lambda weight: mean(of(1, 2, 3), weight))
    assert found.value == pytest.approx(2.0)
    assert np.isnan([found.low, found.high]).all()


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    days = np.repeat(np.arange(30), 4)
    covered = 0
    for _ in range(100):
        value = np.repeat(rng.standard_normal(30), 4) + 0.1 * rng.standard_normal(120)
        found = day_bootstrap(days, lambda weight, value=value: mean(value, weight), resamples=200)
        covered += found.low <= 0 <= found.high
    assert 85 <= covered <= 100
