"""One features worker against the in-memory log: what it publishes, what it refuses, how it comes back."""

from __future__ import annotations

from typing import Any

import pytest

from common import topics
from common.config import EngineConfig
from common.errors import ConfigError, ConflictError, InvariantError, UnavailableError
from common.topics import FUTURES_MBP10 as BOOKS
from common.topics import FUTURES_TRADES as TRADES
from processors import checkpoint
from processors.engine.order import NO_PROMISE_NS, Events
from processors.features import worker as worker_module
from processors.features.intake import Bounds
from processors.features.stepping import Engine, Limits
from processors.features.worker import Tuning
from tests.support.features_feed import CONFIG, INTERVAL_NS, heartbeat
from tests.support.features_harness import SPY
from tests.support.features_scene import QUIET_SNAPS, at, beat, drain, encoded, es_log, make, rows, snaps, write
from tests.support.memory_log import Crash, Fault
from tests.support.small_engine import small_engine


def test_nothing_is_published_until_every_es_input_has_promised() -> None:
    log = es_log()
    worker = make(log)
    write(log, BOOKS, [0.5, 1.5, 2.5])
    drain(worker)
    assert rows(log) == [] and rows(log, topics.MARKERS) == []
    beat(log, TRADES, 0, 2)
    drain(worker)
    assert snaps(log) == [1.0, 2.0]


def test_a_step_leaves_whole_snaps_and_a_marker_that_names_its_evidence() -> None:
    log = es_log()
    worker = make(log)
    write(log, BOOKS, [0.5, 1.5, 2.5])
    write(log, TRADES, [0.6, 2.4])
    drain(worker)
    assert snaps(log) == [1.0, 2.0]
    (marker,) = rows(log, topics.MARKERS)
    others = len(topics.ENGINE_INPUTS) - 2
    assert marker == {
        "ts_event_ns": at(2),
        "underlying": SPY,
        "ts_first_snap_ns": at(1),
        "snaps": 2,
        "rows": len(rows(log)),
        "input_topics": [*topics.ENGINE_INPUTS, topics.HEARTBEATS],
        "input_next_offsets": [2, 1, *[0] * others, others],
        "ts_promises_ns": [at(2.5), at(2.4), *[at(QUIET_SNAPS) + 1] * others, at(2.4)],
        "set_aside": [],
        "config_hash": CONFIG.hash,
        "code_version": checkpoint.code_version(),
        "run_id": "run-1",
        "ts_from_ns": NO_PROMISE_NS,
        "ts_until_ns": at(2.4),
        "outcomes": 0,
        "flow_rows": 0,
    }
    (message,) = log.records(topics.MARKERS)
    assert message.headers() == [("run_id", b"run-1")] and message.key() == b"SPY"
    assert {(message.key(), message.partition()) for message in log.records(topics.FEATURES)} == {(b"SPY", 0)}


def test_a_long_backlog_is_published_in_small_transactions() -> None:
    log = es_log()
    worker = make(log, tuning=Tuning(limits=Limits(snaps=5)))
    write(log, BOOKS, [0.5, 40])
    beat(log, TRADES, 0, 40)
    drain(worker)
    assert len(snaps(log)) == 39
    assert max(marker["snaps"] for marker in rows(log, topics.MARKERS)) == 5


def test_a_restart_without_a_checkpoint_stays_silent_up_to_the_last_committed_snap() -> None:
    log = es_log()
    write(log, BOOKS, [0.5, 1.5, 2.5])
    write(log, TRADES, [0.6, 2.4])
    drain(make(log))
    before = [message.value() for message in log.records(topics.FEATURES)]
    again = make(log)
    assert again.committed_snap_ns == at(2) and not again.caught_up
    drain(again)
    assert again.caught_up
    assert [message.value() for message in log.records(topics.FEATURES)] == before
    write(log, BOOKS, [3.5])
    beat(log, TRADES, 2, 3)
    drain(again)
    assert snaps(log) == [1.0, 2.0, 3.0]


def test_a_restart_from_a_checkpoint_does_not_read_the_inputs_again() -> None:
    log = es_log()
    write(log, BOOKS, [0.5, 1.5, 2.5])
    write(log, TRADES, [0.6, 2.4])
    worker = make(log)
    drain(worker)
    worker.close()
    for topic, before in ((BOOKS, 2), (TRADES, 1)):
        log.truncate(topic, 0, before)
    again = make(log)
    write(log, BOOKS, [3.5])
    beat(log, TRADES, 2, 3)
    drain(again)
    whole = es_log()
    write(whole, BOOKS, [0.5, 1.5, 2.5, 3.5])
    write(whole, TRADES, [0.6, 2.4])
    beat(whole, TRADES, 2, 3)
    drain(make(whole))
    assert [m.value() for m in log.records(topics.FEATURES)] == [m.value() for m in whole.records(topics.FEATURES)]


def test_a_promise_heard_before_the_checkpoint_still_counts_after_it() -> None:
    """The last heartbeat of an ended input is never repeated: losing it would hold the last snap back for good."""
    log = es_log()
    write(log, BOOKS, [0.5])
    beat(log, TRADES, 0, 3)
    worker = make(log)
    drain(worker)
    worker.close()
    again = make(log)
    beat(log, BOOKS, 1, 2)
    drain(again)
    assert snaps(log) == [1.0, 2.0]


def test_a_promise_about_records_still_held_counts_after_a_checkpoint() -> None:
    log = es_log()
    write(log, BOOKS, [0.5])
    write(log, TRADES, [0.7])
    beat(log, TRADES, 1, 3)
    worker = make(log)
    drain(worker)
    worker.close()
    again = make(log)
    beat(log, BOOKS, 1, 2)
    drain(again)
    assert snaps(log) == [1.0, 2.0]


def test_a_checkpoint_of_other_code_is_passed_over_and_nothing_is_published_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = es_log()
    write(log, BOOKS, [0.5, 1.5, 2.5])
    beat(log, TRADES, 0, 2)
    worker = make(log)
    drain(worker)
    worker.close()
    before = [message.value() for message in log.records(topics.FEATURES)]
    monkeypatch.setattr(worker_module, "code_version", lambda: "engine-other")
    drain(make(log))
    assert [message.value() for message in log.records(topics.FEATURES)] == before


def test_another_configuration_is_refused_in_the_same_namespace() -> None:
    log = es_log()
    write(log, BOOKS, [0.5, 1.5])
    beat(log, TRADES, 0, 1)
    drain(make(log))
    with pytest.raises(ConfigError, match=CONFIG.hash) as error:
        make(log, config=EngineConfig(TOUCH_BAND=0.06))
    assert error.value.hint is not None and "NAMESPACE" in error.value.hint


def test_a_newer_worker_fences_the_older_one() -> None:
    log = es_log()
    write(log, BOOKS, [0.5, 1.5])
    beat(log, TRADES, 0, 1)
    old = make(log)
    new = make(log)
    with pytest.raises(ConflictError, match="taken over SPY"):
        drain(old)
    drain(new)
    assert snaps(log) == [1.0]


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.ERROR, Fault.ABORTABLE])
def test_a_commit_that_fails_is_settled_by_the_markers(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    log = es_log()
    process = log.process()
    worker = make(log, process)
    write(log, BOOKS, [0.5, 1.5])
    beat(log, TRADES, 0, 1)
    publication = worker._publication._producer
    commit = publication.commit_transaction

    def failing(timeout: float) -> None:
        log.faults[log.operations + 1] = fault
        commit(timeout)

    monkeypatch.setattr(publication, "commit_transaction", failing)
    with pytest.raises(UnavailableError, match="a step may not be committed"):
        drain(worker)
    assert not worker.recovered
    worker.recover()
    drain(worker)
    assert snaps(log) == [1.0]
    assert len(rows(log, topics.MARKERS)) == 1


def test_rows_that_do_not_fit_the_producers_queue_are_never_half_published(monkeypatch: pytest.MonkeyPatch) -> None:
    log = es_log()
    worker = make(log)
    write(log, BOOKS, [0.5, 1.5])
    beat(log, TRADES, 0, 1)
    producer = worker._publication._producer
    monkeypatch.setattr(producer, "_limit", 0)
    with pytest.raises(UnavailableError):
        drain(worker)
    assert rows(log) == []
    worker.recover()
    drain(worker)
    assert snaps(log) == [1.0]


def test_a_broken_engine_invariant_stops_the_worker_with_nothing_published() -> None:
    def broken(state: Any, events: Events, until_ns: int) -> Any:
        whole = small_engine(INTERVAL_NS).step(state, events, until_ns)
        rows = whole.features
        return whole._replace(features=rows.slice(1, rows.length) if rows.length > 1 else rows)

    small = small_engine(INTERVAL_NS)
    log = es_log()
    worker = make(log, engine=Engine(small.initial_state, broken, small.restore))
    write(log, BOOKS, [0.5, 5.5])
    beat(log, TRADES, 0, 5)
    with pytest.raises(InvariantError, match="no whole snaps"):
        drain(worker)
    assert rows(log) == []


def test_inputs_cut_behind_the_checkpoint_stop_the_worker() -> None:
    log = es_log()
    write(log, BOOKS, [0.5, 1.5, 2.5])
    beat(log, TRADES, 0, 1)
    worker = make(log)
    drain(worker)
    worker.close()
    log.truncate(BOOKS, 0, 3)
    with pytest.raises(InvariantError, match="gone") as error:
        drain(make(log))
    assert error.value.hint is not None


def test_an_input_far_ahead_of_the_others_is_paused_and_resumed() -> None:
    log = es_log()
    worker = make(log, tuning=Tuning(bounds=Bounds(consume_records=10, pause_records=20, resume_records=5)))
    write(log, BOOKS, [n / 10 for n in range(1, 200)])
    for _ in range(50):
        worker.poll(0)
    assert worker._merger.held[BOOKS] <= 30
    write(log, TRADES, [19.5])
    for _ in range(50):
        worker.poll(0)
    assert snaps(log) == [float(n) for n in range(1, 20)]


def test_heartbeats_about_other_partitions_and_topics_are_no_promise() -> None:
    log = es_log()
    worker = make(log)
    write(log, BOOKS, [0.5, 1.5])
    log.append(topics.HEARTBEATS, heartbeat(TRADES, 0, at(9), partition=1))
    log.append(topics.HEARTBEATS, heartbeat("levels.signals.v1", 0, at(9)))
    drain(worker)
    assert rows(log) == [] and rows(log, topics.DEAD_LETTERS) == []
    beat(log, TRADES, 0, 1)
    drain(worker)
    assert snaps(log) == [1.0]


def test_a_heartbeat_beyond_a_control_marker_counts_at_the_inputs_end() -> None:
    log = es_log()
    producer = log.transactional_producer("source")
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(BOOKS, encoded(BOOKS, [at(0.5)])[0], partition=0)
    producer.commit_transaction()
    for topic, next_offset in ((BOOKS, 2), (TRADES, 0)):
        beat(log, topic, next_offset, 1)
    drain(make(log))
    assert snaps(log) == [1.0]


def test_a_passing_read_error_changes_nothing() -> None:
    log = es_log()
    worker = make(log)
    write(log, BOOKS, [0.5, 1.5])
    beat(log, TRADES, 0, 1)
    log.faults[log.operations + 1] = Fault.ERROR
    drain(worker)
    assert snaps(log) == [1.0]


def test_a_broker_that_does_not_answer_is_named_as_unavailable() -> None:
    log = es_log()
    log.down = True
    with pytest.raises(UnavailableError, match="SPY"):
        make(log)


def test_a_crash_is_no_exception_the_worker_could_swallow() -> None:
    log = es_log()
    worker = make(log)
    log.faults[log.operations + 1] = Fault.CRASH_BEFORE
    with pytest.raises(Crash):
        worker.poll(0)
