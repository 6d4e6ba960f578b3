"""The topics against the tables, row by row: what is lost, doubled or different.

Records are decoded one by one with the row decoder, which shares nothing with the sink's columnar one. Some offsets
are held in memory at a time, so that a run may last as long as one likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import islice
from typing import Any

from confluent_kafka import Message, TopicPartition
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThan, Reference
from pyiceberg.expressions.literals import literal

from common import iceberg, kafka, schemas, topics
from common.avro import decode_row
from common.errors import RecordError
from infra.chaos.feed import FED, PARTITIONS

CHUNK = 20_000
"""Records that are compared at once."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """A topic and its table. ``lost``, ``doubled``, ``different`` and ``foreign`` rows must all be none."""

    topic: str
    records: int = 0
    bad: int = 0
    repeated: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    foreign: int = 0
    letters_lost: int = 0

    @property
    def holds(self) -> bool:
        """True when every good record is in the table once, as it was, and every bad one in the dead letters."""
        return not (self.lost or self.doubled or self.different or self.foreign or self.letters_lost)

    def plus(self, other: Account) -> Account:
        """Both parts of the topic together."""
        pairs = zip(astuple(self)[1:], astuple(other)[1:], strict=True)
        return Account(self.topic, *(mine + theirs for mine, theirs in pairs))


def audit(namespace: str) -> list[Account]:
    """The accounts of the fed topics."""
    letters = _letters(topics.full_name(topics.DEAD_LETTERS, namespace))
    return [account(topic, topics.full_name(topic, namespace), letters) for topic in FED]


def ends(namespace: str) -> dict[tuple[str, int], int]:
    """The end offset of every fed partition, by full topic name."""
    consumer = kafka.consumer()
    names = [topics.full_name(topic, namespace) for topic in FED]
    out = {(n, p): kafka.end_offsets(n, p, client=consumer).end_offset for n in names for p in range(PARTITIONS)}
    consumer.close()
    return out


def account(topic: str, name: str, letters: set[tuple[str, int, int]]) -> Account:
    """A topic (``name``: with its namespace) and its table; ``letters``: (topic, partition, offset) of dead letters."""
    total = Account(topic)
    for number in range(PARTITIONS):
        begin, newest = 0, (-1, -1)
        log = messages(name, number)
        while some := list(islice(log, CHUNK)):
            records, bad, repeated, newest = decoded(topic, some, newest)
            end = (some[-1].offset() or 0) + 1
            found = compare(topic, records, _rows(topic, number, begin, end))
            lost_letters = len({(name, number, offset) for offset in bad} - letters)
            counts = Account(topic, records=len(some), bad=len(bad), repeated=repeated, letters_lost=lost_letters)
            total, begin = total.plus(found).plus(counts), end
        total = total.plus(compare(topic, {}, _rows(topic, number, begin, None)))
    beyond = GreaterThanOrEqual(term=Reference("_partition"), value=literal(PARTITIONS))
    return total.plus(compare(topic, {}, iceberg.scan(iceberg.TABLES[topic], beyond).to_pylist()))


def compare(topic: str, records: dict[int, Row], rows: Sequence[Row]) -> Account:
    """The good records of a part of one partition, by offset, against the rows that the table has of it."""
    found = Counter(row["_offset"] for row in rows)
    different = sum(
        any(row[key] != value for key, value in records[row["_offset"]].items())
        for row in rows
        if row["_offset"] in records
    )
    return Account(
        topic,
        rows=len(rows),
        lost=len(records.keys() - found.keys()),
        doubled=sum(count - 1 for count in found.values()),
        different=different,
        foreign=len(found.keys() - records.keys()),
    )


def decoded(
    topic: str, some: Sequence[Message], newest: tuple[int, int]
) -> tuple[dict[int, Row], list[int], int, tuple[int, int]]:
    """(good records by offset, offsets of bad ones, snaps' rows sent again, the newest place among the snaps)."""
    schema = schemas.load(topic)
    records: dict[int, Row] = {}
    bad: list[int] = []
    repeated = 0
    for message in some:
        offset = message.offset() or 0
        try:
            record = decode_row(schema, message.value(), lambda _: schema)
        except RecordError:
            bad.append(offset)
            continue
        if topic == topics.SIGNALS:
            rank = (record["ts_event_ns"], record["snap_row"])
            if rank <= newest:
                repeated += 1
                continue
            newest = rank
        records[offset] = record
    return records, bad, repeated, newest


def _rows(topic: str, partition: int, begin: int, end: int | None) -> list[Row]:
    """The table's rows of these offsets; ``end`` None: of all that follow."""
    where: BooleanExpression = And(
        EqualTo(term=Reference("_partition"), value=literal(partition)),
        GreaterThanOrEqual(term=Reference("_offset"), value=literal(begin)),
    )
    if end is not None:
        where = And(where, LessThan(term=Reference("_offset"), value=literal(end)))
    found: list[Row] = iceberg.scan(iceberg.TABLES[topic], where).to_pylist()
    return found


def _letters(name: str) -> set[tuple[str, int, int]]:
    schema = schemas.load(topics.DEAD_LETTERS)
    found = (decode_row(schema, message.value(), lambda _: schema) for message in messages(name, 0))
    return {(letter["topic"], letter["partition"], letter["offset"]) for letter in found}


def messages(name: str, partition: int) -> Iterator[Message]:
    """Every record of a topic's partition up to its end now."""
    consumer = kafka.consumer(enable_partition_eof=True)
    consumer.assign([TopicPartition(name, partition, 0)])
    at_end = kafka.end_offsets(name, partition, client=consumer).end_offset == 0
    while not at_end:
        for message in consumer.consume(10_000, 1.0):
            if message.error() is None:
                yield message
            else:
                at_end = True
    consumer.close()
