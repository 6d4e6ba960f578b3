"""The threads that read levels.signals.v1 and options.flow.v1 into memory.

Each begins far enough before the end of the log to fill the ring, so the last whole snap is there at once, and follows
from then on. It never gives up on a broker that is away: it says so in health and goes on when it is back. A topic
that was emptied or made anew begins a new ring.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import numpy as np
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from api import metrics
from api.live import LiveSnaps
from api.metrics import Meters
from api.snaps import AnySnap, FlowSnap, Snap, SnapAssembler
from common import schemas, topics
from common.avro import Codec
from common.errors import UnavailableError
from common.schemas import RecordSchema
from common.telemetry import Health, get_logger

LOOK_BACK_ROWS = 100_000
"""Offsets before the end at which the reading begins: enough rows to fill the ring at some twenty levels a snap."""

CONSUME_ROWS = 20_000
CONSUME_WAIT_S = 0.2
RETRY_WAIT_S = 0.5
REQUEST_TIMEOUT_S = 5.0
PROBE_EVERY_S = 2.0
"""How often the end of the log is asked for when there is nothing new: the answer is the lag, and a sign of life."""

_TOPIC_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_LOG_REPLACED = (*_TOPIC_MISSING, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)

log = get_logger("api.feed")


class Consumer(Protocol):
    """What the feed needs of a confluent consumer."""

    def get_watermark_offsets(self, partition: Any, timeout: float = ..., cached: bool = ...) -> tuple[int, int]:
        """First and end offset of a partition."""
        ...

    def assign(self, partitions: list[Any]) -> None:
        """Read these partitions from their offsets."""
        ...

    def consume(self, num_messages: int = ..., timeout: float = ...) -> list[Any]:
        """The next messages, waiting up to ``timeout`` seconds."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


@dataclass(frozen=True)
class Stream(Generic[AnySnap]):
    """A topic of whole snaps: its schema's name, its part in health, what its snaps are, what is counted of it.

    The API is well without the topic of an ``optional`` one: not every deployment has options.
    """

    topic: str
    part: str
    snap: type[AnySnap]
    meters: Meters
    optional: bool


SIGNALS = Stream(topics.SIGNALS, "signals", Snap, metrics.SIGNALS, optional=False)
FLOW = Stream(topics.OPTIONS_FLOW, "flow", FlowSnap, metrics.FLOW, optional=True)


class SnapFeed(Generic[AnySnap]):
    """Reads one partition of a stream into ``live`` until stopped.

    ``topic`` is the topic's full name; ``writer`` gives a writer's schema by its id. ``lag_records`` is how far the
    reading is behind the log's end, None while unknown.
    """

    def __init__(
        self,
        consumer: Consumer,
        stream: Stream[AnySnap],
        writer: Callable[[int], RecordSchema],
        live: LiveSnaps[AnySnap],
        health: Health,
        *,
        topic: str,
        partition: int,
        look_back_rows: int = LOOK_BACK_ROWS,
    ) -> None:
        self._consumer = consumer
        self._stream = stream
        self._codec = Codec(schemas.load(stream.topic))
        self._writer = writer
        self._live = live
        self._health = health
        self._topic = topic
        self._partition = partition
        self._look_back_rows = look_back_rows
        self._assembler = SnapAssembler(stream.snap)
        self._next_offset = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name=f"{stream.part}-feed", daemon=True)
        self.lag_records: int | None = None
        self.failure: BaseException | None = None
        """What ended the reading, when it was not stopped."""
        health.set("broker", False, "not asked yet")
        self._say(False, "not read yet")

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """End reading and wait for it."""
        self._stop.set()
        self._thread.join()

    def run(self) -> None:
        """Read until stopped; the body of the thread. What was not foreseen ends it and is kept in ``failure``."""
        try:
            while not self._stop.is_set():
                if self._begin():
                    self._follow()
                else:
                    self._stop.wait(RETRY_WAIT_S)
        except BaseException as error:
            # Anything not foreseen is a fault of ours: the API must not look well while it stands still.
            self._say(False, f"the reading stopped: {error!r}")
            self.failure = error
            log.exception("feed_failed", topic=self._topic)
        finally:
            self._consumer.close()

    def _begin(self) -> bool:
        """Take a position near the end of the log and forget what was read before.

        False when the broker does not say where that is.
        """
        watermarks = self._watermarks()
        if watermarks is None:
            return False
        low, high = watermarks
        offset = max(low, high - self._look_back_rows)
        self._assembler = SnapAssembler(self._stream.snap)
        self._live.start(from_log_begin=offset == low)
        self._next_offset = offset
        self._consumer.assign([TopicPartition(self._topic, self._partition, offset)])
        log.info("feed_begins", topic=self._topic, partition=self._partition, offset=offset, end=high)
        self._well(high)
        return True

    def _follow(self) -> None:
        """Read on. Returns when stopped, or when the log is no longer the one that was read."""
        idle_s = 0.0
        while not self._stop.is_set():
            messages = self._consumer.consume(CONSUME_ROWS, CONSUME_WAIT_S)
            good = [message for message in messages if message.error() is None]
            errors = [message.error() for message in messages if message.error() is not None]
            if good:
                idle_s = 0.0
                self._take_patiently(good)
                self._measure_lag()
            for error in errors:
                self._trouble(error)
                if error.code() in _LOG_REPLACED:
                    return
            if messages:
                continue
            idle_s += CONSUME_WAIT_S
            if idle_s >= PROBE_EVERY_S:
                idle_s = 0.0
                watermarks = self._watermarks()
                if watermarks is None:
                    continue  # the client reconnects by itself; what was read stays good
                low, high = watermarks
                if not low <= self._next_offset <= high:
                    log.warning("log_replaced", topic=self._topic, next_offset=self._next_offset, begin=low, end=high)
                    return
                self._well(high)

    def _take_patiently(self, messages: Sequence[Any]) -> None:
        """Take messages; while the registry does not answer, try again rather than lose them."""
        while not self._stop.is_set():
            try:
                self.take(messages)
                return
            except UnavailableError as error:
                self._say(False, str(error))
                log.warning("feed_waits", topic=self._topic, error=str(error))
                self._stop.wait(RETRY_WAIT_S)

    def take(self, messages: Sequence[Any]) -> None:
        """Add these messages of the partition, in order.

        Raises UnavailableError, with nothing taken, when the registry is away.
        """
        values = [message.value() or b"" for message in messages]
        offsets = [message.offset() for message in messages]
        decoded = self._codec.decode(values, self._writer)
        for bad in decoded.bad:
            self._stream.meters.bad_records.inc()
            log.warning("record_not_decoded", topic=self._topic, offset=offsets[bad.index], error=str(bad.error))
        incomplete = self._assembler.incomplete
        snaps = self._assembler.push(decoded.batch, np.array(offsets, np.int64)[decoded.index])
        if self._assembler.incomplete > incomplete:
            self._stream.meters.incomplete_snaps.inc(self._assembler.incomplete - incomplete)
            log.warning("snap_incomplete", topic=self._topic, before_offset=offsets[-1])
        self._next_offset = offsets[-1] + 1
        self._live.append(snaps)
        self._stream.meters.rows.inc(decoded.batch.length)
        self._stream.meters.snaps.inc(len(snaps))
        if snaps:
            self._stream.meters.latest_snap_s.set(snaps[-1].ts_event_ns / 1e9)

    def _watermarks(self) -> tuple[int, int] | None:
        """First and end offset as the broker has them now, None when it does not answer."""
        partition = TopicPartition(self._topic, self._partition)
        try:
            return self._consumer.get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT_S, cached=False)
        except KafkaException as error:
            self._trouble(error.args[0])
            return None

    def _measure_lag(self) -> None:
        """The lag by what the last fetch said of the log's end: no request, and exact enough while data flow."""
        partition = TopicPartition(self._topic, self._partition)
        _, high = self._consumer.get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT_S, cached=True)
        if high >= self._next_offset:
            self._well(high)

    def _say(self, ok: bool, detail: str = "") -> None:
        self._health.set(self._stream.part, ok, detail)

    def _well(self, high: int) -> None:
        self.lag_records = max(0, high - self._next_offset)
        self._stream.meters.lag_records.set(self.lag_records)
        self._health.set("broker", True)
        latest = self._live.latest
        self._say(True, "no snap yet" if latest is None else f"seq {latest.seq}")

    def _trouble(self, error: KafkaError) -> None:
        missing = error.code() in _TOPIC_MISSING
        self._health.set("broker", missing, error.str())
        self._say(missing and self._stream.optional, error.str())
        self.lag_records = None
        log.warning("feed_interrupted", topic=self._topic, error=error.str())
