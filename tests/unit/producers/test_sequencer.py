"""Effective times, merging and promises, on readers made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from common.columns import Batch, Column
from common.errors import InputError
from common.topics import FUTURES_DEFINITIONS, FUTURES_MBP10, FUTURES_TRADES, OPTIONS_QUOTES, STOCKS_QUOTES
from producers.sequencer import TOPIC_RANK, StampedStep, Times, sequence

SNAP_NS = 250
NONE_LATE = dict.fromkeys(TOPIC_RANK, 0)
NO_DELAY = Times(NONE_LATE, SNAP_NS)


class Feed:
    """A reader of records that have an event time and an id, damaged after the last one if so wished."""

    def __init__(
        self,
        topic: str,
        times: Sequence[int],
        name: str = "f",
        *,
        damaged: bool = False,
        first: int = 0,
        begin_ns: int = 0,
    ) -> None:
        self.topic = topic
        self.name = name
        self.begin_ns = begin_ns
        self._times = np.array(times, np.int64)
        self._ids = np.arange(first, first + len(times), dtype=np.int64)
        self._damaged = damaged
        self._at = 0

    def read(self, count: int) -> Batch | None:
        part = slice(self._at, self._at + count)
        times = self._times[part]
        self._at += len(times)
        if len(times) == 0:
            if self._damaged:
                raise InputError("damaged here")
            return None
        columns = {
            "event_id": Column(self._ids[part]),
            "ts_event_ns": Column(times),
            "ts_effective_ns": Column(times),
            "is_late": Column(np.zeros(len(times), np.bool_)),
        }
        return Batch(self.topic, len(times), columns)


def run(feeds: Sequence[Feed], times: Times = NO_DELAY, chunk: int = 3) -> list[StampedStep]:
    return list(sequence(feeds, times, chunk))


def column(steps: Sequence[StampedStep], topic: str, field: str) -> list[int]:
    return [value for step in steps for batch in step.batches if batch.name == topic for value in batch[field].tolist()]


def test_without_delay_a_record_applies_when_it_happened() -> None:
    steps = run([Feed(FUTURES_TRADES, [10, 20, 30])])
    assert column(steps, FUTURES_TRADES, "ts_effective_ns") == [10, 20, 30]
    assert column(steps, FUTURES_TRADES, "is_late") == [False, False, False]


def test_lateness_shifts_every_record_and_makes_none_late() -> None:
    steps = run([Feed(FUTURES_TRADES, [10, 20])], Times(dict.fromkeys(TOPIC_RANK, 5), SNAP_NS))
    assert column(steps, FUTURES_TRADES, "ts_effective_ns") == [15, 25]
    assert column(steps, FUTURES_TRADES, "is_late") == [False, False]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_each_topic_has_its_own_lateness_and_one_promise_holds_for_all(chunk: int) -> None:
    late = Times({**NONE_LATE, STOCKS_QUOTES: 50, OPTIONS_QUOTES: 250}, SNAP_NS)
    feeds = [
        Feed(FUTURES_MBP10, [10, 60, 100, 300]),
        Feed(STOCKS_QUOTES, [10, 20, 15, 200]),
        Feed(OPTIONS_QUOTES, [5, 40, 30, 60]),
    ]
    steps = run(feeds, late, chunk)
    assert column(steps, FUTURES_MBP10, "ts_effective_ns") == [10, 60, 100, 300]
    assert column(steps, STOCKS_QUOTES, "ts_effective_ns") == [60, 70, 70, 250]
    assert column(steps, STOCKS_QUOTES, "is_late") == [False, False, True, False]
    assert column(steps, OPTIONS_QUOTES, "ts_effective_ns") == [255, 290, 290, 310]
    for at, step in enumerate(steps):
        later = [ns for following in steps[at + 1 :] for batch in following.batches for ns in batch["ts_effective_ns"]]
        assert all(ns >= step.watermark_ns for ns in later)
    assert steps[-1].watermark_ns == 501


def test_a_record_out_of_order_is_pushed_forward_and_marked_late() -> None:
    steps = run([Feed(FUTURES_MBP10, [10, 30, 20, 30, 40])], chunk=2)
    assert column(steps, FUTURES_MBP10, "ts_effective_ns") == [10, 30, 30, 30, 40]
    assert column(steps, FUTURES_MBP10, "is_late") == [False, False, True, False, False]
    assert column(steps, FUTURES_MBP10, "ts_event_ns") == [10, 30, 20, 30, 40]


def test_nothing_is_stamped_before_the_last_promise_to_earlier_readers() -> None:
    steps = run([Feed(FUTURES_MBP10, [10, 30, 50])], Times(NONE_LATE, SNAP_NS, floor_ns=40))
    assert column(steps, FUTURES_MBP10, "ts_effective_ns") == [40, 40, 50]
    assert column(steps, FUTURES_MBP10, "is_late") == [True, True, False]
    assert all(step.watermark_ns >= 40 for step in steps)


def test_old_events_that_a_file_begins_with_apply_at_its_beginning() -> None:
    steps = run([Feed(FUTURES_DEFINITIONS, [10, 60], begin_ns=40), Feed(FUTURES_MBP10, [20, 50])])
    assert column(steps, FUTURES_DEFINITIONS, "ts_effective_ns") == [40, 60]
    assert column(steps, FUTURES_MBP10, "ts_effective_ns") == [20, 50]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_files_of_one_topic_are_concatenated_in_time_whatever_their_order(chunk: int) -> None:
    days = [Feed(FUTURES_TRADES, [30, 40], "b", first=100), Feed(FUTURES_TRADES, [10, 20], "a")]
    assert column(run(days, chunk=chunk), FUTURES_TRADES, "event_id") == [0, 1, 100, 101]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_overlapping_files_of_one_topic_are_merged_in_time(chunk: int) -> None:
    contracts = [Feed(FUTURES_TRADES, [10, 20, 30], "a"), Feed(FUTURES_TRADES, [15, 20, 35], "b", first=100)]
    steps = run(contracts, chunk=chunk)
    assert column(steps, FUTURES_TRADES, "event_id") == [0, 100, 1, 101, 2, 102]
    assert column(steps, FUTURES_TRADES, "ts_effective_ns") == [10, 15, 20, 20, 30, 35]


def test_after_every_step_nothing_older_than_its_promise_follows() -> None:
    feeds = [Feed(FUTURES_MBP10, [1, 5, 5, 2, 9, 400]), Feed(FUTURES_TRADES, [3, 5, 200, 210])]
    steps = run(feeds, chunk=2)
    for at, step in enumerate(steps):
        later = [
            int(ns) for next_one in steps[at + 1 :] for batch in next_one.batches for ns in batch["ts_effective_ns"]
        ]
        assert all(ns >= step.watermark_ns for ns in later)


@pytest.mark.parametrize(("last_ns", "promise_ns"), [(249, 251), (250, 251), (251, 501), (0, 1)])
def test_the_last_promise_is_just_past_the_snap_that_counts_the_last_record(last_ns: int, promise_ns: int) -> None:
    assert run([Feed(FUTURES_TRADES, [0, last_ns])])[-1].watermark_ns == promise_ns


def test_a_damaged_reader_stops_the_stream_after_what_certainly_precedes_the_damage() -> None:
    feeds = [Feed(FUTURES_MBP10, [10, 20, 30], damaged=True), Feed(FUTURES_TRADES, [5, 25, 35, 45])]
    steps = []
    with pytest.raises(InputError, match="damaged here"):
        for step in sequence(feeds, NO_DELAY, 2):
            steps.append(step)
    assert column(steps, FUTURES_MBP10, "event_id") == [0, 1, 2]
    assert column(steps, FUTURES_TRADES, "event_id") == [0, 1]
    assert steps[-1].watermark_ns <= 30


def test_readers_without_records_leave_no_step() -> None:
    assert run([Feed(FUTURES_MBP10, []), Feed(FUTURES_TRADES, [])]) == []
    assert column(run([Feed(FUTURES_MBP10, []), Feed(FUTURES_TRADES, [7])]), FUTURES_TRADES, "event_id") == [0]
