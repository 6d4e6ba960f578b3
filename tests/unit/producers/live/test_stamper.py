"""Stamps of live records: order, duplicates, gaps, promises."""

from __future__ import annotations

import numpy as np

from common.topics import FUTURES_STATUS, FUTURES_TRADES
from producers.event_ids import content_hashes
from producers.live.arrivals import Records
from producers.live.stamper import Rules, Stamper
from tests.support.event_batches import filled

SNAP_NS, GRACE_NS = 250, 100


def stamper(*, repeats: bool = True, lateness_ns: int = 0) -> Stamper:
    topics = (FUTURES_TRADES, FUTURES_STATUS)
    made = Stamper(topics, Rules(dict.fromkeys(topics, lateness_ns), SNAP_NS, GRACE_NS, repeats))
    for topic in topics:
        made.connection(topic, "CONNECTED")
    return made


def trades(*times_ns: int, content: int = 1) -> Records:
    words = [np.array(times_ns, np.uint64), np.full(len(times_ns), content, np.uint64)]
    batch = filled(FUTURES_TRADES, len(times_ns), {"ts_event_ns": times_ns})
    return Records(batch, content_hashes(FUTURES_TRADES, words))


def test_records_apply_in_order_and_say_when_they_are_late() -> None:
    batch = stamper(lateness_ns=50).stamp(trades(100, 300, 200, 400))
    assert batch["ts_effective_ns"].tolist() == [150, 350, 350, 450]
    assert batch["is_late"].tolist() == [False, False, True, False]


def test_a_promise_pushes_what_comes_after_it() -> None:
    one = stamper()
    one.clock(FUTURES_TRADES, 620)
    assert one.promise(FUTURES_TRADES) == 500
    assert one.promise(FUTURES_TRADES) is None
    batch = one.stamp(trades(499, 510))
    assert batch["ts_effective_ns"].tolist() == [500, 510]
    assert batch["is_late"].tolist() == [True, False]


def test_nothing_is_promised_without_a_connection_or_while_catching_up() -> None:
    one = stamper()
    one.connection(FUTURES_TRADES, "DISCONNECTED")
    one.clock(FUTURES_TRADES, 10_000)
    assert one.promise(FUTURES_TRADES) is None
    one.connection(FUTURES_TRADES, "CATCHING_UP")
    assert one.promise(FUTURES_TRADES) is None
    one.connection(FUTURES_TRADES, "CONNECTED")
    assert one.promise(FUTURES_TRADES) == 9_750


def test_a_clock_of_before_the_connection_was_lost_allows_nothing_after_it() -> None:
    one = stamper()
    one.clock(FUTURES_TRADES, 10_000)
    one.connection(FUTURES_TRADES, "DISCONNECTED")
    one.connection(FUTURES_TRADES, "CONNECTED")
    assert one.promise(FUTURES_TRADES) is None


def test_identical_records_are_events_of_their_own_and_a_replay_of_them_is_dropped() -> None:
    one = stamper()
    first = one.stamp(trades(100, 100, 100))
    assert len(set(first["event_id"].tolist())) == 3
    one.connection(FUTURES_TRADES, "DISCONNECTED")
    again = one.stamp(trades(100, 100, 100, 100))
    assert again.length == 1
    assert again["event_id"][0] not in first["event_id"]


def test_of_a_vendor_that_does_not_repeat_itself_an_identical_record_is_a_duplicate() -> None:
    one = stamper(repeats=False)
    assert one.stamp(trades(100, 100, 200)).length == 2
    assert one.stamp(trades(200)).length == 0
    assert one.stamp(trades(200, content=2)).length == 1


def test_the_first_new_record_after_a_gap_carries_its_earliest_beginning() -> None:
    one = stamper(repeats=False)
    one.stamp(trades(100))
    one.gap(FUTURES_TRADES, 150)
    one.gap(FUTURES_TRADES, 120)
    assert one.stamp(trades(100)).length == 0
    batch = one.stamp(trades(400, 500))
    column = batch.columns["gap_begin_ns"]
    assert column.valid is not None
    assert (column.valid.tolist(), int(column.values[0])) == ([True, False], 120)
    later = one.stamp(trades(600)).columns["gap_begin_ns"]
    assert later.valid is not None and not later.valid.any()


def test_a_restart_knows_what_the_log_holds() -> None:
    before = stamper()
    stored = before.stamp(trades(100, 200, 200))
    one = stamper()
    one.restore(stored)
    one.restore_promise(FUTURES_TRADES, 350)
    assert one.last_event_ns == {FUTURES_TRADES: 200, FUTURES_STATUS: 0}
    batch = one.stamp(trades(200, 200, 200, 340))
    assert batch["ts_event_ns"].tolist() == [200, 340]
    assert batch["ts_effective_ns"].tolist() == [350, 350]
