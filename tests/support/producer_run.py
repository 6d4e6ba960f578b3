"""Runs of the publisher against the log in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event

from common import schemas
from common.avro import Codec
from common.columns import Batch
from common.config import EngineConfig
from common.schemas import RecordSchema
from common.topics import DEAD_LETTERS, FUTURES_MBP10, FUTURES_TRADES, HEARTBEATS, full_name
from producers.log_state import Beat, read_beats
from producers.massive import parse
from producers.publish import Job, Log, Outcome, publish_files
from tests.support.memory_log import MemoryLog, Process

TOPICS = (FUTURES_MBP10, FUTURES_TRADES)
"""What an input of DBN files is about."""

ALL_TOPICS = (*TOPICS, *parse.TOPICS)
"""What an input with a capture is about."""

SCHEMA_IDS = {name: number for number, name in enumerate(schemas.names(), start=1)}


class Schemas:
    """A registry that knows the schemas of this version under fixed ids."""

    def schema(self, schema_id: int) -> RecordSchema:
        return schemas.load({number: name for name, number in SCHEMA_IDS.items()}[schema_id])


def fresh_log(seed: int | None = None, namespace: str = "") -> MemoryLog:
    log = MemoryLog(seed)
    for topic in (*ALL_TOPICS, HEARTBEATS, DEAD_LETTERS):
        log.create(full_name(topic, namespace))
    return log


def publish(
    process: MemoryLog | Process,
    paths: Sequence[Path],
    *,
    namespace: str = "",
    speed: float | None = None,
    stop: Event | None = None,
    config: EngineConfig | None = None,
    chunk_records: int = 16_384,
    queue_records: int = 1_000_000,
) -> Outcome:
    clients = Log(
        process.producer(queue_buffering_max_messages=queue_records),
        process.consumer(enable_partition_eof=True),
        Schemas(),
        SCHEMA_IDS,
    )
    job = Job(tuple(paths), "SPY", 0, namespace, "run-1", speed, chunk_records)
    return publish_files(job, config or EngineConfig(), clients, stop or Event())


def events(log: MemoryLog, topic: str, namespace: str = "") -> Batch:
    """What a reader of the topic gets."""
    values = [message.value() for message in log.records(full_name(topic, namespace))]
    decoded = Codec(schemas.load(topic)).decode(values, Schemas().schema)
    assert not decoded.bad
    return decoded.batch


def beats(log: MemoryLog, namespace: str = "") -> list[Beat]:
    return read_beats(log.consumer(enable_partition_eof=True), full_name(HEARTBEATS, namespace), 0, Schemas().schema)


def ids(log: MemoryLog, topic: str) -> list[tuple[int, int, int]]:
    """(event_id, ts_event_ns, ts_effective_ns) of every record, in log order."""
    batch = events(log, topic)
    fields = ("event_id", "ts_event_ns", "ts_effective_ns")
    return list(zip(*(batch[field].tolist() for field in fields), strict=True))


def assert_promises_hold(log: MemoryLog, topics: Sequence[str] = TOPICS) -> None:
    """After a heartbeat's next_offset nothing is older than its watermark.

    ENDED, beyond every record, is each one's last.
    """
    effective = {topic: [ns for _, _, ns in ids(log, topic)] for topic in topics}
    last = {}
    for beat in beats(log):
        assert all(ns >= beat.ts_watermark_ns for ns in effective[beat.topic][beat.next_offset :])
        last[beat.topic] = beat
    assert all(last[topic].ended and last[topic].next_offset == len(effective[topic]) for topic in topics)
    newest_ns = max((ns for rows in effective.values() for ns in rows), default=0)
    assert all(beat.ts_watermark_ns > newest_ns or not newest_ns for beat in last.values())
