"""Entries at the far touch, marks at the near touch, fees on both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from processors.study.episodes import EPISODE, SAID_BREAK, SAID_REJECT, Path
from processors.study.trading import expectancies, trades
from tests.support.study_sessions import NS, SNAP_NS, START_NS, walk

DATE = 20250603


def said(signal: int, towards: int, at_snap: int = 0) -> Any:
    out = np.zeros(1, EPISODE)
    out["signal"], out["towards"], out["signal_ns"] = signal, towards, START_NS + at_snap * SNAP_NS
    return out


def path(mid: Any) -> Path:
    """Bid and ask a cent from the mid, ratio 10."""
    mid = np.asarray(mid, np.float64)
    ts_ns = START_NS + np.arange(len(mid), dtype=np.int64) * SNAP_NS
    return Path(ts_ns, mid - 0.01, mid + 0.01, np.full(len(mid), 10.0), np.zeros(len(mid)))


def flat(seconds: int = 500) -> Any:
    return np.full(seconds * 4, 600.0)


def test_the_entry_is_one_snap_after_the_signal_and_once_more_250_ms_later() -> None:
    mid = flat()
    mid[:4] = [600.0, 600.1, 600.2, 600.3]
    made = trades(DATE, said(SAID_BREAK, 1), path(mid), SNAP_NS, 0.0)
    assert made["entry"].tolist() == pytest.approx([600.11, 600.21])


@pytest.mark.parametrize(
    ("signal", "towards", "side"),
    [(SAID_BREAK, 1, 1), (SAID_BREAK, -1, -1), (SAID_REJECT, 1, -1), (SAID_REJECT, -1, 1)],
)
def test_a_break_is_traded_through_the_level_and_a_rejection_away_from_it(signal: int, towards: int, side: int) -> None:
    made = trades(DATE, said(signal, towards), path(flat()), SNAP_NS, 0.0)
    assert made["side"].tolist() == [side, side]
    assert made["entry"][0] == pytest.approx(600 + 0.01 * side)


def test_a_market_that_stands_still_costs_the_spread_and_the_fees() -> None:
    made = trades(DATE, said(SAID_BREAK, 1), path(flat()), SNAP_NS, fee_usd=2.5)
    # 2 cents, and 2 x 2.50 USD on 50 x 10 shares is 1 cent
    assert made["gain"][0].tolist() == pytest.approx([-0.03] * 3)


def test_mfe_and_mae_are_the_extremes_on_the_way_and_the_gain_stands_at_the_end() -> None:
    mid = flat()
    mid[40], mid[80] = 600.5, 599.6
    mid[480 + 1 :] = 600.2
    long, _ = trades(DATE, said(SAID_BREAK, 1), path(mid), SNAP_NS, 0.0)
    assert long["best"].tolist() == pytest.approx([0.48, 0.48, 0.48])
    assert long["worst"].tolist() == pytest.approx([-0.42, -0.42, -0.42])
    assert long["gain"].tolist() == pytest.approx([0.18, 0.18, 0.18])
    short, _ = trades(DATE, said(SAID_BREAK, -1), path(mid), SNAP_NS, 0.0)
    assert short["best"][0] == pytest.approx(0.38)
    assert short["gain"][0] == pytest.approx(-0.22)


def test_what_lies_beyond_the_horizon_does_not_count() -> None:
    mid = flat()
    mid[1 + 120 * 4 + 1] = 605.0
    made = trades(DATE, said(SAID_BREAK, 1), path(mid), SNAP_NS, 0.0)
    assert made["best"][0].tolist() == pytest.approx([0.0, 4.98, 4.98])


def test_a_horizon_that_the_session_does_not_reach_is_left_out() -> None:
    made = trades(DATE, said(SAID_REJECT, 1), path(flat(200)), SNAP_NS, 0.0)
    assert np.isnan(made["gain"][0]).tolist() == [False, True, True]
    counts = {e.horizon_s: e.n for e in expectancies(made) if e.signal == "REJECT" and e.delay_ms == 0}
    assert counts == {120: 1, 240: 0, 480: 0}


def test_no_trade_is_made_into_a_pause_or_an_empty_book() -> None:
    whole = path(flat())
    paused = Path(*(column[np.arange(len(whole.ts_ns)) != 1] for column in whole))
    assert trades(DATE, said(SAID_BREAK, 1), paused, SNAP_NS)["delay_ms"].tolist() == [250]
    whole.ask[1] = np.nan
    assert trades(DATE, said(SAID_BREAK, 1), whole, SNAP_NS)["delay_ms"].tolist() == [250]
    assert len(trades(DATE, said(SAID_BREAK, 1, at_snap=10**6), whole, SNAP_NS)) == 0
    assert len(trades(DATE, said(SAID_BREAK, 1), Path(*(column[:0] for column in whole)), SNAP_NS)) == 0


def test_episodes_without_a_signal_are_not_traded() -> None:
    assert len(trades(DATE, np.zeros(3, EPISODE), path(flat()), SNAP_NS)) == 0


def test_expectancy_is_the_mean_gain_and_random_entries_lose_their_costs() -> None:
    market = walk(21_600, seed=4)
    rng = np.random.default_rng(4)
    episodes = np.zeros(400, EPISODE)
    episodes["signal"] = rng.choice([SAID_BREAK, SAID_REJECT], 400)
    episodes["towards"] = rng.choice([-1, 1], 400)
    episodes["signal_ns"] = START_NS + rng.integers(0, 20_000, 400) * NS
    made = trades(DATE, episodes, market, SNAP_NS)
    (first,) = [e for e in expectancies(made) if (e.signal, e.delay_ms, e.horizon_s) == ("BREAK", 0, 120)]
    own = made[(made["signal"] == SAID_BREAK) & (made["delay_ms"] == 0)]
    assert first.gain.value == pytest.approx(own["gain"][:, 0].mean())
    assert first.n == len(own)
    assert first.best == sorted(first.best)
