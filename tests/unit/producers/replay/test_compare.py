"""Published rows against computed ones: cut anywhere, the first difference is found and named."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from common import topics
from common.columns import Batch, Column
from producers.replay.compare import Comparison, Difference
from tests.support.signal_rows import signal_batch, snap_ns, snap_rows

ROWS = [row for number in range(20) for row in snap_rows(number, note="quiet" if number % 2 else "äöü")]


def pieces(rows: Sequence[dict[str, Any]], rng: random.Random) -> Iterator[Batch]:
    at = 0
    while at < len(rows):
        count = rng.randint(1, 9)
        yield signal_batch(rows[at : at + count])
        at += count


def compared(
    published: Sequence[dict[str, Any]], computed: Sequence[dict[str, Any]], seed: int = 0, *, may_lag: bool = True
) -> tuple[Comparison, Difference | None]:
    rng = random.Random(seed)
    comparison = Comparison(topics.SIGNALS, pieces(published, rng), may_lag=may_lag)
    for batch in pieces(computed, rng):
        found = comparison.take(batch)
        if found is not None:
            return comparison, found
    return comparison, comparison.rest(computed[-1]["ts_event_ns"])


def with_change(index: int, **fields: Any) -> list[dict[str, Any]]:
    return [{**row, **fields} if number == index else row for number, row in enumerate(ROWS)]


@pytest.mark.parametrize("seed", range(10))
def test_equal_rows_are_equal_however_they_are_cut(seed: int) -> None:
    comparison, found = compared(ROWS, ROWS, seed)
    assert found is None
    assert (comparison.rows, comparison.snaps, comparison.behind) == (60, 20, 0)
    assert comparison.published_digest.hexdigest() == comparison.computed_digest.hexdigest()


@pytest.mark.parametrize(
    ("field", "value"),
    [("signal", "BREAK"), ("break_score_smooth", 50.00000000000001), ("note", "loud"), ("bid", None), ("snap_rows", 9)],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_first_row_that_differs_is_named_with_both_values(field: str, value: Any, seed: int) -> None:
    comparison, found = compared(with_change(31, **{field: value}), ROWS, seed)
    assert found is not None
    assert (found.column, found.published) == (field, value)
    assert found.computed != value
    assert (found.ts_event_ns, found.level_id) == (snap_ns(10), "ROUND_472")
    assert comparison.rows == 31
    assert comparison.published_digest.hexdigest() != comparison.computed_digest.hexdigest()


@pytest.mark.parametrize("seed", range(3))
def test_a_row_that_only_one_side_has_is_named(seed: int) -> None:
    _, found = compared(ROWS[:31] + ROWS[32:], ROWS, seed)
    assert found == Difference(topics.SIGNALS, snap_ns(10), "ROUND_472", None, None, "a row")
    _, found = compared(ROWS, ROWS[:31] + ROWS[32:], seed)
    assert found == Difference(topics.SIGNALS, snap_ns(10), "ROUND_472", None, "a row", None)


def test_rows_not_published_yet_are_counted_where_a_stage_may_lag_and_missing_where_not() -> None:
    comparison, found = compared(ROWS[:45], ROWS)
    assert (found, comparison.rows, comparison.behind) == (None, 45, 15)
    _, found = compared(ROWS[:45], ROWS, may_lag=False)
    assert found is not None
    assert (found.published, found.computed) == (None, "a row")


def test_rows_published_after_the_last_marker_are_none_of_this_run() -> None:
    _, found = compared(ROWS, ROWS[:45])
    assert found is None


def test_numbers_are_compared_bit_by_bit_and_what_stands_under_a_null_is_not() -> None:
    def batch(score: float, bid: float) -> Batch:
        plain = signal_batch(snap_rows(0, ["VWAP"]))
        columns = {
            **plain.columns,
            "break_score_smooth": Column(np.array([score])),
            "bid": Column(np.array([bid]), np.array([False])),
        }
        return Batch(plain.name, 1, columns)

    same = Comparison(topics.SIGNALS, iter([batch(float("nan"), 1.0)]), may_lag=True)
    assert same.take(batch(float("nan"), 2.0)) is None
    other = Comparison(topics.SIGNALS, iter([batch(0.0, 1.0)]), may_lag=True)
    found = other.take(batch(-0.0, 1.0))
    assert found is not None
    assert found.column == "break_score_smooth"
