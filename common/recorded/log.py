"""Records as they stand in the log: found by offset or by time, read to a given end and no further."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from common import kafka, schemas
from common.avro import Codec, decode_row
from common.columns import Batch
from common.errors import InputError, RecordError, SchemaError, UnavailableError
from common.kafka import REQUEST_TIMEOUT_S, Watermarks
from common.recorded.streams import Piece
from common.schemas import RecordSchema
from common.topics import full_name

PIECE_RECORDS = 20_000
"""Records decoded at a time."""

STALL_S = 60.0
"""How long a broker may deliver nothing of what it says it has."""

_ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


class LogReader:
    """Reads one partition of a namespace's topics (named here without the namespace). Serves one thread.

    ``consumer`` makes consumers of committed records (`common.kafka.consumer`, or a log in memory); ``writer`` gives
    the schema of an id. Every method raises UnavailableError when the broker does not deliver.
    """

    def __init__(
        self, consumer: Callable[..., Any], writer: Callable[[int], RecordSchema], namespace: str, partition: int
    ) -> None:
        self.namespace = namespace
        self.partition = partition
        self._make = consumer
        self._writer = writer
        self._probe: Any = None
        self._codecs: dict[str, Codec] = {}

    def close(self) -> None:
        """Give up the connection; the reader makes another when it is used again."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def bounds(self, topic: str) -> Watermarks | None:
        """First offset and the one after the last committed record; None when there is no such topic."""
        name = full_name(topic, self.namespace)
        try:
            where = TopicPartition(name, self.partition)
            return Watermarks(*self._prober().get_watermark_offsets(where, timeout=REQUEST_TIMEOUT_S, cached=False))
        except KafkaException as error:
            if error.args[0].code() in _ABSENT:
                return None
        # It tries again while the broker elects leaders, and says what is wrong.
        return kafka.end_offsets(name, self.partition, client=self._prober())

    def time_at(self, topic: str, offset: int, field: str = "ts_effective_ns") -> int | None:
        """The time of the first record at or after ``offset``; None when none follows.

        Raises InputError when the records from there on are no longer all in the topic.
        """
        bounds = self.bounds(topic)
        if bounds is None or offset >= bounds.end_offset:
            return None
        if offset < bounds.begin_offset:
            raise InputError(
                f"{topic} begins at offset {bounds.begin_offset}: {offset} is past its retention",
                hint="Read it from the tables: --iceberg.",
            )
        # Ends of transactions and records that cannot be decoded stand between records.
        for messages in self._messages(topic, offset, bounds.end_offset, self._prober(), 1):
            batch, _ = self._decode(topic, messages)
            if batch.length:
                return int(batch[field][0])
        return None

    def offset_at(self, topic: str, ts_ns: int, field: str = "ts_effective_ns") -> int:
        """The offset of the first record not earlier than ``ts_ns``, or the end. The topic must rise in ``field``."""
        bounds = self.bounds(topic)
        if bounds is None:
            return 0
        low, high = bounds
        while low < high:
            middle = (low + high) // 2
            found_ns = self.time_at(topic, middle, field)
            if found_ns is None or found_ns >= ts_ns:
                high = middle
            else:
                low = middle + 1
        return low

    def pieces(self, topic: str, begin: int, end: int) -> Iterator[Piece]:
        """The records with begin <= offset < end as columns. What cannot be decoded is left out, as live."""
        client = self._make(enable_partition_eof=True, queued_max_messages_kbytes=32_768)
        try:
            for messages in self._messages(topic, begin, end, client, PIECE_RECORDS):
                yield Piece(*self._decode(topic, messages))
        finally:
            client.close()

    def rows(self, topic: str, begin: int, end: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Offset and fields of the records of a low-rate topic, with begin <= offset < end."""
        client = self._make(enable_partition_eof=True)
        try:
            for messages in self._messages(topic, begin, end, client, PIECE_RECORDS):
                for message in messages:
                    try:
                        yield message.offset(), decode_row(schemas.load(topic), message.value(), self._writer)
                    except (RecordError, SchemaError):
                        continue
        finally:
            client.close()

    def messages(self, topic: str, begin: int, end: int) -> Iterator[list[Any]]:
        """The messages with begin <= offset < end as they arrive, a list of some at a time."""
        client = self._make(enable_partition_eof=True, queued_max_messages_kbytes=32_768)
        try:
            yield from self._messages(topic, begin, end, client, PIECE_RECORDS)
        finally:
            client.close()

    def _prober(self) -> Any:
        if self._probe is None:
            self._probe = self._make(enable_partition_eof=True, queued_max_messages_kbytes=4_096)
        return self._probe

    def _decode(self, topic: str, messages: Sequence[Any]) -> tuple[Batch, np.ndarray[Any, np.dtype[np.int64]]]:
        offsets = np.fromiter((message.offset() for message in messages), np.int64, len(messages))
        codec = self._codecs.setdefault(topic, Codec(schemas.load(topic)))
        decoded = codec.decode([message.value() for message in messages], self._writer)
        return decoded.batch, offsets[decoded.index]

    def _messages(self, topic: str, begin: int, end: int, client: Any, count: int) -> Iterator[list[Any]]:
        """The messages of ``[begin, end)`` as they arrive, at most ``count`` at a time."""
        name = full_name(topic, self.namespace)
        client.assign([TopicPartition(name, self.partition, begin)])
        reached = begin
        deadline_s = time.monotonic() + STALL_S
        while reached < end:
            taken = []
            for message in client.consume(count, 0.1):
                error = message.error()
                if error is None:
                    reached = message.offset() + 1
                    if message.offset() < end:
                        taken.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    reached = max(reached, message.offset())
                elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                    raise InputError(
                        f"{name}-{self.partition} no longer has offset {begin}: retention has cut it",
                        hint="Read it from the tables: --iceberg.",
                    )
                elif error.fatal():
                    raise kafka.unavailable(f"give the records of {name}", error)
            if taken:
                yield taken
                deadline_s = time.monotonic() + STALL_S
            elif time.monotonic() > deadline_s:
                raise UnavailableError(
                    f"{name}-{self.partition}: nothing came for {STALL_S:.0f} s, at offset {reached} of {end}",
                    hint="Check that the broker runs (./breakwater status).",
                )
