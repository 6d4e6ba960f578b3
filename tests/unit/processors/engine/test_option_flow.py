"""Rows of options.flow.v1: what traded within W_g, and what has left it (DESIGN §3)."""

from __future__ import annotations

import numpy as np
import pytest

from processors.engine import option_flow
from processors.engine.blackscholes import delta, gamma
from tests.support.option_book import BUY, CALL, DAY, NOON_NS, PUT, SNAP_NS, OptionBook, S


def rows_at(book: OptionBook, at_s: float) -> list[tuple[float, int, int]]:
    """Strike, right and volume of the rows that the snap wrote."""
    first = book.flow_count
    book.snap(at_s)
    written = book.flow_rows[first : book.flow_count]
    assert (written["ts_event_ns"] == NOON_NS + round(at_s * S)).all()
    return [(float(r["strike"]), int(r["right"]), int(r["volume"])) for r in written]


def test_rows_are_written_when_the_window_changed_and_once_with_zeros_for_what_left() -> None:
    book = OptionBook()
    assert rows_at(book, 0.5) == []
    book.trade(600.0, CALL, size=3, at_s=1.0)
    book.trade(601.0, PUT, size=4, at_s=2.0)
    assert rows_at(book, 2.0) == [(600.0, CALL, 3), (601.0, PUT, 4)]
    assert rows_at(book, 2.25) == []
    book.trade(600.0, CALL, size=5, at_s=3.0)
    assert rows_at(book, 3.0) == [(600.0, CALL, 8), (601.0, PUT, 4)]
    assert rows_at(book, 61.0) == [(600.0, CALL, 5), (601.0, PUT, 4)]
    assert rows_at(book, 62.0) == [(600.0, CALL, 5), (601.0, PUT, 0)]
    assert rows_at(book, 63.0) == [(600.0, CALL, 0)]
    assert rows_at(book, 64.0) == []


def test_a_row_has_the_windows_sums_in_the_topics_units() -> None:
    book = OptionBook()
    book.greeks(601.0, PUT, iv=0.2)
    book.trade(601.0, PUT, price=1.23, size=4, aggressor=BUY, at_s=0.0)
    book.snap(0.0)
    row = book.flow_rows[0]
    years = 5 * 3600 / (365 * 86_400)
    assert (row["exp_date"], row["premium"]) == (DAY, 4 * 123.0)
    assert row["net_dealer_gamma"] == pytest.approx(-400 * gamma(600.0, 601.0, 0.2, years), abs=1e-9)
    assert row["net_dealer_delta"] == pytest.approx(-400 * delta(600.0, 601.0, 0.2, years, False), abs=1e-6)


def test_the_batch_is_framed_per_snap_and_ordered_by_expiration_strike_and_right() -> None:
    book = OptionBook(FUEL_MAX_DTE_DAYS=1)
    for strike, right, days in ((601.0, PUT, 0), (600.0, CALL, 1), (601.0, CALL, 0), (602.0, CALL, 0)):
        book.trade(strike, right, days=days)
    book.snap(1.0)
    book.trade(600.0, CALL, days=1, at_s=2.0)
    book.snap(2.0)
    batch = option_flow.to_flow_batch(book.flow_rows[: book.flow_count], "SPY")
    assert list(batch.columns) == [field.name for field in option_flow.SCHEMA.fields]
    assert {name: column.values.dtype for name, column in batch.columns.items()} == {
        field.name: np.dtype(np.uint8) if field.kind == "string" else field.dtype for field in option_flow.SCHEMA.fields
    }
    assert batch["ts_event_ns"].tolist() == [NOON_NS + S] * 4 + [NOON_NS + 2 * S] * 4
    assert batch["snap_row"].tolist() == [0, 1, 2, 3] * 2
    assert batch["snap_rows"].tolist() == [4] * 8
    named = list(zip(batch["exp_date"], batch["strike"], batch["right"], strict=True))
    assert named[:4] == [
        (DAY, 601.0, CALL), (DAY, 601.0, PUT), (DAY, 602.0, CALL), (DAY + 1, 600.0, CALL)
    ]  # fmt: skip


def test_no_rows_make_an_empty_batch() -> None:
    batch = option_flow.to_flow_batch(np.zeros(0, option_flow.FLOW_ROW), "SPY")
    assert batch.length == 0


def test_the_room_for_a_snaps_rows_is_that_of_the_contracts_in_play() -> None:
    book = OptionBook()
    for k in range(3):
        book.trade(600.0 + k, CALL)
    rows = np.zeros(4, option_flow.FLOW_ROW)
    assert option_flow.has_flow_room(book.op, rows, 1)
    assert not option_flow.has_flow_room(book.op, rows, 2)
    assert option_flow.flow_rows(book.op, NOON_NS + SNAP_NS, rows, 1) == 4
