"""What the log already holds: the promises made so far and the last record of each topic. Reads only.

Consumers are made with ``enable_partition_eof``, without which the end of a topic with transactions is never reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from common import kafka
from common.avro import Codec
from common.columns import Batch, string_list
from common.errors import InvariantError, UnavailableError
from common.schemas import RecordSchema, load
from common.topics import HEARTBEATS

Writer = Callable[[int], RecordSchema]
"""The writer's schema of a schema id, as the registry gives it."""

READ_RECORDS = 10_000
STALL_S = 30.0
"""How long a read may go without a record before the broker counts as away."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat, as far as a restart needs it.

    ``input_records``: how many records of the input stand before ``next_offset``.
    """

    topic: str
    next_offset: int
    ts_watermark_ns: int
    ended: bool
    input_id: str | None
    input_records: int


@dataclass(frozen=True, slots=True)
class Tail:
    """A topic's end: its next offset, and its last record where it has one (``event_id`` is None where not)."""

    end_offset: int
    event_id: int | None = None
    ts_event_ns: int = 0
    ts_effective_ns: int = 0


def read_beats(consumer: ck.Consumer, topic: str, partition: int, writer: Writer) -> list[Beat]:
    """All heartbeats in the partition, oldest first: a promise binds who comes after, whoever made it.

    Raises UnavailableError, InvariantError for bad bytes.
    """
    marks = kafka.end_offsets(topic, partition, client=consumer)
    values = [value for _, value in _read(consumer, topic, partition, marks.begin_offset, marks.end_offset)]
    if not values:
        return []
    batch = _decode(Codec(load(HEARTBEATS)), topic, values, writer)
    ended = load(HEARTBEATS).field("state").symbols.index("ENDED")
    rows = zip(
        string_list(batch.columns["topic"]),
        batch["partition"].tolist(),
        batch["next_offset"].tolist(),
        batch["ts_watermark_ns"].tolist(),
        batch["state"].tolist(),
        string_list(batch.columns["input_id"]),
        batch["input_records"].tolist(),
        strict=True,
    )
    return [
        Beat(str(about), next_offset, watermark_ns, state == ended, input_id, records)
        for about, number, next_offset, watermark_ns, state, input_id, records in rows
        if number == partition
    ]


def read_tail(consumer: ck.Consumer, topic: str, partition: int, schema: RecordSchema, writer: Writer) -> Tail:
    """The partition's end and last record. Raises UnavailableError, InvariantError for bad bytes."""
    marks = kafka.end_offsets(topic, partition, client=consumer)
    if marks.begin_offset == marks.end_offset:
        return Tail(marks.end_offset)
    values = [value for _, value in _read(consumer, topic, partition, marks.end_offset - 1, marks.end_offset)]
    batch = _decode(Codec(schema), topic, values[-1:], writer)
    event_id, event_ns, effective_ns = (
        int(batch[field][0]) for field in ("event_id", "ts_event_ns", "ts_effective_ns")
    )
    return Tail(marks.end_offset, event_id, event_ns, effective_ns)


def read_values(consumer: ck.Consumer, topic: str, partition: int) -> Iterator[tuple[int, bytes]]:
    """Offset and value of every record in the partition, in pieces. Raises UnavailableError."""
    marks = kafka.end_offsets(topic, partition, client=consumer)
    for begin in range(marks.begin_offset, marks.end_offset, READ_RECORDS):
        yield from _read(consumer, topic, partition, begin, min(begin + READ_RECORDS, marks.end_offset))


def read_newest(
    consumer: ck.Consumer, topic: str, partition: int, schema: RecordSchema, writer: Writer, count: int
) -> tuple[int, Batch]:
    """The partition's end and its last ``count`` records at most. Raises as `read_tail`."""
    marks = kafka.end_offsets(topic, partition, client=consumer)
    begin = max(marks.begin_offset, marks.end_offset - count)
    values = [value for _, value in _read(consumer, topic, partition, begin, marks.end_offset)]
    return marks.end_offset, _decode(Codec(schema), topic, values, writer)


def read_promises(
    consumer: ck.Consumer, topic: str, partition: int, about: Collection[str], writer: Writer
) -> dict[str, int]:
    """The last promise (ns) about each of the topics ``about``, read from the newest heartbeat backwards.

    Promises about a topic never decrease. Topics without any are absent. Raises as `read_tail`.
    """
    marks = kafka.end_offsets(topic, partition, client=consumer)
    codec = Codec(load(HEARTBEATS))
    found: dict[str, int] = {}
    end = marks.end_offset
    while end > marks.begin_offset and not set(about) <= found.keys():
        begin = max(marks.begin_offset, end - READ_RECORDS)
        values = [value for _, value in _read(consumer, topic, partition, begin, end)]
        batch = _decode(codec, topic, values, writer)
        for name, number, promised_ns in zip(
            string_list(batch.columns["topic"]),
            batch["partition"].tolist(),
            batch["ts_watermark_ns"].tolist(),
            strict=True,
        ):
            if name is not None and name in about and number == partition:
                found[name] = max(found.get(name, 0), promised_ns)
        end = begin
    return found


def _decode(codec: Codec, topic: str, values: list[bytes], writer: Writer) -> Batch:
    decoded = codec.decode(values, writer)
    if decoded.bad:
        raise InvariantError(
            f"{topic}: a record that a producer goes on from cannot be decoded: {decoded.bad[0].error}",
            hint="Something else writes into this topic; use another --namespace.",
        )
    return decoded.batch


def _read(consumer: ck.Consumer, topic: str, partition: int, begin: int, end: int) -> list[tuple[int, bytes]]:
    """Offset and value of the records from ``begin`` up to ``end``."""
    values: list[tuple[int, bytes]] = []
    position = begin
    consumer.assign([TopicPartition(topic, partition, begin)])
    heard_s = time.monotonic()
    try:
        while position < end:
            # It waits for the number asked for: never ask for more than there is.
            for message in consumer.consume(min(READ_RECORDS, end - position), timeout=0.5):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        # Where transactions write, the last offsets are their ends.
                        position = max(position, message.offset() or 0)
                    elif not error.retriable():
                        raise kafka.unavailable(f"give the records of {topic}-{partition}", error)
                    continue
                heard_s = time.monotonic()
                offset = message.offset()
                if offset is not None:
                    position = offset + 1
                    if offset < end:
                        values.append((offset, message.value() or b""))
            if time.monotonic() - heard_s > STALL_S:
                raise UnavailableError(
                    f"{topic}-{partition}: no record for {STALL_S:.0f} s at offset {position} of {end}",
                    hint="Check that the broker runs: ./breakwater status.",
                )
    except KafkaException as error:
        raise kafka.unavailable(f"give the records of {topic}-{partition}", error) from error
    finally:
        consumer.unassign()
    return values
