"""Inputs that are silent: how long they are waited for, what comes late, and what a restart makes of it."""

from __future__ import annotations

import pytest

from common import topics
from common.errors import InvariantError
from common.topics import FUTURES_MBP10 as BOOKS
from common.topics import FUTURES_TRADES as TRADES
from common.topics import REQUESTS
from common.topics import STOCKS_QUOTES as QUOTES
from processors.features.worker import Tuning, Worker
from tests.support.features_harness import Clock, new_log
from tests.support.features_scene import at, beat, drain, make, rows, snaps, write
from tests.support.memory_log import MemoryLog

TUNING = Tuning(checkpoint_interval_s=1e9, source_timeout_s=2.0)


def three_snaps_in(silent: str) -> tuple[MemoryLog, Clock]:
    """What ES and all others but the silent input have said by the third snap; time stands still."""
    log, clock = new_log(), Clock(0.0)
    for topic in topics.ENGINE_INPUTS:
        if topic not in (BOOKS, TRADES, silent):
            beat(log, topic, 0, 1e6)
    write(log, BOOKS, [0.5, 3.5])
    beat(log, TRADES, 0, 3)
    return log, clock


def stalled(quotes_until: float = 1) -> tuple[MemoryLog, Worker, Clock]:
    """ES is three snaps in; SPY quotes promised no more than ``quotes_until``; time stands still."""
    log, clock = three_snaps_in(QUOTES)
    beat(log, QUOTES, 0, quotes_until)
    worker = make(log, tuning=TUNING, clock=clock)
    drain(worker)
    return log, worker, clock


def asides(log: MemoryLog) -> list[list[str]]:
    return [marker["set_aside"] for marker in rows(log, topics.MARKERS)]


def test_a_stalled_input_delays_and_one_put_aside_does_not() -> None:
    log, worker, clock = stalled()
    clock.now_s = 1.9
    drain(worker)
    assert snaps(log) == [1.0]
    clock.now_s = 2.1
    drain(worker)
    assert snaps(log) == [1.0, 2.0, 3.0]
    assert asides(log) == [[], [QUOTES]]


def test_the_wait_begins_when_es_goes_ahead_not_when_the_worker_starts() -> None:
    """A run of ES alone: the other inputs are never heard of, and are waited for once."""
    log, clock = new_log(), Clock(0.0)
    worker = make(log, tuning=TUNING, clock=clock)
    drain(worker)
    clock.now_s = 100.0
    write(log, BOOKS, [0.5, 1.5])
    beat(log, TRADES, 0, 1)
    drain(worker)
    clock.now_s = 101.9
    drain(worker)
    assert snaps(log) == []
    clock.now_s = 102.1
    drain(worker)
    assert snaps(log) == [1.0]
    assert asides(log) == [sorted({*topics.ENGINE_INPUTS} - {BOOKS, TRADES})]
    write(log, BOOKS, [2.5])
    beat(log, TRADES, 0, 2)
    drain(worker)
    assert snaps(log) == [1.0, 2.0]


def test_a_heartbeat_without_progress_counts_as_a_sign_of_life() -> None:
    log, worker, clock = stalled()
    clock.now_s = 1.9
    beat(log, QUOTES, 0, 1)
    drain(worker)
    clock.now_s = 3.8
    drain(worker)
    assert snaps(log) == [1.0]
    clock.now_s = 3.95
    drain(worker)
    assert snaps(log) == [1.0, 2.0, 3.0]


def test_es_is_waited_for_however_long_it_takes() -> None:
    log, worker, clock = stalled(quotes_until=9)
    clock.now_s = 1e6
    drain(worker)
    beat(log, BOOKS, 2, 9)
    clock.now_s = 2e6
    drain(worker)
    assert snaps(log) == [1.0, 2.0, 3.0]
    assert worker._merger.set_aside == ()


def test_a_file_is_waited_for_until_it_has_ended() -> None:
    log, worker, clock = stalled()
    beat(log, QUOTES, 0, 1, input_id="file")
    drain(worker)
    clock.now_s = 1e6
    drain(worker)
    assert snaps(log) == [1.0]
    beat(log, QUOTES, 0, 2, "ENDED", input_id="file")
    drain(worker)
    assert snaps(log) == [1.0, 2.0]
    clock.now_s += 2.1
    drain(worker)
    assert snaps(log) == [1.0, 2.0, 3.0]


def test_that_an_input_is_a_connected_file_survives_a_restart_from_a_checkpoint() -> None:
    log, worker, _ = stalled()
    beat(log, QUOTES, 0, 1, input_id="file")
    drain(worker)
    worker.close()
    clock = Clock(0.0)
    again = make(log, tuning=TUNING, clock=clock)
    drain(again)
    clock.now_s = 1e6
    drain(again)
    assert snaps(log) == [1.0]


def test_what_comes_late_makes_a_marker_even_without_rows_and_is_applied_once() -> None:
    log, worker, clock = stalled()
    clock.now_s = 2.1
    drain(worker)
    write(log, QUOTES, [1.2, 1.4])
    drain(worker)
    assert asides(log) == [[], [QUOTES]]
    write(log, BOOKS, [3.6])
    beat(log, TRADES, 0, 3.55)
    drain(worker)
    last = rows(log, topics.MARKERS)[-1]
    assert (last["rows"], last["set_aside"], last["ts_from_ns"]) == (0, [QUOTES], at(3) + 1)
    assert dict(zip(last["input_topics"], last["input_next_offsets"], strict=True))[QUOTES] == 2


def test_an_input_that_has_caught_up_is_waited_for_again_and_the_markers_say_so() -> None:
    log, worker, clock = stalled()
    clock.now_s = 2.1
    drain(worker)
    beat(log, QUOTES, 0, 3.2)
    write(log, BOOKS, [4.5])
    beat(log, TRADES, 0, 4)
    drain(worker)
    assert asides(log) == [[], [QUOTES], []]
    assert snaps(log) == [1.0, 2.0, 3.0]
    beat(log, QUOTES, 0, 4)
    drain(worker)
    assert snaps(log) == [1.0, 2.0, 3.0, 4.0]


def asked_once() -> tuple[MemoryLog, Worker, Clock]:
    """ES is three snaps in; nobody promises for requests, so they are aside, and one has come since."""
    log, clock = three_snaps_in(REQUESTS)
    worker = make(log, tuning=TUNING, clock=clock)
    drain(worker)
    clock.now_s = 2.1
    drain(worker)
    assert (snaps(log), asides(log)) == ([1.0, 2.0, 3.0], [[REQUESTS]])
    return log, worker, clock


def next_requests(log: MemoryLog) -> list[int]:
    markers = rows(log, topics.MARKERS)
    return [dict(zip(m["input_topics"], m["input_next_offsets"], strict=True))[REQUESTS] for m in markers]


@pytest.mark.parametrize("asked_at", [2.0, 3.0, 4.3])
def test_a_request_applies_with_the_next_step_or_at_its_time_and_another_is_waited_for_no_longer_than_any_input(
    asked_at: float,
) -> None:
    """Behind what the worker has reached, at it, or ahead of it (where the worker was behind ES)."""
    log, worker, clock = asked_once()
    write(log, REQUESTS, [asked_at])
    drain(worker)
    write(log, BOOKS, [6.5])
    beat(log, TRADES, 0, 6)
    drain(worker)
    clock.now_s += 2.1
    drain(worker)
    assert snaps(log) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert next_requests(log)[-1] == 1
    assert rows(log, topics.MARKERS)[-1]["set_aside"] == [REQUESTS]
    taken = next(m for m, offset in zip(rows(log, topics.MARKERS), next_requests(log), strict=True) if offset)
    assert taken["ts_from_ns"] <= max(at(3) + 1, at(asked_at)) < taken["ts_until_ns"]


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_a_restart_goes_on_with_the_same_inputs_aside(with_checkpoint: bool) -> None:
    log, worker, clock = stalled()
    clock.now_s = 2.1
    drain(worker)
    if with_checkpoint:
        worker.close()
    write(log, BOOKS, [4.5])
    beat(log, TRADES, 0, 4)
    again = make(log, tuning=TUNING, clock=Clock(0.0))
    drain(again)
    assert snaps(log) == [1.0, 2.0, 3.0, 4.0]
    assert asides(log)[-1] == [QUOTES]


def test_records_that_the_markers_name_and_the_log_has_lost_stop_the_worker() -> None:
    log = stalled()[0]
    log.create(BOOKS)
    with pytest.raises(InvariantError, match=f"{BOOKS}: a marker was made from the records before offset 1") as error:
        drain(make(log, tuning=TUNING))
    assert error.value.hint is not None


def test_markers_of_an_older_version_are_refused() -> None:
    log, worker, _ = stalled()
    old = {**rows(log, topics.MARKERS)[-1], "ts_from_ns": None, "ts_until_ns": None}
    log.append(topics.MARKERS, worker._wire.encode_row(topics.MARKERS, old))
    with pytest.raises(InvariantError, match="does not say which times it covers") as error:
        make(log, tuning=TUNING)
    assert error.value.hint is not None and "NAMESPACE" in error.value.hint
