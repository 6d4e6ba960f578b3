"""The merge hands out exactly what was promised, in the one order."""

from __future__ import annotations

import numpy as np
import pytest

from common import topics
from common.errors import InvariantError
from common.topics import FUTURES_MBP10 as BOOKS
from common.topics import FUTURES_TRADES as TRADES
from common.topics import STOCKS_QUOTES as QUOTES
from processors.engine.order import BOOK, KINDS, NO_PROMISE_NS, STOCK_QUOTE, TRADE, Events, Merger
from tests.support.event_batches import event_batch


def push(merger: Merger, topic: str, effective_ns: list[int], first_offset: int, **more: list[int]) -> None:
    offsets = np.arange(first_offset, first_offset + len(effective_ns), dtype=np.int64)
    merger.push(topic, event_batch(topic, effective_ns, **more), offsets)


def sequence(events: Events) -> list[tuple[int, int]]:
    names = {kind: topic for topic, kind in KINDS.items()}
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


def test_events_equal_in_time_and_sequence_have_one_order_over_all_inputs() -> None:
    merger = Merger(topics.ENGINE_INPUTS)
    for topic in topics.ENGINE_INPUTS:
        push(merger, topic, [10, 99], 0, seq=[1, 2])
    names = {kind: topic for topic, kind in KINDS.items()}
    assert [names[kind] for kind, _ in sequence(merger.pop())] == [
        topics.FUTURES_DEFINITIONS,
        topics.FUTURES_STATUS,
        topics.FUTURES_TRADES,
        topics.FUTURES_MBP10,
        topics.STOCKS_TRADES,
        topics.STOCKS_QUOTES,
        topics.OPTIONS_TRADES,
        topics.OPTIONS_QUOTES,
        topics.OPTIONS_GREEKS,
        topics.REQUESTS,
    ]


def aside_at(floor_ns: int) -> Merger:
    """Quotes are aside behind books; everything below ``floor_ns`` is handed out."""
    merger = Merger([BOOKS, QUOTES])
    merger.put_aside(QUOTES)
    merger.promise(BOOKS, 0, floor_ns)
    assert merger.pop().until_ns == floor_ns
    return merger


def test_an_input_delays_the_others_until_it_is_put_aside() -> None:
    merger = Merger([BOOKS, QUOTES])
    push(merger, BOOKS, [10, 20], 0)
    assert (len(merger.pop()), merger.holding_back) == (0, (QUOTES,))
    merger.put_aside(QUOTES)
    assert sequence(merger.pop()) == [(BOOK, 10)]
    assert (merger.set_aside, merger.awaited, merger.holding_back) == ((QUOTES,), (BOOKS,), (BOOKS,))


def test_what_an_input_aside_brings_late_applies_where_the_others_have_come_to() -> None:
    merger = aside_at(100)
    push(merger, QUOTES, [50, 60, 105, 120], 0, event_ns=[50, 45, 105, 120])
    push(merger, BOOKS, [100, 110], 0)
    merger.put_aside(QUOTES)
    events = merger.pop(limit_ns=108)
    assert sequence(events) == [(STOCK_QUOTE, 100), (STOCK_QUOTE, 100), (BOOK, 100), (STOCK_QUOTE, 105)]
    assert events.index.tolist() == [1, 0, 0, 2]
    assert events.batches[QUOTES]["ts_effective_ns"].tolist() == [100, 100, 105]
    assert (events.late, merger.next_offsets[QUOTES]) == (2, 3)


def test_the_pushed_batch_is_not_changed_when_a_time_is_raised() -> None:
    merger = aside_at(100)
    batch = event_batch(QUOTES, [50, 60])
    merger.push(QUOTES, batch, np.array([0, 1], np.int64))
    merger.promise(BOOKS, 0, 101)
    events = merger.pop()
    assert (events.late, events.aside) == (2, 2)
    assert batch["ts_effective_ns"].tolist() == [50, 60]


def test_nothing_late_is_handed_out_while_the_others_stand_still() -> None:
    merger = aside_at(100)
    push(merger, QUOTES, [50], 0)
    assert len(merger.pop()) == 0
    assert merger.next_offsets[QUOTES] == 0


def test_an_input_comes_back_by_itself_once_its_promise_has_passed_the_others() -> None:
    merger = aside_at(100)
    merger.promise(QUOTES, 0, 100)
    merger.promise(BOOKS, 0, 200)
    assert merger.pop(limit_ns=150).until_ns == 150
    assert merger.set_aside == (QUOTES,)
    merger.promise(QUOTES, 0, 160)
    assert merger.pop().until_ns == 160
    assert merger.set_aside == ()


def test_late_records_of_an_input_that_came_back_are_raised_too() -> None:
    merger = aside_at(100)
    push(merger, QUOTES, [50, 110], 0)
    merger.promise(BOOKS, 0, 200)
    events = merger.pop()
    assert (sequence(events), events.until_ns) == ([(STOCK_QUOTE, 100)], 110)
    assert (events.late, events.aside, merger.set_aside) == (1, 0, ())


def test_a_promise_of_an_input_aside_that_is_lower_than_an_earlier_one_changes_nothing() -> None:
    merger = aside_at(100)
    for watermark_ns in (40, 20, 30):
        merger.promise(QUOTES, 0, watermark_ns)
    push(merger, QUOTES, [41], 0)
    merger.promise(QUOTES, 1, 10)
    merger.promise(BOOKS, 0, 120)
    assert sequence(merger.pop()) == [(STOCK_QUOTE, 100)]


@pytest.mark.parametrize("topic", topics.ALWAYS_AWAITED)
def test_es_is_never_put_aside(topic: str) -> None:
    with pytest.raises(InvariantError, match=f"{topic} cannot be set aside"):
        Merger([BOOKS, TRADES, QUOTES]).put_aside(topic)


def test_a_merger_that_goes_on_raises_what_is_below_its_floor() -> None:
    merger = Merger([BOOKS, QUOTES], {QUOTES: 7}, {BOOKS: 100}, set_aside=(QUOTES,), floor_ns=100)
    push(merger, QUOTES, [50], 7)
    push(merger, BOOKS, [101], 0)
    assert sequence(merger.pop()) == [(STOCK_QUOTE, 100)]
