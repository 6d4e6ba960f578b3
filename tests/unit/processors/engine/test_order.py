"""The merge hands out exactly what was promised, in the one order."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import InvariantError
from common.topics import FUTURES_MBP10 as BOOKS
from common.topics import FUTURES_TRADES as TRADES
from processors.engine.order import BOOK, NO_PROMISE_NS, TRADE, Events, Merger
from tests.support.event_batches import event_batch


def push(merger: Merger, topic: str, effective_ns: list[int], first_offset: int, **more: list[int]) -> None:
    offsets = np.arange(first_offset, first_offset + len(effective_ns), dtype=np.int64)
    merger.push(topic, event_batch(topic, effective_ns, **more), offsets)


def sequence(events: Events) -> list[tuple[int, int]]:
    names = {BOOK: BOOKS, TRADE: TRADES}
    return [
        (int(kind), int(events.batches[names[int(kind)]]["ts_effective_ns"][index]))
        for kind, index in zip(events.kind, events.index, strict=True)
    ]


def test_nothing_leaves_before_every_input_has_promised() -> None:
    merger = Merger([BOOKS, TRADES])
    push(merger, BOOKS, [10, 20, 30], 0)
    events = merger.pop()
    assert len(events) == 0 and events.until_ns == NO_PROMISE_NS
    assert merger.held == {BOOKS: 3, TRADES: 0}


def test_a_record_promises_its_own_time_and_is_kept_until_that_has_passed() -> None:
    merger = Merger([BOOKS, TRADES])
    push(merger, BOOKS, [10, 20, 30], 0)
    push(merger, TRADES, [20], 0)
    events = merger.pop()
    assert events.until_ns == 20
    assert sequence(events) == [(BOOK, 10)]
    assert merger.next_offsets == {BOOKS: 1, TRADES: 0}


def test_at_the_same_time_and_sequence_the_trade_goes_before_the_book() -> None:
    merger = Merger([BOOKS, TRADES])
    push(merger, BOOKS, [10, 10, 99], 0, seq=[5, 7, 8])
    push(merger, TRADES, [10, 99], 0, seq=[7, 8])
    assert [kind for kind, _ in sequence(merger.pop())] == [BOOK, TRADE, BOOK]


def test_a_late_record_is_ordered_by_its_event_time_among_those_of_its_effective_time() -> None:
    merger = Merger([BOOKS])
    push(merger, BOOKS, [10, 10, 11], 0, event_ns=[10, 7, 11])
    events = merger.pop()
    assert events.index.tolist() == [1, 0]


def test_a_heartbeat_counts_only_once_everything_before_it_was_read() -> None:
    merger = Merger([BOOKS, TRADES])
    merger.promise(BOOKS, 2, 100)
    merger.promise(TRADES, 0, 100)
    push(merger, BOOKS, [10], 0)
    assert merger.until_ns == 10
    push(merger, BOOKS, [20], 1)
    assert sequence(merger.pop()) == [(BOOK, 10), (BOOK, 20)]
    assert merger.until_ns == 100


def test_a_gap_of_control_markers_does_not_hold_a_heartbeat_back() -> None:
    merger = Merger([BOOKS])
    push(merger, BOOKS, [10], 0)
    merger.promise(BOOKS, 5, 100)
    assert merger.until_ns == 10
    merger.read_to(BOOKS, 5)
    assert merger.until_ns == 100
    merger.pop()
    assert merger.next_offsets == {BOOKS: 5}


def test_a_limit_cuts_the_hand_out_and_loses_nothing() -> None:
    merger = Merger([BOOKS])
    push(merger, BOOKS, [10, 20, 30, 40], 0)
    assert merger.first_effective_ns == 10
    first, second = merger.pop(limit_ns=20), merger.pop()
    assert (sequence(first), first.until_ns) == ([(BOOK, 10)], 20)
    assert (sequence(second), second.until_ns) == ([(BOOK, 20), (BOOK, 30)], 40)


def test_until_never_goes_backwards() -> None:
    merger = Merger([BOOKS])
    push(merger, BOOKS, [10, 20], 0)
    assert merger.pop().until_ns == 20
    assert merger.pop(limit_ns=5).until_ns == 20


@pytest.mark.parametrize("effective_ns", [[10, 9], [4]])
def test_a_record_below_its_inputs_promise_stops_the_merge(effective_ns: list[int]) -> None:
    merger = Merger([BOOKS], promises_ns={BOOKS: 5})
    with pytest.raises(InvariantError, match=r"futures.mbp10.v1 offset \d: ts_effective_ns"):
        push(merger, BOOKS, effective_ns, 0)


def test_a_record_below_a_heartbeat_that_counts_stops_the_merge() -> None:
    merger = Merger([BOOKS])
    merger.promise(BOOKS, 0, 100)
    with pytest.raises(InvariantError, match="below the promise 100"):
        push(merger, BOOKS, [99], 0)


def test_a_record_below_a_heartbeat_read_ahead_of_it_stops_the_merge() -> None:
    merger = Merger([BOOKS])
    merger.promise(BOOKS, 1, 100)
    push(merger, BOOKS, [10], 0)
    with pytest.raises(InvariantError, match="below the promise 100"):
        push(merger, BOOKS, [99], 1)


def test_offsets_that_were_read_before_stop_the_merge() -> None:
    merger = Merger([BOOKS], start={BOOKS: 7})
    with pytest.raises(InvariantError, match="do not follow position 7"):
        push(merger, BOOKS, [10], 6)
