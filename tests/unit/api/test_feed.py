"""Reading the signals' log into memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api import feed as feed_module
from api.feed import SIGNALS, SnapFeed
from api.live import LiveSignals
from api.snaps import Snap
from common import topics
from common.avro import Codec
from common.errors import SchemaError, UnavailableError
from common.schemas import RecordSchema
from common.telemetry import Health
from tests.support.memory_log import MemoryLog
from tests.support.signal_rows import SCHEMA, signal_batch, snap_ns, snap_rows

SCHEMA_ID = 7
CODEC = Codec(SCHEMA)
TOPIC = topics.SIGNALS


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "RETRY_WAIT_S", 0.001)


def writer(schema_id: int) -> RecordSchema:
    if schema_id != SCHEMA_ID:
        raise SchemaError(f"no schema {schema_id}")
    return SCHEMA


def log_of(*numbers: int) -> MemoryLog:
    log = MemoryLog()
    log.create(TOPIC)
    produce(log, *numbers)
    return log


def produce(log: MemoryLog, *numbers: int) -> None:
    rows = [row for number in numbers for row in snap_rows(number)]
    for value in CODEC.encode(signal_batch(rows), SCHEMA_ID).messages():
        log.append(TOPIC, value)


class Watched:
    """Live snaps and health of a feed, and waiting for what they become."""

    def __init__(self, feed: SnapFeed[Snap], live: LiveSignals, health: Health) -> None:
        self.feed = feed
        self.live = live
        self.health = health

    def until(self, reached: Callable[[], bool]) -> None:
        pause = threading.Event()
        while not reached():
            pause.wait(0.002)

    def until_seq(self, seq: int) -> None:
        self.until(lambda: self.live.latest is not None and self.live.latest.seq == seq)

    def part(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.health.report()["parts"][name]
        return found

    @property
    def seqs(self) -> list[int]:
        return [snap.seq for snap in self.live.all()[0]]


@contextmanager
def reading(
    log: MemoryLog, resolve: Callable[[int], RecordSchema] = writer, look_back_rows: int = 1_000
) -> Iterator[Watched]:
    live, health = LiveSignals(100), Health()
    feed = SnapFeed(
        log.consumer(), SIGNALS, resolve, live, health, topic=TOPIC, partition=0, look_back_rows=look_back_rows
    )
    feed.start()
    try:
        yield Watched(feed, live, health)
    finally:
        feed.stop()


def test_what_is_in_the_log_is_there_and_what_follows_comes() -> None:
    log = log_of(0, 1)
    with reading(log) as watched:
        watched.until_seq(5)
        produce(log, 2, 3)
        watched.until_seq(11)
        assert watched.seqs == [2, 5, 8, 11]
        watched.until(lambda: watched.health.ready)
        assert watched.feed.lag_records == 0


def test_a_restart_gives_every_snap_the_number_it_had() -> None:
    log = log_of(*range(40))
    with reading(log) as first:
        first.until_seq(119)
        whole = {snap.ts_event_ns: snap.seq for snap in first.live.all()[0]}
    for look_back_rows in (4, 7, 30):
        with reading(log, look_back_rows=look_back_rows) as again:
            again.until_seq(119)
            kept, from_log_begin = again.live.all()
            assert not from_log_begin
            assert all(whole[snap.ts_event_ns] == snap.seq for snap in kept)


def test_rows_that_a_crashed_worker_published_again_come_once() -> None:
    log = log_of(0, 1, 0, 1, 2)
    with reading(log) as watched:
        watched.until_seq(14)
        assert [snap.ts_event_ns for snap in watched.live.all()[0]] == [snap_ns(0), snap_ns(1), snap_ns(2)]


def test_a_record_that_is_not_avro_is_left_out_and_the_reading_goes_on() -> None:
    log = log_of(0)
    for value in (b"", b"junk", b"\0\0\0\0\x07", b"\0\0\0\0\x63rest"):
        log.append(TOPIC, value)
    log.append(TOPIC, None)
    produce(log, 1)
    with reading(log) as watched:
        watched.until_seq(10)
        assert watched.seqs == [2, 10]


def test_a_topic_that_does_not_exist_yet_is_waited_for() -> None:
    log = MemoryLog()
    with reading(log) as watched:
        watched.until(lambda: "no topic-partition" in str(watched.part("signals")["detail"]))
        assert watched.part("broker")["ok"]
        log.create(TOPIC)
        produce(log, 0)
        watched.until_seq(2)


def test_a_broker_that_is_away_is_said_and_waited_for() -> None:
    log = log_of(0)
    log.down = True
    with reading(log) as watched:
        watched.until(lambda: "watermark" in str(watched.part("broker")["detail"]))
        assert not watched.health.ready
        assert watched.feed.lag_records is None
        log.down = False
        watched.until_seq(2)
        watched.until(lambda: watched.health.ready)


def test_a_broker_that_goes_and_comes_back_leaves_memory_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "PROBE_EVERY_S", 0.2)
    log = log_of(0, 1)
    with reading(log) as watched:
        watched.until_seq(5)
        log.down = True
        watched.until(lambda: not watched.part("broker")["ok"])
        assert watched.seqs == [2, 5]
        log.down = False
        produce(log, 2)
        watched.until_seq(8)
        assert watched.seqs == [2, 5, 8]
        watched.until(lambda: bool(watched.part("broker")["ok"]))


def test_a_registry_that_is_away_loses_nothing() -> None:
    asked = 0

    def shy(schema_id: int) -> RecordSchema:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise UnavailableError("the registry does not answer")
        return writer(schema_id)

    with reading(log_of(0, 1), shy) as watched:
        watched.until_seq(5)
        assert watched.seqs == [2, 5]


def test_a_log_made_anew_begins_a_new_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "PROBE_EVERY_S", 0.2)
    log = log_of(0, 1, 2)
    with reading(log) as watched:
        watched.until_seq(8)
        log.create(TOPIC)
        watched.until(lambda: watched.live.latest is None)
        produce(log, 5)
        watched.until_seq(2)
        assert watched.seqs == [2]


class Silent:
    """A consumer that never hears that its log was replaced by a shorter one."""

    def __init__(self) -> None:
        self.end = 9
        self.assigned: list[int] = []

    def get_watermark_offsets(self, _partition: Any, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        return 0, self.end

    def assign(self, partitions: list[Any]) -> None:
        self.assigned.append(partitions[0].offset)

    def consume(self, num_messages: int = 1, timeout: float = 0) -> list[Any]:
        return []

    def close(self) -> None:
        """Nothing to let go."""


def test_a_log_that_became_shorter_is_noticed_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "PROBE_EVERY_S", 0.2)
    consumer, live = Silent(), LiveSignals(10)
    feed = SnapFeed(consumer, SIGNALS, writer, live, Health(), topic=TOPIC, partition=0, look_back_rows=0)
    feed.start()
    watched = Watched(feed, live, Health())
    watched.until(lambda: consumer.assigned == [9])
    consumer.end = 4
    watched.until(lambda: consumer.assigned == [9, 4])
    feed.stop()


def test_a_fault_of_the_reading_shows_in_health() -> None:
    def broken(_schema_id: int) -> RecordSchema:
        raise ZeroDivisionError("a fault")

    live, health = LiveSignals(10), Health()
    feed = SnapFeed(log_of(0).consumer(), SIGNALS, broken, live, health, topic=TOPIC, partition=0)
    feed.run()
    assert isinstance(feed.failure, ZeroDivisionError)
    assert not health.ready
    assert "a fault" in health.report()["parts"]["signals"]["detail"]
