"""The topics against the tables, row by row: what is lost, doubled or different.

Records are decoded one by one with the row decoder, which shares nothing with the sink's columnar one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message, TopicPartition

from common import iceberg, kafka, schemas, topics
from common.avro import decode_row
from common.errors import RecordError
from infra.chaos.feed import FED, PARTITIONS

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True, slots=True)
class Account:
    """A topic and its table. ``lost``, ``doubled``, ``different`` and ``foreign`` rows must all be none."""

    topic: str
    records: int
    bad: int
    repeated: int
    rows: int
    lost: int
    doubled: int
    different: int
    foreign: int
    letters_lost: int

    @property
    def holds(self) -> bool:
        """True when every good record is in the table once, as it was, and every bad one in the dead letters."""
        return not (self.lost or self.doubled or self.different or self.foreign or self.letters_lost)


def audit(namespace: str) -> list[Account]:
    """The accounts of the fed topics."""
    letters = _letters(topics.full_name(topics.DEAD_LETTERS, namespace))
    return [_account(topic, topics.full_name(topic, namespace), letters) for topic in FED]


def ends(namespace: str) -> dict[tuple[str, int], int]:
    """The end offset of every fed partition, by full topic name."""
    consumer = kafka.consumer()
    names = [topics.full_name(topic, namespace) for topic in FED]
    out = {(n, p): kafka.end_offsets(n, p, client=consumer).end_offset for n in names for p in range(PARTITIONS)}
    consumer.close()
    return out


def _account(topic: str, name: str, letters: set[tuple[str, int, int]]) -> Account:
    schema = schemas.load(topic)
    records: dict[Place, dict[str, Any]] = {}
    bad: list[Place] = []
    repeated, newest = 0, dict[int, tuple[int, int]]()
    total = 0
    for message in messages(name, PARTITIONS):
        total += 1
        place = (message.partition() or 0, message.offset() or 0)
        try:
            record = decode_row(schema, message.value(), lambda _: schema)
        except RecordError:
            bad.append(place)
            continue
        if topic == topics.SIGNALS:
            rank = (record["ts_event_ns"], record["snap_row"])
            if rank <= newest.get(place[0], (-1, -1)):
                repeated += 1
                continue
            newest[place[0]] = rank
        records[place] = record
    rows = iceberg.scan(iceberg.TABLES[topic]).to_pylist()
    found = Counter((row["_partition"], row["_offset"]) for row in rows)
    different = sum(
        any(row[key] != value for key, value in records[place].items())
        for row in rows
        if (place := (row["_partition"], row["_offset"])) in records
    )
    return Account(
        topic=topic,
        records=total,
        bad=len(bad),
        repeated=repeated,
        rows=len(rows),
        lost=len(records.keys() - found.keys()),
        doubled=sum(count - 1 for count in found.values()),
        different=different,
        foreign=len(found.keys() - records.keys()),
        letters_lost=len({(name, *place) for place in bad} - letters),
    )


def _letters(name: str) -> set[tuple[str, int, int]]:
    schema = schemas.load(topics.DEAD_LETTERS)
    found = (decode_row(schema, message.value(), lambda _: schema) for message in messages(name, 1))
    return {(letter["topic"], letter["partition"], letter["offset"]) for letter in found}


def messages(name: str, partitions: int) -> Iterator[Message]:
    """Every record of a topic up to its end now, partition by partition."""
    consumer = kafka.consumer(enable_partition_eof=True)
    for number in range(partitions):
        consumer.assign([TopicPartition(name, number, 0)])
        at_end = kafka.end_offsets(name, number, client=consumer).end_offset == 0
        while not at_end:
            for message in consumer.consume(10_000, 1.0):
                if message.error() is None:
                    yield message
                else:
                    at_end = True
    consumer.close()
