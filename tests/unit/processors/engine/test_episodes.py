"""Episodes and their outcomes (DESIGN 4.9): what opens, freezes and ends them, and when a label may be said."""

from __future__ import annotations

from typing import Any

import pytest

from common import topics
from tests.support.market import NS, OPEN_NS, SNAP_NS, Market, ladder, to_rows

SIZES = [50] * 10


def quote(market: Market, at_s: float, bid: float) -> None:
    market.book(round(at_s * NS), ladder(bid, SIZES, "bid"), ladder(bid + 0.25, SIZES, "ask"))


def hold(market: Market, from_s: float, to_s: float, bid: float) -> None:
    """The book stays where it is, told every ten seconds, so that ES never counts as silent."""
    at_s = from_s
    while at_s < to_s:
        quote(market, at_s, bid)
        at_s += 10.0


def rows_of(market: Market, until_s: float, level: str = "ROUND_600", **overrides: Any) -> dict[float, dict[str, Any]]:
    """The level's rows by seconds after the open."""
    found = [row for row in market.rows(until_s, **overrides) if row["level_id"] == level]
    return {(row["ts_event_ns"] - OPEN_NS) / NS: row for row in found}


def outcomes_of(market: Market, until_s: float, level: str = "ROUND_600") -> list[dict[str, Any]]:
    return [row for row in to_rows(market.output(until_s).outcomes) if row["level_id"] == level]


@pytest.fixture
def falling() -> Market:
    """From 600.20 down onto 600.00, and 0.20 through it at 10 s."""
    market = Market()
    quote(market, 1.0, 6002.0)
    quote(market, 5.0, 6000.25)
    quote(market, 10.0, 5997.75)
    return market


def test_the_first_touch_opens_an_episode_and_outside_there_is_none(falling: Market) -> None:
    rows = rows_of(falling, 9.0)
    assert rows[4.75]["episode"] is None and rows[4.75]["episode_id"] is None
    assert (rows[5.0]["episode"], rows[5.0]["episode_touches"]) == (1, 0)
    assert rows[5.0]["episode_id"] == "20250603-ROUND_600-1"


def test_a_touch_is_within_the_band_and_not_a_hundredth_of_a_cent_beyond() -> None:
    for touch, inside in ((0.0375, True), (0.0374, False)):
        market = Market()
        quote(market, 1.0, 6000.25)  # spot 600.0375
        rows = rows_of(market, 2.0, TOUCH_BAND=touch)
        assert (rows[1.0]["episode"] is not None) is inside


def test_an_episode_ends_when_spot_is_the_outcome_move_away(falling: Market) -> None:
    rows = rows_of(falling, 10.5)
    assert rows[9.75]["episode"] == 1
    assert rows[10.0]["distance"] == pytest.approx(0.2125)
    assert rows[10.0]["episode"] is None


@pytest.mark.parametrize(("move", "ended"), [(0.2125, True), (0.2126, False)])
def test_the_outcome_move_itself_counts(falling: Market, move: float, ended: bool) -> None:
    rows = rows_of(falling, 10.5, OUTCOME_MOVE=move)
    assert (rows[10.0]["episode"] is None) is ended


def test_direction_and_price_stay_those_of_the_touch_while_the_episode_runs() -> None:
    market = Market()
    quote(market, 1.0, 6001.0)
    market.trade(NS + 1, 6000.5, 100, "SELL")  # VWAP 600.05, spot above it: a support
    quote(market, 2.0, 6000.5)
    market.trade(3 * NS, 5999.5, 100, "SELL")  # VWAP would be 600.00 now
    quote(market, 4.0, 5999.5)  # and spot has fallen through
    rows = rows_of(market, 5.0, "VWAP")
    assert rows[2.0]["episode"] == 1
    assert {row["level_price"] for at, row in rows.items() if at >= 2.0} == {rows[2.0]["level_price"]}
    assert {row["direction"] for at, row in rows.items() if at >= 2.0} == {"SUPPORT"}


def test_touches_count_the_earlier_episodes_of_the_session(falling: Market) -> None:
    quote(falling, 20.0, 6000.0)
    rows = rows_of(falling, 21.0)
    assert (rows[20.0]["episode"], rows[20.0]["episode_touches"]) == (2, 1)


def test_a_support_that_falls_is_a_break_and_known_at_the_passage(falling: Market) -> None:
    hold(falling, 20.0, 300.0, 5997.75)
    (outcome,) = outcomes_of(falling, 299.0)
    assert outcome["ts_event_ns"] == outcome["ts_passage_ns"] == OPEN_NS + 10 * NS
    assert outcome["ts_touch_ns"] == OPEN_NS + 5 * NS
    assert [outcome[f"outcome_{s}s"] for s in (120, 240, 480)] == ["BREAK"] * 3
    assert (outcome["direction"], outcome["level_price"], outcome["episode_id"]) == (
        "SUPPORT",
        600.0,
        "20250603-ROUND_600-1",
    )
    assert outcome["spot_at_touch"] == pytest.approx(600.0375)


def test_a_support_that_bounces_is_a_reject() -> None:
    market = Market()
    quote(market, 1.0, 6001.0)
    quote(market, 5.0, 6000.25)
    quote(market, 10.0, 6002.0)
    (outcome,) = outcomes_of(market, 11.0)
    assert outcome["outcome_120s"] == "REJECT"


@pytest.mark.parametrize(
    ("passage_s", "labels"),
    [
        (120.0, ["BREAK", "BREAK", "BREAK"]),
        (120.25, ["CHOP", "BREAK", "BREAK"]),
        (240.0, ["CHOP", "BREAK", "BREAK"]),
        (240.25, ["CHOP", "CHOP", "BREAK"]),
        (480.0, ["CHOP", "CHOP", "BREAK"]),
    ],
)
def test_a_passage_counts_for_the_horizons_it_lies_within(passage_s: float, labels: list[str]) -> None:
    market = Market()
    quote(market, 1.0, 6001.0)
    hold(market, 5.0, 5.0 + passage_s, 6000.25)
    quote(market, 5.0 + passage_s, 5997.75)
    (outcome,) = outcomes_of(market, 5.0 + passage_s + 1.0)
    assert [outcome[f"outcome_{s}s"] for s in (120, 240, 480)] == labels


def test_without_a_passage_the_outcome_is_chop_and_known_after_480_seconds() -> None:
    market = Market()
    quote(market, 1.0, 6001.0)
    hold(market, 5.0, 500.0, 6000.25)
    assert outcomes_of(market, 484.75) == []
    (outcome,) = outcomes_of(market, 490.0)
    assert outcome["ts_event_ns"] == OPEN_NS + 485 * NS
    assert [outcome[f"outcome_{s}s"] for s in (120, 240, 480)] == ["CHOP"] * 3
    assert outcome["ts_passage_ns"] is None


def test_a_halt_censors_the_horizons_that_have_not_passed() -> None:
    market = Market()
    quote(market, 1.0, 6001.0)
    hold(market, 5.0, 200.0, 6000.25)
    market.add(topics.FUTURES_STATUS, 130 * NS, action="HALT")
    (outcome,) = outcomes_of(market, 150.0)
    assert [outcome[f"outcome_{s}s"] for s in (120, 240, 480)] == ["CHOP", "CENSORED", "CENSORED"]
    assert outcome["ts_event_ns"] == OPEN_NS + 130 * NS


def test_silence_of_es_censors() -> None:
    market = Market()
    quote(market, 1.0, 6001.0)
    quote(market, 5.0, 6000.25)
    quote(market, 100.0, 6000.25)
    first = outcomes_of(market, 101.0)[0]
    assert first["ts_event_ns"] == OPEN_NS + 65 * NS + SNAP_NS
    assert first["outcome_120s"] == "CENSORED"


def test_no_label_is_said_before_it_is_known() -> None:
    """Leakage is impossible by construction: cutting the log off after a label's time leaves the label as it is."""
    market = Market()
    quote(market, 1.0, 6001.0)
    for n in range(40):
        quote(market, 5.0 + 7 * n, 6000.25 if n % 3 else 5997.5 if n % 2 else 6003.0)
    every = to_rows(market.output(300.0).outcomes)
    assert len(every) > 5
    for outcome in every:
        known_s = (outcome["ts_event_ns"] - OPEN_NS) / NS
        assert outcome["ts_event_ns"] >= (outcome["ts_passage_ns"] or 0)
        assert outcome in to_rows(market.output(known_s).outcomes)
        assert outcome["episode_id"] not in {
            row["episode_id"] for row in to_rows(market.output(known_s - 0.25).outcomes)
        }
