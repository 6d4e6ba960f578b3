"""How far an input has come, by what the log and the tables hold, not by waiting.

An input is through when: its source has written ENDED for every topic; a committed marker of the features worker covers
the offsets and the promise of that; the signals topic ends with the last snap that the features topic holds; and every
table has committed its topic's last record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, Message, TopicPartition

from common import endpoints, iceberg, kafka, schemas, topics
from common.avro import decode_row
from common.errors import UnavailableError
from common.registry import Registry
from common.schemas import RecordSchema
from common.topics import full_name
from lakehouse.read import committed_offsets

INPUT_TOPICS = (topics.FUTURES_MBP10, topics.FUTURES_TRADES)
FIRST_WINDOW = 16
READ_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Reached:
    """Which stages have the whole input, in the order of the stages."""

    producer: bool
    features: bool = False
    signals: bool = False
    tables: bool = False

    @property
    def waiting_for(self) -> str | None:
        """The first stage that has not; None when the input is through."""
        for stage in ("producer", "features", "signals", "tables"):
            if not getattr(self, stage):
                return stage
        return None


@dataclass(frozen=True, slots=True)
class LastRecord:
    """A partition's last committed record: the offset after it, and its fields."""

    next_offset: int
    row: Mapping[str, Any]


Committed = Callable[[str], Mapping[tuple[str, int], int]]
"""The next offset by (full topic name, partition) that a table has committed."""


_NEVER_DONE = (topics.HEARTBEATS, topics.MARKERS)
"""Topics that go on while there is nothing to do: nobody waits for their last record."""


class Facts:
    """Looks at one partition of one namespace. Not thread-safe.

    ``follower`` and ``reader`` are consumers of committed records of its own, ``reader`` with ``enable_partition_eof``;
    ``writer`` gives the schema of an id.
    """

    def __init__(
        self,
        namespace: str,
        partition: int,
        input_id: str,
        *,
        follower: Any,
        reader: Any,
        writer: Callable[[int], RecordSchema],
        committed: Committed,
    ) -> None:
        self._namespace = namespace
        self._partition = partition
        self._input_id = input_id
        self._follower = follower
        self._reader = reader
        self._writer = writer
        self._committed = committed
        self._markers = full_name(topics.MARKERS, namespace)
        self._ended: dict[str, dict[str, Any]] = {}
        self._last_ended: dict[str, dict[str, Any]] = {}
        self._marker: dict[str, Any] | None = None
        self._last_promise = 0
        self._stored: set[str] = set()
        followed = (full_name(topics.HEARTBEATS, namespace), self._markers)
        begins = [kafka.end_offsets(name, partition, client=follower).begin_offset for name in followed]
        follower.assign([TopicPartition(n, partition, at) for n, at in zip(followed, begins, strict=True)])

    def update(self, timeout_s: float) -> None:
        """Take in new heartbeats and markers. Raises UnavailableError when the log cannot be read."""
        for message in self._follower.consume(10_000, timeout_s):
            error = message.error()
            if error is not None:
                if error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
                    raise kafka.unavailable(f"give the records of {message.topic()}", error)
            elif message.topic() == self._markers:
                self._marker = self._decode(topics.MARKERS, message)
            else:
                beat = self._decode(topics.HEARTBEATS, message)
                self._take_beat(beat)
                if beat["state"] == "ENDED":
                    self._last_promise = int(message.offset() or 0) + 1

    def _take_beat(self, beat: dict[str, Any]) -> None:
        if beat["state"] == "ENDED" and beat["partition"] == self._partition:
            name = beat["topic"].removeprefix(full_name("", self._namespace))
            self._last_ended[name] = beat
            if beat["input_id"] == self._input_id:
                self._ended[name] = beat

    @property
    def input_records(self) -> dict[str, int]:
        """Records of the input per topic, as its source said at its end; of the topics it has said it for."""
        return {name: int(beat["input_records"] or 0) for name, beat in sorted(self._ended.items())}

    def reached(self) -> Reached:
        """How far the input has come; later stages are asked only when the earlier ones have it."""
        if not set(INPUT_TOPICS) <= set(self._ended):
            return Reached(False)
        if not self._features_cover():
            return Reached(True)
        if not self._signals_cover():
            return Reached(True, True)
        return Reached(True, True, True, self._tables_cover())

    def _features_cover(self) -> bool:
        if self._marker is None:
            return False
        names = self._marker["input_topics"]
        offsets = dict(zip(names, self._marker["input_next_offsets"], strict=True))
        promises = dict(zip(names, self._marker["ts_promises_ns"], strict=True))
        return all(
            offsets.get(beat["topic"], 0) >= beat["next_offset"]
            and promises.get(beat["topic"], 0) >= beat["ts_watermark_ns"]
            for beat in self._last_ended.values()
        )

    def _signals_cover(self) -> bool:
        features, signals = self.last_record(topics.FEATURES), self.last_record(topics.SIGNALS)
        if features is None:
            return True
        if signals is None:
            return False
        return bool(
            signals.row["ts_event_ns"] == features.row["ts_event_ns"]
            and signals.row["snap_row"] + 1 == signals.row["snap_rows"]
        )

    def _tables_cover(self) -> bool:
        for name in iceberg.TABLES:
            # The input is over: what has come to a topic's end stays there.
            if name in _NEVER_DONE or name in self._stored:
                continue
            last = self.last_record(name)
            if last is not None and self._stored_to(name) < last.next_offset:
                return False
            self._stored.add(name)
        return True

    def end_is_stored(self) -> bool:
        """Whether the table of heartbeats holds that the input has ended."""
        return self._stored_to(topics.HEARTBEATS) >= self._last_promise

    def _stored_to(self, name: str) -> int:
        return self._committed(iceberg.TABLES[name]).get((full_name(name, self._namespace), self._partition), 0)

    def last_record(self, name: str) -> LastRecord | None:
        """The last record of the topic (named without the namespace); None when it holds none."""
        topic = full_name(name, self._namespace)
        low, high = kafka.end_offsets(topic, self._partition, client=self._reader)
        window = FIRST_WINDOW
        # The last offsets may be the ends of transactions, or records of aborted ones.
        while low < high:
            start = max(low, high - window)
            message = self._last_of(topic, start, high)
            if message is not None or start == low:
                return (
                    None if message is None else LastRecord(int(message.offset() or 0) + 1, self._decode(name, message))
                )
            window *= 8
        return None

    def _last_of(self, topic: str, start: int, end: int) -> Message | None:
        self._reader.assign([TopicPartition(topic, self._partition, start)])
        last: Message | None = None
        deadline = time.monotonic() + READ_TIMEOUT_S
        while time.monotonic() < deadline:
            message = self._reader.poll(READ_TIMEOUT_S)
            if message is None:
                break
            error = message.error()
            if error is None:
                last = message
                if int(message.offset() or 0) + 1 >= end:
                    return last
            elif error.code() == KafkaError._PARTITION_EOF:
                return last
            elif not error.retriable():
                raise kafka.unavailable(f"give the records of {topic}", error)
        raise UnavailableError(
            f"{topic}-{self._partition}: the records from offset {start} to {end} do not arrive",
            hint="Check that the broker runs: ./breakwater status.",
        )

    def _decode(self, name: str, message: Message) -> dict[str, Any]:
        return decode_row(schemas.load(name), message.value(), self._writer)


@contextmanager
def open_facts(namespace: str, partition: int, input_id: str, kind: type[Facts] = Facts) -> Iterator[Any]:
    """Facts of the deployment's log and tables while the block runs."""
    with (
        closing(kafka.consumer()) as follower,
        closing(kafka.consumer(enable_partition_eof=True)) as reader,
        Registry(endpoints.resolve().registry_url) as registry,
    ):
        yield kind(
            namespace,
            partition,
            input_id,
            follower=follower,
            reader=reader,
            writer=registry.schema,
            committed=committed_offsets,
        )
