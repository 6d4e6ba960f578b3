"""Requests for levels, as far as they go without a log."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from common.avro import decode_row, encode_row
from common.config import MOST_HOTZONES, NS_PER_S
from common.errors import InputError
from common.schemas import load
from common.topics import REQUESTS
from processors.engine.hotzones import add_hotzone, configured, remove_hotzone
from producers.hotzones import BEHIND_NS, E4, Asked, active, app, changes, market_ns, price_e4, rows_of, shown

ASKED = Asked("SPY", "me", 10 * NS_PER_S, 11 * NS_PER_S)


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf"), 1e6, 600.00005])
def test_what_is_no_price_of_a_level_is_refused(price: float) -> None:
    with pytest.raises(InputError, match="is no price of a level"):
        price_e4(price)


@pytest.mark.parametrize("price", ["-5", "600,5", "", "nan"])
def test_a_price_that_is_none_is_named_before_anything_is_asked(price: str) -> None:
    result = CliRunner().invoke(app, ["add", "600.5", price])
    assert isinstance(result.exception, InputError)
    assert "is no price of a level" in str(result.exception) and price in str(result.exception)


def test_prices_of_four_decimals_survive() -> None:
    assert [price_e4(price) for price in (600.1, 676.5, 0.0001, 599.9999)] == [6_001_000, 6_765_000, 1, 5_999_999]
    assert shown([6_001_000, 6_765_000, 6_000_000, 5_999_999]) == "600.1, 676.5, 600, 599.9999"


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 90)), max_size=200))
def test_the_list_is_what_the_engine_makes_of_the_requests(asked: list[tuple[bool, int]]) -> None:
    zones, count = configured((600.0,))
    rows = []
    for adding, price in asked:
        change = add_hotzone if adding else remove_hotzone
        count = change(zones, count, price * E4)
        kind = "HOTZONE_ADD" if adding else "HOTZONE_REMOVE"
        rows.append({"underlying": "SPY", "kind": kind, "price": float(price)})
    assert active((600.0,), rows, "SPY") == zones[:count].tolist()


def test_requests_of_other_complexes_do_not_count() -> None:
    assert active((), [{"underlying": "QQQ", "kind": "HOTZONE_ADD", "price": 500.0}], "SPY") == []


def test_only_what_changes_is_asked_for() -> None:
    assert changes("HOTZONE_ADD", [601.0, 600.0, 601.0], [6_000_000]) == [6_010_000]
    assert changes("HOTZONE_REMOVE", [600.0], [6_000_000]) == [6_000_000]
    with pytest.raises(InputError, match="601 is not set"):
        changes("HOTZONE_REMOVE", [600.0, 601.0], [6_000_000])
    full = [6_000_000 + n * E4 for n in range(MOST_HOTZONES)]
    with pytest.raises(InputError, match="room for"):
        changes("HOTZONE_ADD", [500.0], full)


@pytest.mark.parametrize(
    ("reached_ns", "promised_ns", "last_ns", "expected"),
    [
        (100, 200, 0, 100),
        (None, 200, 0, 200),
        (100, 101 + BEHIND_NS, 0, 101 + BEHIND_NS),
        (100, 200, 150, 150),
        (300, 200, 0, 300),
    ],
)
def test_a_request_has_the_time_that_the_worker_has_reached(
    reached_ns: int | None, promised_ns: int, last_ns: int, expected: int
) -> None:
    assert market_ns(reached_ns, promised_ns, last_ns) == expected


def test_a_request_is_a_record_of_its_schema() -> None:
    (row,) = rows_of("HOTZONE_ADD", [6_005_000], ASKED, 7)
    schema = load(REQUESTS)
    again = decode_row(schema, encode_row(schema, row, 1), lambda _: schema)
    assert {name: again[name] for name in row} == row
    assert (again["price"], again["seq"], again["ts_effective_ns"]) == (600.5, 7, 10 * NS_PER_S)


def test_the_same_request_twice_is_two_events() -> None:
    rows = rows_of("HOTZONE_ADD", [6_005_000, 6_006_000], ASKED, 0) + rows_of("HOTZONE_ADD", [6_005_000], ASKED, 4)
    assert len({row["event_id"] for row in rows}) == 3
    assert all(np.iinfo(np.int64).min <= row["event_id"] <= np.iinfo(np.int64).max for row in rows)
