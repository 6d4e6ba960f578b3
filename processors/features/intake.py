"""From the log to the merge: consume in large batches, decode as columns, set bad records aside, bound the memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, TopicPartition

from common import topics
from common.errors import InvariantError, RecordError, SchemaError, UnavailableError
from common.telemetry import get_logger
from processors.engine.order import Merger
from processors.features.wire import INPUTS, Wire

log = get_logger("features.intake")

_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""Errors that librdkafka reports while it goes on trying by itself."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be decoded. ``topic`` is the name without the namespace."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    error: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read at once, and how much the merge may hold of one input before it is paused.

    ``dead_letters``: bad records waiting for their step; more in a row means that something foreign writes there.
    """

    consume_records: int = 20_000
    pause_records: int = 200_000
    resume_records: int = 100_000
    dead_letters: int = 100_000


class Intake:
    """Reads one partition of every input, and the heartbeats, into a merger.

    ``start`` gives the offset of each input and of the heartbeats (names without the namespace), ``files_open`` which
    inputs were files of a connected source there. Dead letters with an offset below ``published`` are dropped: an
    earlier run has published them.
    """

    def __init__(
        self,
        *,
        consumer: Any,
        wire: Wire,
        partition: int,
        merger: Merger,
        start: Mapping[str, int],
        files_open: Collection[str] = (),
        published: Mapping[str, int],
        bounds: Bounds,
    ) -> None:
        self.records_read = 0
        self.heard: set[str] = set()
        """Inputs of which the last `read` brought a record or a heartbeat."""
        self.files_open = set(files_open)
        """Inputs that are files, whose source is connected by its newest heartbeat."""
        self._dead_letters: list[DeadLetter] = []
        self._consumer = consumer
        self._wire = wire
        self._partition = partition
        self._merger = merger
        self._published = published
        self._bounds = bounds
        self._names = {wire.topic(name): name for name in (*INPUTS, topics.HEARTBEATS)}
        self._heartbeats_read = start[topics.HEARTBEATS]
        self._waiting: deque[tuple[int, str, int]] = deque()
        self._paused: set[str] = set()
        self._at_end: set[str] = set()
        consumer.assign([TopicPartition(wire.topic(name), partition, start[name]) for name in self._names.values()])

    def read(self, timeout_s: float, needed: Collection[str]) -> int:
        """Consume once; returns the number of records. Raises UnavailableError, InvariantError.

        ``needed``: inputs without which nothing can go on; they are never paused.
        """
        self._balance(needed)
        self.heard.clear()
        by_topic: dict[str, list[Any]] = {}
        ends: list[tuple[str, int]] = []
        for message in self._consumer.consume(self._bounds.consume_records, timeout_s):
            if message.error() is None:
                by_topic.setdefault(self._names[message.topic()], []).append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ends.append((self._names[message.topic()], message.offset()))
            else:
                self._judge(message)
        self._at_end -= by_topic.keys()
        for name, messages in by_topic.items():
            if name == topics.HEARTBEATS:
                self._take_heartbeats(messages)
            else:
                self._take_records(name, messages)
        for name, offset in ends:
            self._take_end(name, offset)
        count = sum(map(len, by_topic.values()))
        self.records_read += count
        return count

    @property
    def at_end(self) -> bool:
        """True when every topic was read to its end."""
        return len(self._at_end) == len(self._names)

    @property
    def caught_up(self) -> bool:
        """True when every topic was read to its end, or as far as the others allow."""
        return len(self._at_end | self._paused) == len(self._names)

    @property
    def next_offsets(self) -> dict[str, int]:
        """Where reading must start anew: the first record of each input not handed out, and the first heartbeat that
        says something about records from there on.
        """
        following = self._merger.next_offsets
        while self._waiting and following[self._waiting[0][1]] >= self._waiting[0][2]:
            self._waiting.popleft()
        heartbeats = self._waiting[0][0] if self._waiting else self._heartbeats_read
        return {**following, topics.HEARTBEATS: heartbeats}

    @property
    def has_due_dead_letters(self) -> bool:
        """True when `take_dead_letters` would return some."""
        following = self.next_offsets if self._dead_letters else {}
        return any(letter.offset < following[letter.topic] for letter in self._dead_letters)

    def take_dead_letters(self) -> list[DeadLetter]:
        """Those that no restart would read again once the current offsets are published."""
        if not self._dead_letters:
            return []
        following = self.next_offsets
        due = [letter for letter in self._dead_letters if letter.offset < following[letter.topic]]
        self._dead_letters = [letter for letter in self._dead_letters if letter.offset >= following[letter.topic]]
        return due

    def lag_records(self) -> dict[str, int]:
        """Records in the log beyond what was read, per input, as far as the client knows without asking."""
        out = {}
        for name in INPUTS:
            where = TopicPartition(self._wire.topic(name), self._partition)
            bounds = self._consumer.get_watermark_offsets(where, cached=True)
            out[name] = max(0, bounds[1] - self._merger.position(name)) if bounds is not None else 0
        return out

    def _take_records(self, name: str, messages: list[Any]) -> None:
        self.heard.add(name)
        offsets = np.fromiter((message.offset() for message in messages), np.int64, len(messages))
        decoded = self._wire.decode(name, [message.value() for message in messages])
        for bad in decoded.bad:
            self._set_aside(name, messages[bad.index], str(bad.error))
        self._merger.push(name, decoded.batch, offsets[decoded.index])
        self._merger.read_to(name, int(offsets[-1]) + 1)

    def _take_heartbeats(self, messages: Iterable[Any]) -> None:
        for message in messages:
            self._heartbeats_read = message.offset() + 1
            try:
                row = self._wire.decode_row(topics.HEARTBEATS, message.value())
            except (RecordError, SchemaError) as error:
                self._set_aside(topics.HEARTBEATS, message, str(error))
                continue
            name = self._names.get(row["topic"], row["topic"])
            if row["partition"] != self._partition or name not in INPUTS:
                continue
            self._merger.promise(name, row["next_offset"], row["ts_watermark_ns"])
            self._waiting.append((message.offset(), name, row["next_offset"]))
            self.heard.add(name)
            if row["input_id"] is not None and row["state"] == "CONNECTED":
                self.files_open.add(name)
            else:
                self.files_open.discard(name)

    def _take_end(self, name: str, offset: int) -> None:
        if name == topics.HEARTBEATS:
            self._heartbeats_read = max(self._heartbeats_read, offset)
            self._at_end.add(name)
            return
        self._merger.read_to(name, offset)
        if self._merger.position(name) == offset:
            self._at_end.add(name)

    def _set_aside(self, name: str, message: Any, error: str) -> None:
        log.warning("record_set_aside", topic=name, partition=self._partition, offset=message.offset(), error=error)
        if message.offset() < self._published.get(name, 0):
            return
        if len(self._dead_letters) >= self._bounds.dead_letters:
            raise InvariantError(
                f"{name}: {len(self._dead_letters)} records that cannot be decoded, up to offset {message.offset()}",
                hint="Something that is not a producer of this platform writes to the topic: stop it.",
            )
        self._dead_letters.append(
            DeadLetter(name, self._partition, message.offset(), message.key(), message.value(), error)
        )

    def _judge(self, message: Any) -> None:
        error = message.error()
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise InvariantError(
                f"{message.topic()}-{message.partition()}: the records after the checkpoint are gone ({error.str()})",
                hint="Retention is shorter than the outage: start in a new namespace, or restore the topic.",
            )
        if error.code() in _PASSING or error.retriable():
            log.warning("consumer_error", code=error.name(), detail=error.str())
            return
        raise UnavailableError(f"{message.topic()} cannot be read: {error.str()}", hint="Look at the broker's log.")

    def _balance(self, needed: Collection[str]) -> None:
        """Pause inputs that run far ahead of the others."""
        held = self._merger.held
        pause = {n for n, count in held.items() if count > self._bounds.pause_records and n not in needed}
        resume = {n for n in self._paused if held[n] < self._bounds.resume_records or n in needed}
        pause -= self._paused
        if pause:
            self._consumer.pause([TopicPartition(self._wire.topic(name), self._partition) for name in sorted(pause)])
        if resume:
            self._consumer.resume([TopicPartition(self._wire.topic(name), self._partition) for name in sorted(resume)])
        self._paused = (self._paused | pause) - resume
