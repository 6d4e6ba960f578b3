"""Outcomes joined with what was known at the touch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from common import schemas, topics
from processors.study.episodes import (
    BREAK,
    CENSORED,
    CHOP,
    FEATURE_COLUMNS,
    OUTCOME_COLUMNS,
    REJECT,
    SAID_BREAK,
    SAID_REJECT,
    SIGNAL_COLUMNS,
    Path,
    broke,
    join,
    market_path,
    usable,
    volatility,
)
from tests.support.study_sessions import NS, SNAP_NS, START_NS


def table(topic: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> pa.Table:
    arrow = schemas.load(topic).arrow
    return pa.Table.from_pylist(rows, pa.schema([arrow.field(name) for name in columns]))


def outcome(**fields: Any) -> dict[str, Any]:
    return {
        "episode_id": "E1",
        "level_id": "ROUND_600",
        "level_price": 600.0,
        "direction": "RESISTANCE",
        "ts_touch_ns": START_NS + 4 * SNAP_NS,
        "outcome_120s": "CHOP",
        "outcome_240s": "BREAK",
        "outcome_480s": "BREAK",
        **fields,
    }


def signal(snap: int, **fields: Any) -> dict[str, Any]:
    return {
        "ts_event_ns": START_NS + snap * SNAP_NS,
        "level_id": "ROUND_600",
        "distance": 0.01 * snap,
        "tape_velocity": 0.001 * snap,
        "break_score_raw": 10.0 * snap,
        "signal": "NEUTRAL",
        "episode_id": None,
        "actionable": True,
        **fields,
    }


def feature(snap: int, **fields: Any) -> dict[str, Any]:
    return {
        "ts_event_ns": START_NS + snap * SNAP_NS,
        "level_id": "ROUND_600",
        "snap_row": 0,
        "bid": 599.99,
        "ask": 600.01,
        "ratio": 10.0,
        "ofi": 100 * snap,
        **fields,
    }


def joined(
    outcomes: list[dict[str, Any]], signals: list[dict[str, Any]], features: list[dict[str, Any]] | None = None
) -> Any:
    rows = [feature(n) for n in range(10)] if features is None else features
    measured = table(topics.FEATURES, FEATURE_COLUMNS, rows)
    return join(
        20250603,
        table(topics.OUTCOMES, OUTCOME_COLUMNS, outcomes),
        table(topics.SIGNALS, SIGNAL_COLUMNS, signals),
        measured,
        market_path(measured),
    )


def test_the_score_is_that_of_the_last_snap_at_or_before_the_touch() -> None:
    (episode,) = joined([outcome()], [signal(n) for n in range(10)])
    assert episode["score"] == 40.0
    (episode,) = joined([outcome(ts_touch_ns=START_NS + 4 * SNAP_NS + 1)], [signal(n) for n in (0, 3, 5)])
    assert episode["score"] == 30.0


def test_another_levels_rows_do_not_count() -> None:
    signals = [signal(2), signal(4, level_id="VWAP", break_score_raw=99.0)]
    (episode,) = joined([outcome()], signals)
    assert episode["score"] == 20.0


def test_velocity_and_ofi_point_towards_the_break() -> None:
    signals = [signal(n) for n in range(10)]
    up, down = joined([outcome(), outcome(episode_id="E2", level_id="ROUND_600", direction="SUPPORT")], signals)
    assert (up["towards"], up["velocity"], up["ofi"]) == (1, pytest.approx(0.004), 400)
    assert (down["towards"], down["velocity"], down["ofi"]) == (-1, pytest.approx(-0.004), -400)


def test_the_first_signal_with_a_side_inside_the_episode_counts() -> None:
    signals = [
        signal(3, signal="BREAK"),
        signal(5, signal="CONTESTED", episode_id="E1"),
        signal(7, signal="BREAK", episode_id="E1"),
        signal(6, signal="REJECT", episode_id="E1"),
        signal(4, signal="BREAK", episode_id="E9"),
    ]
    (episode,) = joined([outcome()], signals)
    assert (episode["signal"], episode["signal_ns"]) == (SAID_REJECT, START_NS + 6 * SNAP_NS)


def test_signals_outside_the_episode_are_not_its_own() -> None:
    (episode,) = joined([outcome()], [signal(3, signal="BREAK"), signal(5, signal="REJECT", episode_id="E9")])
    assert (episode["signal"], episode["signal_ns"]) == (0, 0)


def test_signals_go_to_their_own_episodes() -> None:
    outcomes = [outcome(), outcome(episode_id="E2", level_id="VWAP", ts_touch_ns=START_NS)]
    signals = [signal(6, signal="BREAK", episode_id="E2", level_id="VWAP"), signal(8, signal="REJECT", episode_id="E1")]
    vwap, by_round = joined(outcomes, signals)
    assert (vwap["level_id"], vwap["signal"]) == ("VWAP", SAID_BREAK)
    assert (by_round["level_id"], by_round["signal"]) == ("ROUND_600", SAID_REJECT)


def test_an_outcome_that_came_twice_counts_once() -> None:
    assert len(joined([outcome(), outcome()], [signal(4)])) == 1


def test_outcomes_are_read_per_horizon() -> None:
    (episode,) = joined([outcome(outcome_480s="REJECT")], [signal(4)])
    assert episode["outcome"].tolist() == [CHOP, BREAK, REJECT]
    assert [bool(broke(np.atleast_1d(episode), n)[0]) for n in range(3)] == [False, True, False]


@pytest.mark.parametrize(
    ("outcomes", "signals"),
    [
        ([outcome(outcome_480s="CENSORED")], [signal(4)]),
        ([outcome()], [signal(4, actionable=False)]),
        ([outcome()], [signal(5)]),  # no row before the touch
        ([outcome()], []),
    ],
)
def test_what_was_not_measured_or_cut_off_is_not_usable(
    outcomes: list[dict[str, Any]], signals: list[dict[str, Any]]
) -> None:
    assert not usable(joined(outcomes, signals), 2).any()


def test_a_session_without_outcomes_has_no_episodes() -> None:
    assert len(joined([], [signal(1)])) == 0
    assert CENSORED == 3


def test_the_path_takes_one_row_per_snap_in_time_order() -> None:
    rows = [feature(2, bid=None), feature(1), feature(1, snap_row=1, level_id="VWAP")]
    path = market_path(table(topics.FEATURES, FEATURE_COLUMNS, rows))
    assert path.ts_ns.tolist() == [START_NS + SNAP_NS, START_NS + 2 * SNAP_NS]
    assert np.isnan(path.bid[1])
    assert path.mid[0] == pytest.approx(600.0)


def test_volatility_is_the_root_of_squared_changes_over_the_window() -> None:
    mid = np.array([600.0, 600.3, 599.9, 599.9])
    path = Path(START_NS + np.arange(4) * NS, mid, mid, np.full(4, 10.0), np.zeros(4))
    at_ns = START_NS + np.array([-1, 0, 2, 3]) * NS
    expected = [np.nan, 0.0, np.sqrt((0.09 + 0.16) / 2), np.sqrt(0.16 / 2)]
    assert volatility(path, at_ns, window_s=2).tolist() == pytest.approx(expected, nan_ok=True)
