"""The table of option contracts: found again, sorted, grown, cleaned up (DESIGN §4.2, §4.7)."""

from __future__ import annotations

import random

import numpy as np

from processors.engine import contracts, options
from processors.engine.state import _from_leaves, _leaves
from tests.support.option_book import BUY, CALL, DAY, NOON_NS, PUT, OptionBook, S

CLOSE_NS = (DAY * 86_400 + 21 * 3600) * S


def keys(book: OptionBook) -> list[tuple[int, int, int]]:
    count = int(book.op.scalars["contract_count"][0])
    listed = book.op.contract[book.op.order[:count]]
    return [(int(c["strike_milli"]), int(c["exp_days"]), int(c["is_put"])) for c in listed]


def filled_book(count: int, seed: int = 1) -> tuple[OptionBook, list[tuple[int, int, int]]]:
    rng = random.Random(seed)
    wanted = [(400_000 + 500 * k, DAY + d, right) for k in range(count // 4) for d in (0, 1) for right in (CALL, PUT)]
    rng.shuffle(wanted)
    book = OptionBook(W_wall=300.0)
    for strike, day, right in wanted:
        book.quote(strike / 1000, right, 1.0, 1.1, days=day - DAY)
    return book, wanted


def test_contracts_are_listed_by_strike_expiration_and_right() -> None:
    book, wanted = filled_book(400)
    assert keys(book) == sorted(wanted)


def test_a_contract_is_found_again_and_not_made_twice() -> None:
    book, wanted = filled_book(400)
    for strike, day, right in wanted:
        book.quote(strike / 1000, right, 2.0, 2.1, at_s=1.0, days=day - DAY)
    assert book.op.scalars["contract_count"][0] == len(wanted)
    assert set(book.op.contract["bid_e4"][: len(wanted)].tolist()) == {20_000}


def test_growth_keeps_contracts_flows_and_walls() -> None:
    book = OptionBook()
    for k in range(40):
        book.greeks(580.0 + k, CALL, iv=0.2)
        book.trade(580.0 + k, CALL, size=k + 1, aggressor=BUY)
    book.snap(2.0)
    before = [book.near(580.0 + k) for k in range(40)]
    larger = contracts.grown(book.op)
    assert len(larger.contract) == 2 * len(book.op.contract)
    grown_book = book
    grown_book.op = larger
    assert [book.near(580.0 + k) for k in range(40)] == before
    book.trade(580.0, CALL, size=5, aggressor=BUY, at_s=2.0)
    book.snap(3.0)
    assert larger.scalars["contract_count"][0] == 40
    assert book.contract(580.0, CALL)["volume"] == 6
    assert book.near(578.0)[1] == before[0][1] - 2 - 3 + 5


def test_a_table_that_grew_computes_what_a_large_one_does() -> None:
    small, large = OptionBook(), OptionBook()
    large.op = contracts.grown(contracts.grown(large.op))
    for book in (small, large):
        for k in range(700):
            book.greeks(300.0 + k, CALL, iv=0.5, open_interest=k)
            book.trade(300.0 + k, CALL, size=k + 1, aggressor=BUY, at_s=1.0 + k / 100)
        book.snap(9.0)
    assert len(small.op.contract) == 1024 and len(large.op.contract) == 2048
    assert small.op.scalars.tobytes() == large.op.scalars.tobytes()
    assert small.flow_rows[: small.flow_count].tobytes() == large.flow_rows[: large.flow_count].tobytes()


def test_a_session_begins_without_flows_positions_and_volumes_but_with_quotes_and_snapshots() -> None:
    book = OptionBook()
    book.quote(600.0, CALL, 1.0, 1.1, days=1)
    book.greeks(600.0, CALL, iv=0.2, open_interest=50, days=1)
    book.greeks(600.0, CALL, iv=0.2)
    book.trade(600.0, CALL, aggressor=BUY)
    book.snap(1.0)
    options.begin_session(book.op, NOON_NS + 60 * S)
    later = book.contract(600.0, CALL, days=1)
    assert (later["bid_e4"], later["iv"], later["open_interest"]) == (10_000, 0.2, 50)
    traded = book.contract(600.0, CALL)
    assert (traded["position"], traded["volume"], traded["trade_e4"]) == (0, 0, 0)
    book.snap(61.0)
    assert book.near(600.0) == (0.0, 0)
    assert book.op.scalars["strike_count"][0] == 0


def test_expired_contracts_are_forgotten_and_the_rest_still_found() -> None:
    book, wanted = filled_book(400)
    options.begin_session(book.op, CLOSE_NS + 1)
    kept = sorted(key for key in wanted if key[1] > DAY)
    assert keys(book) == kept
    for strike, day, right in kept:
        book.quote(strike / 1000, right, 2.0, 2.1, at_s=1.0, days=day - DAY)
    assert book.op.scalars["contract_count"][0] == len(kept)
    assert book.contract(400.0, PUT, days=1)["bid_e4"] == 20_000


def test_a_contract_that_expires_at_the_open_itself_stays() -> None:
    book, wanted = filled_book(8)
    options.begin_session(book.op, CLOSE_NS)
    assert keys(book) == sorted(wanted)


def test_an_expired_contract_stays_until_its_flow_row_was_taken_back() -> None:
    book = OptionBook()
    book.trade(600.0, CALL, aggressor=BUY)
    book.snap(1.0)
    options.begin_session(book.op, CLOSE_NS + 1)
    assert keys(book) == [(600_000, DAY, CALL)]
    book.snap(6 * 3600.0)
    assert book.flow_rows["volume"][: book.flow_count].tolist() == [10, 0]
    options.begin_session(book.op, CLOSE_NS + 2)
    assert keys(book) == []


def test_the_arrays_survive_the_states_form() -> None:
    book, _ = filled_book(100)
    named = {name: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape).copy() for name, a in _leaves(book.op)}
    assert "flow.total" in named and "contract" in named
    again = _from_leaves(contracts.empty(book.config), named)
    for (name, one), (_, other) in zip(_leaves(book.op), _leaves(again), strict=True):
        assert one.tobytes() == other.tobytes(), name
    book.op = again
    book.trade(400.0, CALL, aggressor=BUY)
    assert book.contract(400.0, CALL)["volume"] == 10


def test_records_of_the_table_have_no_padding() -> None:
    for dtype in (contracts.CONTRACT, contracts.SCALARS):
        names = dtype.names or ()
        assert dtype.itemsize == 8 * len(names) > 0
