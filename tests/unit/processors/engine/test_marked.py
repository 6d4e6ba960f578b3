"""Markers and the records they were made from: followed where they agree, refused where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from common.errors import InvariantError
from common.topics import FUTURES_MBP10 as BOOKS
from common.topics import STOCKS_QUOTES as QUOTES
from processors.engine.marked import Follower, Marker, condensed, marker_of
from processors.engine.order import NO_PROMISE_NS, Merger
from tests.support.event_batches import event_batch
from tests.support.merge_run import applied


def push(merger: Merger, topic: str, effective_ns: list[int], first_offset: int = 0) -> None:
    offsets = np.arange(first_offset, first_offset + len(effective_ns), dtype=np.int64)
    merger.push(topic, event_batch(topic, effective_ns, event_id=offsets.tolist()), offsets)


def marker(from_ns: int, until_ns: int, books: int, quotes: int, *aside: str) -> Marker:
    return Marker(from_ns, until_ns, {BOOKS: books, QUOTES: quotes}, aside)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "ts_event_ns": 4,
        "ts_from_ns": 5,
        "ts_until_ns": 9,
        "input_topics": [f"replay.x.{BOOKS}", f"replay.x.{QUOTES}"],
        "input_next_offsets": [3, 4],
        "set_aside": [QUOTES],
        **changes,
    }


def test_a_marker_is_read_without_its_namespace() -> None:
    assert marker_of(row(), "replay.x") == marker(5, 9, 3, 4, QUOTES)


def test_a_marker_without_times_is_refused_with_a_hint() -> None:
    with pytest.raises(InvariantError, match="marker of snap 4 does not say") as error:
        marker_of(row(ts_until_ns=None))
    assert error.value.hint is not None


def test_a_late_record_applies_in_the_step_whose_marker_names_it() -> None:
    merger = Merger([BOOKS, QUOTES])
    push(merger, BOOKS, [10, 20, 30, 40])
    push(merger, QUOTES, [11, 12, 13])
    follower = Follower(
        merger,
        [marker(NO_PROMISE_NS, 11, 1, 0), marker(11, 21, 2, 0, QUOTES), marker(25, 35, 3, 2, QUOTES)],
    )
    got = []
    while (part := follower.pop()) is not None:
        got.append(applied(part.events))
    assert got == [
        [(BOOKS, 0, 10)],
        [(BOOKS, 1, 20)],
        [],
        [(QUOTES, 0, 25), (QUOTES, 1, 25), (BOOKS, 2, 30)],
    ]
    assert follower.done
    assert (merger.set_aside, merger.next_offsets) == ((QUOTES,), {BOOKS: 3, QUOTES: 2})


def test_it_waits_for_the_records_that_a_marker_names() -> None:
    merger = Merger([BOOKS, QUOTES], set_aside=(QUOTES,))
    follower = Follower(merger, [marker(NO_PROMISE_NS, 15, 1, 1, QUOTES)])
    push(merger, BOOKS, [10, 20])
    assert (follower.pop(), follower.waiting_for) == (None, (QUOTES,))
    push(merger, QUOTES, [3])
    part = follower.pop()
    assert part is not None and part.marker is not None and len(part.events) == 2


def test_records_that_never_come_are_named() -> None:
    merger = Merger([BOOKS, QUOTES])
    follower = Follower(merger, [marker(NO_PROMISE_NS, 15, 3, 0)])
    push(merger, BOOKS, [10])
    assert follower.pop() is not None and follower.pop() is None
    with pytest.raises(InvariantError, match=f"{BOOKS}: .* before offset 3, the log ends at 1"):
        follower.finish()


@pytest.mark.parametrize("books", [[10, 11, 20], [10, 16, 20]])
def test_records_with_other_times_than_the_marker_saw_are_named(books: list[int]) -> None:
    merger = Merger([BOOKS, QUOTES])
    push(merger, BOOKS, books)
    next_offset = 1 if books[1] < 15 else 2
    follower = Follower(merger, [marker(NO_PROMISE_NS, 15, next_offset, 0)])
    with pytest.raises(InvariantError, match=f"{BOOKS} offset 1: the marker until 15 has the next offset"):
        follower.pop()


def test_markers_before_the_mergers_place_are_passed_over() -> None:
    merger = Merger([BOOKS, QUOTES], {BOOKS: 5}, {BOOKS: 50}, (QUOTES,), 50)
    follower = Follower(merger, [marker(10, 30, 2, 0), marker(30, 50, 5, 0, QUOTES), marker(50, 60, 6, 0, QUOTES)])
    push(merger, BOOKS, [55, 70], 5)
    first, second = follower.pop(), follower.pop()
    assert first is not None and len(first.events) == 0
    assert second is not None and applied(second.events) == [(BOOKS, 5, 55)]
    assert follower.done


def test_a_long_run_with_the_same_inputs_aside_and_nothing_of_them_is_two_markers() -> None:
    run = [marker(n, n + 1, n, 7, QUOTES) for n in range(100)]
    assert condensed(run) == [run[0], run[-1]]


def test_markers_that_took_a_record_aside_or_changed_what_is_aside_are_kept() -> None:
    run = [marker(0, 1, 1, 0), marker(1, 2, 2, 0, QUOTES), marker(2, 3, 3, 1, QUOTES), marker(3, 4, 4, 2)]
    assert condensed(run) == run
