"""Trades as messages and a sink's parts over them, for tests of the lakehouse."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from common import kafka, schemas, topics
from common.avro import encode_row
from lakehouse.commits import Commit, Patience, Source, Store
from lakehouse.dead_letters import DeadLetters
from lakehouse.records import Decoder
from lakehouse.room import Room
from lakehouse.sink import Limits, TopicSink
from tests.support.memory_log import MemoryLog, Process

TOPIC = topics.FUTURES_TRADES
TABLE = "bronze.futures_trades"
GROUP = "sinks"
START_NS = 1_703_500_000_000_000_000
SOURCE = Source("cluster", "topic")
PATIENCE = Patience(lambda _: None, attempts=4)


def trade(number: int, ts_event_ns: int | None = None) -> dict[str, Any]:
    """One trade; a second after the one before unless told."""
    ts = START_NS + number * 1_000_000_000 if ts_event_ns is None else ts_event_ns
    return {
        "event_id": number,
        "ts_event_ns": ts,
        "ts_recv_ns": ts,
        "ts_effective_ns": ts,
        "source": "sim",
        "symbol": "ESH4",
        "instrument_id": None,
        "seq": number,
        "is_late": False,
        "price": 4800.25,
        "size": 1 + number % 3,
        "aggressor": "BUY",
        "flags": 0,
        "venue": None,
    }


def trade_value(number: int, ts_event_ns: int | None = None) -> bytes:
    """The trade as a framed record of schema id 7."""
    return encode_row(schemas.load(TOPIC), trade(number, ts_event_ns), 7)


def new_log(partitions: int = 1) -> MemoryLog:
    """A log with the trades' topic and the dead letters' one."""
    log = MemoryLog()
    log.create(TOPIC, partitions)
    log.create(topics.DEAD_LETTERS)
    return log


def write(log: MemoryLog, *numbers: int, partition: int = 0) -> None:
    """Append trades."""
    for number in numbers:
        log.append(TOPIC, trade_value(number), partition=partition)


def rows(*numbers: int, partition: int = 0, at_ns: Callable[[int], int | None] = lambda _: None) -> pa.Table:
    """Trades as the decoder makes them; each one's number is its offset too."""
    log = MemoryLog()
    log.create("t", partition + 1)
    for number in range(max(numbers, default=-1) + 1):
        log.append("t", trade_value(number, at_ns(number)), partition=partition)
    messages = log.records("t", partition)
    return decoder().decode([messages[number] for number in numbers]).table


def decoder() -> Decoder:
    """The trades' decoder, at a fixed time."""
    record = schemas.load(TOPIC)
    return Decoder(record, lambda _: record, now_ns=lambda: START_NS)


def batch(
    begin: int | None, end: int, *, owner: str = "me", partition: int = 0, table: pa.Table | None = None
) -> Commit:
    """The trades from ``begin`` to ``end``, as one batch."""
    return Commit(
        commit_id=uuid.uuid4().hex,
        owner=owner,
        source=SOURCE,
        begin={partition: begin},
        end={partition: end},
        marks={},
        rows=rows(*range(begin or 0, end), partition=partition) if table is None else table,
    )


def topic_sink(
    log: MemoryLog,
    store: Store,
    *,
    process: Process | None = None,
    owner: str = "me",
    member: str = "main",
    room: Room | None = None,
    limits: Limits = Limits(age_s=0.0),  # noqa: B008
    clock_s: Callable[[], float] = lambda: 0.0,
    patience: Patience = PATIENCE,
) -> TopicSink:
    """A sink of the trades in ``log``, a static member of their group."""
    process = log.process() if process is None else process
    admin = process.admin()
    return TopicSink(
        topic=TOPIC,
        table=TABLE,
        consumer=process.consumer(group_id=GROUP, group_instance_id=member, enable_partition_eof=True),
        store=store,
        decoder=decoder(),
        dead_letters=DeadLetters(process.producer(), topics.DEAD_LETTERS, 8, now_ns=lambda: START_NS),
        source=lambda: Source(kafka.cluster_id(admin), kafka.topic_ids([TOPIC], client=admin)[TOPIC]),
        owner=owner,
        repeats=False,
        patience=patience,
        room=Room(2**30) if room is None else room,
        limits=limits,
        clock_s=clock_s,
    )
