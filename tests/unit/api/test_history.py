"""One level's past, from table and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.expressions import BooleanExpression
from pyiceberg.expressions.visitors import bind
from pyiceberg.io.pyarrow import expression_to_pyarrow

from api import models
from api.history import HistoryReader, decode_cursor, encode_cursor
from api.live import LiveSignals
from api.problems import NotFoundError
from common.errors import InputError
from lakehouse.tables import table_schema
from tests.support.signal_rows import SCHEMA, committed_rows, signal_snaps, snap_ns, snap_rows


class Stored:
    """A table of signals that counts what is read of it."""

    def __init__(self, rows: Sequence[dict[str, Any]] | None) -> None:
        self.table = None if rows is None else committed_rows(rows)
        self.cells = 0

    def scan(self, row_filter: BooleanExpression, columns: Sequence[str]) -> pa.Table | None:
        if self.table is None:
            return None
        bound = bind(table_schema(SCHEMA), row_filter, case_sensitive=True)
        found = self.table.filter(expression_to_pyarrow(bound)).select(list(columns))
        self.cells += found.num_rows * found.num_columns
        return found


def stored_rows(numbers: Sequence[int], **fields: Any) -> list[dict[str, Any]]:
    return [row for number in numbers for row in snap_rows(number, **fields)]


def reader(stored: Sequence[int] | None, live: Sequence[int], *, from_log_begin: bool = False) -> HistoryReader:
    memory = LiveSignals(1_000)
    memory.start(from_log_begin=from_log_begin)
    if live:
        memory.append(signal_snaps(*live))
    return HistoryReader(Stored(None if stored is None else stored_rows(stored)).scan, memory)


def numbers_of(points: Sequence[dict[str, Any]]) -> list[int]:
    return [(point["ts"] * 1_000_000 - snap_ns(0)) // (snap_ns(1) - snap_ns(0)) for point in points]


def test_committed_and_live_points_join_without_a_double() -> None:
    page = reader(range(10), range(6, 14)).page("VWAP", None, None, 100)
    assert numbers_of(page.points) == list(range(14))
    assert page.complete
    assert page.next_cursor is None
    assert all(point["level"]["id"] == "VWAP" for point in page.points)


def test_a_point_is_the_same_from_the_table_and_from_memory() -> None:
    (from_table,) = reader([3], []).page("VWAP", snap_ns(3), snap_ns(3), 1).points
    (from_memory,) = reader([], [3], from_log_begin=True).page("VWAP", snap_ns(3), snap_ns(3), 1).points
    assert from_table == from_memory
    models.HistoryPoint.model_validate(from_table)


def test_rows_published_twice_come_once() -> None:
    memory = LiveSignals(10)
    twice = HistoryReader(Stored(stored_rows([0, 1, 1, 0, 2])).scan, memory)
    assert numbers_of(twice.page("VWAP", snap_ns(0), None, 10).points) == [0, 1, 2]


def test_a_hole_between_table_and_memory_ends_the_page_and_is_said() -> None:
    page = reader(range(5), range(8, 12)).page("VWAP", snap_ns(0), None, 100)
    assert numbers_of(page.points) == [0, 1, 2, 3, 4]
    assert not page.complete


def test_without_a_table_memory_answers_when_it_began_with_the_log() -> None:
    assert numbers_of(reader(None, range(4), from_log_begin=True).page("VWAP", None, None, 9).points) == [0, 1, 2, 3]
    behind = reader(None, range(4)).page("VWAP", None, None, 9)
    assert behind.points == []
    assert not behind.complete


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [(2, 4, [2, 3, 4]), (8, 9, [8, 9]), (4, 8, [4, 5, 6, 7, 8]), (11, 99, [11]), (50, 60, [])],
)
def test_both_ends_are_inclusive(begin: int, end: int, expected: list[int]) -> None:
    page = reader(range(7), range(5, 12)).page("VWAP", snap_ns(begin), snap_ns(end), 100)
    assert numbers_of(page.points) == expected


@settings(max_examples=40, deadline=None)
@given(
    stored=st.integers(0, 12),
    overlap=st.integers(1, 4),
    live=st.integers(0, 12),
    limit=st.integers(1, 7),
    begin=st.integers(0, 10),
)
def test_pages_together_are_the_whole(stored: int, overlap: int, live: int, limit: int, begin: int) -> None:
    first_live = max(0, stored - overlap)
    history = reader(range(stored), range(first_live, first_live + live), from_log_begin=first_live == 0)
    expected = [n for n in range(max(stored, first_live + live if live else 0)) if n >= begin]
    cursor, points = None, []
    while True:
        page = history.page("VWAP", snap_ns(begin), None, limit, cursor) if expected else None
        if page is None:
            break
        points += page.points
        assert len(page.points) <= limit
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.points) == limit
    assert numbers_of(points) == expected


def test_without_from_a_page_is_the_last_hour() -> None:
    per_hour = 3600 * 4
    history = reader([0, 1, per_hour, per_hour + 1], [per_hour + 1, per_hour + 2])
    assert numbers_of(history.page("VWAP", None, None, 100).points) == [per_hour, per_hour + 1, per_hour + 2]
    assert numbers_of(history.page("VWAP", None, snap_ns(1), 100).points) == [0, 1]


def test_a_long_range_reads_little_of_the_table() -> None:
    stored = Stored(stored_rows(range(2_000)))
    page = HistoryReader(stored.scan, LiveSignals(10)).page("VWAP", snap_ns(0), None, 10)
    assert numbers_of(page.points) == list(range(10))
    assert stored.cells < 2_000 + 20 * len(SCHEMA.fields)


def test_an_unknown_level_is_not_found_and_the_known_ones_are_named() -> None:
    with pytest.raises(NotFoundError, match="'ROUND_999'") as caught:
        reader(range(2), range(1, 3)).page("ROUND_999", None, None, 10)
    assert caught.value.hint == "Known levels: ROUND_471, ROUND_472, VWAP"


def test_a_known_level_without_points_in_the_range_is_an_empty_page() -> None:
    page = reader(range(2), []).page("VWAP", snap_ns(50), snap_ns(60), 10)
    assert page.points == []
    assert page.next_cursor is None


def test_times_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InputError, match="is after to="):
        reader([0], []).page("VWAP", snap_ns(2), snap_ns(1), 10)


@pytest.mark.parametrize("cursor", ["", "x", "!!!!", "AAAA", encode_cursor(5, "OTHER"), encode_cursor(5, "VWAP") + "é"])
def test_a_foreign_cursor_is_refused_by_value(cursor: str) -> None:
    with pytest.raises(InputError, match="cursor="):
        reader([0], []).page("VWAP", None, None, 10, cursor)


@given(st.integers(0, 2**63 - 2), st.text(min_size=1, max_size=30))
def test_a_cursor_comes_back_as_it_was(ts_ns: int, level_id: str) -> None:
    assert decode_cursor(encode_cursor(ts_ns, level_id), level_id) == ts_ns
