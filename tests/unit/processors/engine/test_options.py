"""A trade's sign, price and effect on the dealers (DESIGN §4.7, plan §5.3, core.md §8).

Spec: plan 5.3; core FuelEngine.
"""

from __future__ import annotations

import itertools
import math

import pytest

from processors.engine import options
from processors.engine.blackscholes import delta, gamma, implied_volatility, price
from processors.engine.contracts import DELTA, GAMMA, PREMIUM, SIGNED, VOLUME
from tests.support.option_book import BUY, CALL, MID, PUT, SELL, OptionBook

MULTIPLIER = 100
YEARS = 5 * 3600 / (365 * 86_400)  # noon to 21:00 UTC


def flow(book: OptionBook, strike: float = 600.0, right: int = CALL) -> list[int]:
    slot = next(
        n
        for n in range(int(book.op.scalars["contract_count"][0]))
        if book.op.contract["strike_milli"][n] == strike * 1000 and book.op.contract["is_put"][n] == right
    )
    return [int(x) for x in book.op.flow.total[slot]]


def sign_of(book: OptionBook, **trade: object) -> int:
    """Sign that the next trade of the 600 call gets: minus the change of the dealers' position, per contract."""
    before = int(book.contract(600.0, CALL)["position"]) if book.op.scalars["contract_count"][0] else 0
    book.trade(600.0, CALL, size=1, **trade)  # type: ignore[arg-type]
    return before - int(book.contract(600.0, CALL)["position"])


def test_a_customer_who_buys_leaves_the_dealers_short_by_size_times_gamma_times_100() -> None:
    book = OptionBook()
    book.greeks(600.0, CALL, iv=0.2)
    book.trade(600.0, CALL, price=1.5, size=10, aggressor=BUY, at_s=0.0)
    shares = -10 * MULTIPLIER
    expected_gamma = shares * gamma(600.0, 600.0, 0.2, YEARS)
    expected_delta = shares * delta(600.0, 600.0, 0.2, YEARS, True)
    got = flow(book)
    assert got[GAMMA] == round(expected_gamma * 1e9) and got[GAMMA] < 0
    assert got[DELTA] == round(expected_delta * 1e6) and got[DELTA] < 0
    assert (got[VOLUME], got[PREMIUM], got[SIGNED]) == (10, 15_000 * 10 * MULTIPLIER, 10)
    assert book.op.wall.total.sum() == got[GAMMA]
    assert book.contract(600.0, CALL)["position"] == -10


def test_a_customer_who_sells_a_put_leaves_the_dealers_long_gamma_and_short_delta() -> None:
    book = OptionBook()
    book.greeks(598.0, PUT, iv=0.2)
    book.trade(598.0, PUT, size=10, aggressor=SELL, at_s=0.0)
    got = flow(book, 598.0, PUT)
    assert got[GAMMA] == round(1000 * gamma(600.0, 598.0, 0.2, YEARS) * 1e9) > 0
    assert got[DELTA] == round(1000 * delta(600.0, 598.0, 0.2, YEARS, False) * 1e6) < 0
    assert book.contract(598.0, PUT)["position"] == 10


@pytest.mark.parametrize(
    ("paid", "sign"), [(1.10, 1), (1.11, 1), (1.09, 0), (1.05, 0), (1.01, 0), (1.00, -1), (0.99, -1)]
)
def test_a_fresh_quote_signs_at_its_edges_and_nothing_inside(paid: float, sign: int) -> None:
    book = OptionBook()
    book.quote(600.0, CALL, 1.00, 1.10)
    contrary = SELL if sign >= 0 else BUY
    assert sign_of(book, price=paid, aggressor=contrary) == sign


def test_the_engines_quote_comes_before_the_records_quote_aggressor_and_tick_rule() -> None:
    book = OptionBook()
    book.trade(600.0, CALL, price=2.00, aggressor=MID)
    assert sign_of(book, price=1.50) == -1  # a downtick, and nothing else is known
    assert sign_of(book, price=1.40, aggressor=BUY) == 1  # the record's aggressor against the tick
    assert sign_of(book, price=1.30, aggressor=BUY, bid=1.30, ask=1.40) == -1  # its quote against its aggressor
    book.quote(600.0, CALL, 1.10, 1.20, at_s=1.0)
    assert sign_of(book, price=1.20, aggressor=SELL, bid=1.20, ask=1.30) == 1  # the newest quote against all


def test_a_quote_signs_until_it_is_stale_and_never_before_it_was_made() -> None:
    for age_s, sign in ((5.0, 1), (5.000000001, -1), (-0.001, -1)):
        book = OptionBook()
        book.quote(600.0, CALL, 1.00, 1.10, at_s=0.0, event_s=0.0)
        assert sign_of(book, price=1.10, aggressor=SELL, at_s=10.0, event_s=age_s) == sign, age_s


def test_a_locked_or_crossed_quote_signs_nothing() -> None:
    for bid, ask in ((1.10, 1.10), (1.20, 1.10)):
        book = OptionBook()
        book.quote(600.0, CALL, bid, ask)
        assert sign_of(book, price=1.10, aggressor=SELL) == -1


def test_a_lone_ask_signs_what_lifts_it_and_an_empty_quote_nothing() -> None:
    book = OptionBook()
    book.quote(600.0, CALL, None, 1.10)
    assert sign_of(book, price=1.10, aggressor=SELL) == 1
    assert sign_of(book, price=1.09, aggressor=SELL) == 0
    book.quote(600.0, CALL, None, None, at_s=1.0)
    assert sign_of(book, price=1.10, aggressor=SELL) == -1


def test_the_tick_rule_keeps_its_sign_while_the_price_stands_and_begins_with_none() -> None:
    book = OptionBook()
    assert [sign_of(book, price=paid) for paid in (1.00, 1.00, 1.05, 1.05, 1.01, 1.01)] == [0, 0, 1, 1, -1, -1]


def test_a_multi_leg_trade_counts_as_volume_without_sign_and_moves_no_tick_rule() -> None:
    book = OptionBook()
    book.greeks(600.0, CALL, iv=0.2)
    book.trade(600.0, CALL, price=1.00)
    assert sign_of(book, price=5.00, aggressor=BUY, conditions=[232]) == 0
    assert sign_of(book, price=1.01) == 1
    assert flow(book)[VOLUME] == 12
    assert flow(book)[SIGNED] == 1
    assert book.op.scalars["unsigned"][0] == 2


def test_an_older_quote_does_not_replace_a_newer_one() -> None:
    book = OptionBook()
    book.quote(600.0, CALL, 1.00, 1.10, at_s=1.0)
    book.quote(600.0, CALL, 2.00, 2.10, at_s=1.1, event_s=0.9)
    assert book.contract(600.0, CALL)["ask_e4"] == 11_000


def test_a_snapshot_prices_until_it_is_too_old_and_never_before_it_was_taken() -> None:
    for age_s, known in ((0.0, True), (300.0, True), (300.000000001, False), (-0.000000001, False)):
        book = OptionBook()
        book.greeks(600.0, CALL, iv=0.2, at_s=0.0, event_s=0.0)
        book.trade(600.0, CALL, aggressor=BUY, at_s=400.0, event_s=age_s)
        assert (flow(book)[GAMMA] != 0) is known, age_s
        assert book.op.scalars["unpriced"][0] == (0 if known else 1)


def test_a_trade_that_came_late_is_priced_by_the_snapshot_before_it() -> None:
    book = OptionBook()
    book.greeks(600.0, CALL, iv=0.2, at_s=0.0)
    book.greeks(600.0, CALL, iv=0.4, at_s=60.0)
    book.trade(600.0, CALL, size=1, aggressor=BUY, at_s=61.0, event_s=0.0)
    assert flow(book)[GAMMA] == round(-MULTIPLIER * gamma(600.0, 600.0, 0.2, YEARS) * 1e9)


def test_a_snapshot_without_values_leaves_the_last_volatility_and_open_interest() -> None:
    book = OptionBook()
    book.greeks(600.0, CALL, iv=0.2, at_s=0.0, gamma=0.05, open_interest=70)
    book.greeks(600.0, CALL, at_s=1.0)
    known = book.contract(600.0, CALL)
    assert (known["iv"], known["open_interest"], known["iv_ts_ns"] < known["snapshot_ts_ns"]) == (0.2, 70, True)
    assert math.isnan(known["gamma"])
    book.greeks(600.0, CALL, iv=0.9, at_s=2.0, event_s=0.5)
    assert known["iv"] == 0.2


def test_without_a_snapshot_the_quotes_middle_gives_the_volatility_and_that_is_flagged() -> None:
    book = OptionBook()
    middle = price(600.0, 601.0, 0.3, YEARS, True)
    bid = math.floor(middle * 100) / 100
    book.quote(601.0, CALL, bid, bid + 0.02)
    book.trade(601.0, CALL, price=bid + 0.02, size=1, at_s=0.0)
    sigma = implied_volatility(bid + 0.01, 600.0, 601.0, YEARS, True)
    assert sigma == pytest.approx(0.3, abs=0.02)
    assert flow(book, 601.0)[GAMMA] == pytest.approx(-MULTIPLIER * gamma(600.0, 601.0, sigma, YEARS) * 1e9, rel=1e-9)
    assert book.op.scalars["implied_ts_ns"][0] == book.op.scalars["last_event_ns"][0]
    assert book.contract(601.0, CALL)["sigma"] == sigma


def test_a_price_by_snapshot_is_not_flagged_as_implied() -> None:
    book = OptionBook()
    book.greeks(600.0, CALL, iv=0.2)
    book.quote(600.0, CALL, 1.0, 1.1)
    book.trade(600.0, CALL, price=1.1)
    assert book.op.scalars["implied_ts_ns"][0] == 0
    assert book.op.scalars["priced_ts_ns"][0] == book.op.scalars["last_event_ns"][0]


def test_what_cannot_be_priced_is_volume_premium_and_position_only() -> None:
    no_spot = OptionBook(spot=0.0)
    no_spot.greeks(600.0, CALL, iv=0.2)
    no_quote = OptionBook()
    no_time_value = OptionBook()
    no_time_value.quote(500.0, CALL, 99.98, 100.02)
    for book, strike, paid in ((no_spot, 600.0, 1.0), (no_quote, 600.0, 1.0), (no_time_value, 500.0, 100.02)):
        book.trade(strike, CALL, price=paid, size=2, aggressor=BUY)
        assert flow(book, strike) == [2, round(paid * 10_000) * 2 * MULTIPLIER, 0, 0, 2]
        assert not book.op.wall.total.any()
        assert book.op.scalars["unpriced"][0] == 1
        assert book.contract(strike, CALL)["position"] == -2


def test_only_expirations_within_fuel_max_dte_count() -> None:
    book = OptionBook()
    for days in (0, 1):
        book.greeks(600.0, CALL, iv=0.2, days=days)
        book.trade(600.0, CALL, aggressor=BUY, days=days)
    assert book.contract(600.0, CALL)["volume"] == 10
    assert book.contract(600.0, CALL, days=1)["volume"] == 0
    assert book.op.flow.total[:, VOLUME].sum() == 10
    wider = OptionBook(FUEL_MAX_DTE_DAYS=1)
    for days in (0, 1, 2, -1):
        wider.trade(600.0, CALL, aggressor=BUY, days=days)
    assert wider.op.flow.total[:, VOLUME].sum() == 20


def test_time_to_expiry_is_not_less_than_a_minute() -> None:
    book = OptionBook()
    book.greeks(600.0, CALL, iv=0.2, at_s=5 * 3600.0 - 10)
    book.trade(600.0, CALL, size=1, aggressor=BUY, at_s=5 * 3600.0 - 1)
    assert flow(book)[GAMMA] == round(-MULTIPLIER * gamma(600.0, 600.0, 0.2, 60 / (365 * 86_400)) * 1e9)


def test_an_absurd_gamma_is_held_within_64_bits() -> None:
    book = OptionBook(EXPIRY_MIN_S=1e-6)
    book.greeks(600.0, CALL, iv=0.001, at_s=5 * 3600.0)
    book.trade(600.0, CALL, size=1_000_000, aggressor=BUY, at_s=5 * 3600.0)
    assert flow(book)[GAMMA] == -(10**16)


def test_every_record_is_a_sign_of_life() -> None:
    book = OptionBook()
    seen = []
    book.quote(600.0, CALL, 1.0, 1.1, at_s=1.0)
    seen.append(int(book.op.scalars["last_event_ns"][0]))
    book.greeks(600.0, CALL, at_s=2.0)
    seen.append(int(book.op.scalars["last_event_ns"][0]))
    book.trade(600.0, CALL, at_s=3.0, days=9)
    seen.append(int(book.op.scalars["last_event_ns"][0]))
    assert [b - a for a, b in itertools.pairwise(seen)] == [10**9, 10**9]


def test_the_room_for_a_contract_is_known_before_it_is_needed() -> None:
    book = OptionBook()
    capacity = len(book.op.contract)
    for k in range(capacity):
        assert options.has_contract_room(book.op)
        book.quote(1.0 + k, CALL, 1.0, 1.1)
    assert not options.has_contract_room(book.op)
