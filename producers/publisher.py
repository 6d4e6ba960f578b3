"""Stamped batches into the log: encoded, sent and acknowledged in a pipeline, followed by the promises they allow.

One publisher is the only writer of its partitions. It knows the offset that each record must get; the last record of
every batch is reported back with its offset, and that proves the whole batch to be there in order: a missing, foreign
or doubled record would move it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import Counter, Gauge

from common import kafka
from common.avro import Codec, encode_row
from common.columns import Batch
from common.errors import ConflictError, InvariantError, UnavailableError
from common.schemas import load
from common.topics import HEADER_RUN_ID, HEARTBEATS, full_name
from producers.sequencer import StampedStep

RECORDS = Counter("breakwater_producer_records_total", "Records acknowledged by the broker.", ["topic"])
WATERMARK = Gauge("breakwater_producer_watermark_ns", "Last promised effective time, ns since the epoch.")
IN_FLIGHT = Gauge("breakwater_producer_in_flight_records", "Records sent and not yet acknowledged.")

PENDING_STEPS = 8
"""Steps that may wait for acknowledgements before the next one is encoded."""

STALL_S = 120.0
"""How long the broker may acknowledge nothing while records wait."""

PRODUCER_OVERRIDES: dict[str, object] = {
    # A record that gives up while later ones arrive would leave a gap: the publisher itself watches for stalls instead.
    "delivery_timeout_ms": 0,
    "enable_gapless_guarantee": True,
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where one source publishes: its name, its complex's name and partition, the namespace, and the run.

    ``schema_ids``: the registry's id of each topic's schema, by the schema's name.
    """

    source: str
    complex_name: str
    partition: int
    namespace: str
    run_id: str
    input_id: str
    schema_ids: Mapping[str, int]


@dataclass(slots=True)
class _Flight:
    """A step on its way: how many batches are still to be acknowledged, and what holds once they are."""

    watermark_ns: int
    records: dict[str, int]
    waiting: int = 0
    next_offsets: dict[str, int] = field(default_factory=dict)


class Publisher:
    """Publishes the topics of ``next_offsets``, which are the offsets that their next records get."""

    def __init__(
        self,
        producer: ck.Producer,
        target: Target,
        next_offsets: Mapping[str, int],
        published: Mapping[str, int],
        snap_interval_ns: int,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._producer = producer
        self._target = target
        self._clock_s = clock_s
        self._snap_interval_ns = snap_interval_ns
        self._codecs = {topic: Codec(load(topic)) for topic in next_offsets}
        self._key = target.complex_name.encode()
        self._headers: list[tuple[str, str | bytes | None]] = [(HEADER_RUN_ID, target.run_id)]
        self._sent_offsets = dict(next_offsets)
        self._next_offsets = dict(next_offsets)
        self._records = dict(published)
        self._flights: deque[_Flight] = deque()
        self._failure: Exception | None = None
        self._progress_s = clock_s()
        self._beaten_ns = 0
        self._beats_waiting = 0

    @property
    def records(self) -> dict[str, int]:
        """Acknowledged records of the input per topic, those of earlier runs included."""
        return dict(self._records)

    def publish(self, step: StampedStep) -> None:
        """Send the step's records; its promise follows when they are acknowledged.

        Raises UnavailableError when the broker acknowledges nothing for `STALL_S`, ConflictError when something else
        writes.
        """
        flight = _Flight(step.watermark_ns, {batch.name: batch.length for batch in step.batches})
        self._flights.append(flight)
        for batch in step.batches:
            self._send(batch, flight)
        IN_FLIGHT.set(sum(sum(flight.records.values()) for flight in self._flights))
        self._serve(0.0)
        while len(self._flights) > PENDING_STEPS:
            self._serve(0.1)

    def drain(self) -> None:
        """Wait until everything sent is acknowledged. Raises as `publish`."""
        while self._flights or self._beats_waiting:
            self._serve(0.1)

    def beat(self, state: str, watermark_ns: int) -> None:
        """A heartbeat for every topic. ``watermark_ns`` must hold for all that was not acknowledged yet."""
        schema = load(HEARTBEATS)
        schema_id = self._target.schema_ids[HEARTBEATS]
        for topic in sorted(self._next_offsets):
            row = {
                "ts_event_ns": watermark_ns,
                "source": self._target.source,
                "topic": full_name(topic, self._target.namespace),
                "partition": self._target.partition,
                "next_offset": self._next_offsets[topic],
                "ts_watermark_ns": watermark_ns,
                "state": state,
                "input_id": self._target.input_id,
                "input_records": self._records[topic],
            }
            self._beats_waiting += 1
            self._produce(
                full_name(HEARTBEATS, self._target.namespace), encode_row(schema, row, schema_id), self._on_beat
            )
        self._beaten_ns = watermark_ns
        WATERMARK.set(watermark_ns)

    def abandon(self) -> None:
        """Drop what is still queued: after a failure nothing more may reach the log."""
        self._producer.purge()
        self._flights.clear()

    # Sending

    def _send(self, batch: Batch, flight: _Flight) -> None:
        topic = full_name(batch.name, self._target.namespace)
        values = self._codecs[batch.name].encode(batch, self._target.schema_ids[batch.name]).messages()
        flight.waiting += 1
        self._sent_offsets[batch.name] += len(values)
        report = self._reporter(batch.name, flight, self._sent_offsets[batch.name])
        # Batches carry no headers: the first record goes alone and names the run for those after it.
        self._produce(topic, values[0], report if len(values) == 1 else None)
        messages: list[dict[str, object]] = [{"value": value, "key": self._key} for value in values[1:]]
        if messages:
            messages[-1]["callback"] = report
        while messages:
            messages = self._produce_some(topic, messages)

    def _produce(self, topic: str, value: bytes, report: Callable[..., None] | None) -> None:
        while True:
            try:
                self._producer.produce(
                    topic,
                    value=value,
                    key=self._key,
                    partition=self._target.partition,
                    headers=self._headers,
                    on_delivery=report,
                )
                return
            except BufferError:
                self._serve(0.1)
            except KafkaException as error:
                raise kafka.unavailable(f"take records for {topic}", error) from error

    def _produce_some(self, topic: str, messages: list[dict[str, object]]) -> list[dict[str, object]]:
        """Queue messages in order; returns those that must be tried again because the queue is full."""
        try:
            queued = self._producer.produce_batch(topic, messages, partition=self._target.partition)
        except BufferError:
            queued = 0
        except KafkaException as error:
            raise kafka.unavailable(f"take records for {topic}", error) from error
        if queued == len(messages):
            return []
        rest = messages[queued:]
        refused = [message.pop("_error", None) for message in messages]
        if any(reason is not None for reason in refused[:queued]):
            # Later records passed earlier ones: none of them may be followed by anything.
            raise InvariantError(
                f"{topic}: records were refused out of order: {next(filter(None, refused))}",
                hint="Restart the producer: it goes on after the last record in the log.",
            )
        for reason in refused[queued:]:
            if isinstance(reason, KafkaError) and reason.code() != KafkaError._QUEUE_FULL:
                raise kafka.unavailable(f"take records for {topic}", reason)
        self._serve(0.1)
        return rest

    # Acknowledgements

    def _reporter(
        self, topic: str, flight: _Flight, next_offset: int
    ) -> Callable[[KafkaError | None, ck.Message], None]:
        def report(error: KafkaError | None, message: ck.Message) -> None:
            self._progress_s = self._clock_s()
            if error is not None:
                self._fail(kafka.unavailable(f"take records for {topic}", error))
                return
            offset = message.offset()
            if offset is None or offset + 1 != next_offset:
                self._fail(
                    ConflictError(
                        f"{topic}: a record got offset {offset} instead of {next_offset - 1}: another producer writes"
                        " into the same partition, or records were lost",
                        hint="Stop the other producer, then start this one again: it goes on after the last record.",
                    )
                )
                return
            flight.next_offsets[topic] = next_offset
            flight.waiting -= 1

        return report

    def _on_beat(self, error: KafkaError | None, _message: ck.Message) -> None:
        self._beats_waiting -= 1
        self._progress_s = self._clock_s()
        if error is not None:
            self._fail(kafka.unavailable("take heartbeats", error))

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error

    def _serve(self, timeout_s: float) -> None:
        """Take delivery reports and make the promises that they allow."""
        self._producer.poll(timeout_s)
        if self._failure is not None:
            raise self._failure
        promise_ns: int | None = None
        while self._flights and self._flights[0].waiting == 0:
            flight = self._flights.popleft()
            self._next_offsets.update(flight.next_offsets)
            for topic, count in flight.records.items():
                self._records[topic] += count
                RECORDS.labels(topic).inc(count)
            promise_ns = flight.watermark_ns
        if promise_ns is not None and promise_ns // self._snap_interval_ns > self._beaten_ns // self._snap_interval_ns:
            self.beat("CONNECTED", promise_ns)
        if not (self._flights or self._beats_waiting):
            self._progress_s = self._clock_s()
        elif self._clock_s() - self._progress_s > STALL_S:
            raise UnavailableError(
                f"Kafka acknowledged nothing for {STALL_S:.0f} s",
                hint="Start the broker again (./breakwater up), then repeat the command: it goes on where it stopped.",
            )
