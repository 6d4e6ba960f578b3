"""OFI against the change of the mid: the same interval, the next, the next snap."""

from __future__ import annotations

import numpy as np
import pytest

from processors.study import flow
from processors.study.episodes import Path
from tests.support.study_sessions import SNAP_NS, START_NS, walk

WINDOW_NS = 4 * SNAP_NS


def path(ticks: list[float], ofi: list[float], first_ns: int = START_NS) -> Path:
    mid = 600 + 0.025 * np.array(ticks)
    ts_ns = first_ns + np.arange(len(mid), dtype=np.int64) * SNAP_NS
    return Path(ts_ns, mid, mid, np.full(len(mid), 10.0), np.array(ofi, np.float64))


def test_changes_are_taken_over_this_interval_the_next_and_the_next_snap() -> None:
    ticks = [0, 0, 0, 0, 3, 4, 4, 4, 10]
    found = flow.samples(20250603, path(ticks, [float(n) for n in range(9)]), WINDOW_NS, SNAP_NS)
    assert found["ofi"].tolist() == [0, 4, 8]
    # in ES points: a tick is 0.25
    assert found["change"][1].tolist() == pytest.approx([0.75, 1.75, 0.25])
    assert np.isnan(found["change"][0]).tolist() == [True, False, False]
    assert np.isnan(found["change"][2]).tolist() == [False, True, True]


def test_intervals_lie_on_the_windows_grid() -> None:
    found = flow.samples(20250603, path([0] * 9, [1] * 9, START_NS + SNAP_NS), WINDOW_NS, SNAP_NS)
    assert len(found) == 2


def test_a_missing_snap_leaves_its_changes_out() -> None:
    whole = path([0] * 9, [1] * 9)
    gap = Path(*(np.delete(column, 4) for column in whole))
    found = flow.samples(20250603, gap, WINDOW_NS, SNAP_NS)
    assert np.isnan(found["change"][:, 0]).all()


def test_flow_that_moves_the_price_explains_this_interval_and_not_the_next() -> None:
    parts = [flow.samples(day, walk(7_200, seed=day), 40 * SNAP_NS, SNAP_NS) for day in range(6)]
    same, following, snap = flow.explained(np.concatenate(parts[:4]), np.concatenate(parts[4:]))
    assert same.target.endswith("(contemporaneous)")
    assert same.in_sample.value > 0.8
    assert same.out_of_sample.low > 0.8
    assert abs(following.out_of_sample.value) < 0.01
    assert abs(snap.out_of_sample.value) < 0.01
    assert (same.n_in, same.n_out) == (4 * 719, 2 * 719)


def test_days_of_sums_give_the_r_squared_of_all_intervals() -> None:
    parts = [flow.samples(day, walk(1_200, seed=day), 40 * SNAP_NS, SNAP_NS) for day in range(3)]
    pooled = np.concatenate(parts)
    (same, *_) = flow.explained(pooled, pooled[:0])
    kept = pooled[np.isfinite(pooled["change"][:, 0])]
    assert same.in_sample.value == pytest.approx(np.corrcoef(kept["ofi"], kept["change"][:, 0])[0, 1] ** 2)


def test_no_training_days_explain_nothing() -> None:
    nothing = np.zeros(0, flow.SAMPLE)
    assert all(np.isnan(found.in_sample.value) and found.n_in == 0 for found in flow.explained(nothing, nothing))
