"""The contracts to listen to."""

from __future__ import annotations

import datetime as dt

import pytest

from common.errors import ConfigError
from producers.massive.strikes import CONTRACTS_MAX, StrikeWindow, day_name, expiries
from producers.massive.symbols import parse_option_symbol


def ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1_000_000_000


NOON = ns("2025-06-03T16:00")


def strikes(window: StrikeWindow, now_ns: int = NOON) -> set[float]:
    return {parse_option_symbol(param[2:]).strike_milli / 1_000 for param in window.subscriptions(now_ns)}


def test_nothing_is_wanted_before_spot_is_known() -> None:
    assert StrikeWindow("SPY", 5.0).subscriptions(NOON) == frozenset()


def test_trades_and_quotes_of_calls_and_puts_of_two_expiries_are_wanted() -> None:
    window = StrikeWindow("SPY", 5.0)
    window.follow(597_340)
    wanted = window.subscriptions(NOON)
    for symbol in ("O:SPY250603C00597000", "O:SPY250603P00597000", "O:SPY250604C00597000", "O:SPY250604P00597000"):
        assert {f"T.{symbol}", f"Q.{symbol}"} <= wanted
    assert len(wanted) == 2 * 2 * 2 * len(strikes(window))


def test_every_strike_in_range_is_there_wherever_spot_goes() -> None:
    window = StrikeWindow("SPY", 5.0)
    for step in range(3_000):
        spot_milli = 597_000 + (step * 7_919) % 23_000
        window.follow(spot_milli)
        need = {k for k in range(560, 660) if abs(k * 1_000 - spot_milli) <= 5_000}
        assert need <= strikes(window)
        assert len(window.subscriptions(NOON)) <= 2 * CONTRACTS_MAX


def test_strikes_are_subscribed_before_spot_needs_them() -> None:
    window = StrikeWindow("SPY", 5.0)
    window.follow(597_000)
    before = window.subscriptions(NOON)
    for spot_milli in range(597_000, 598_000, 10):
        window.follow(spot_milli)
    need = {k for k in range(560, 660) if abs(k - 597.99) <= 5}
    assert window.subscriptions(NOON) == before
    assert need <= strikes(window)


def test_a_spot_that_swings_about_a_strike_changes_nothing() -> None:
    window = StrikeWindow("SPY", 5.0)
    changes = set()
    for step in range(200):
        window.follow(599_000 + (900 if step % 2 else -900))
        changes.add(window.subscriptions(NOON))
    assert len(changes) <= 2


def test_what_spot_left_far_behind_is_given_up() -> None:
    window = StrikeWindow("SPY", 5.0)
    window.follow(597_000)
    window.follow(617_000)
    assert min(strikes(window)) == 610
    assert max(strikes(window)) == 624


@pytest.mark.parametrize(
    ("now", "days"),
    [
        ("2025-06-03T13:30", ["2025-06-03", "2025-06-04"]),
        ("2025-06-03T20:14", ["2025-06-03", "2025-06-04"]),
        ("2025-06-03T20:15", ["2025-06-04", "2025-06-05"]),
        ("2025-06-06T20:30", ["2025-06-09", "2025-06-10"]),
        ("2025-07-03T17:10", ["2025-07-03", "2025-07-07"]),
        ("2025-07-03T17:16", ["2025-07-07", "2025-07-08"]),
        ("2025-06-19T15:00", ["2025-06-20", "2025-06-23"]),
    ],
)
def test_expiries_follow_the_calendar_to_the_options_close(now: str, days: list[str]) -> None:
    assert [day_name(day) for day in expiries(ns(now))] == days


def test_a_range_beyond_the_vendors_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="STRIKE_RANGE 60 needs"):
        StrikeWindow("SPY", 60.0)
    StrikeWindow("SPY", 50.0)
