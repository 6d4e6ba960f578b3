"""A finite input's stamped batches into the log: encoded, sent and acknowledged in a pipeline, followed by the promises
they allow.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import confluent_kafka as ck
from prometheus_client import Counter, Gauge

from common.avro import Codec
from common.columns import Batch
from common.errors import UnavailableError
from common.schemas import load
from common.topics import DEAD_LETTERS
from producers.sender import Sender, Target
from producers.sequencer import StampedStep

RECORDS = Counter("breakwater_producer_records_total", "Records acknowledged by the broker.", ["topic"])
WATERMARK = Gauge("breakwater_producer_watermark_ns", "Last promised effective time, ns since the epoch.")
IN_FLIGHT = Gauge("breakwater_producer_in_flight_records", "Records sent and not yet acknowledged.")

PENDING_STEPS = 8
"""Steps that may wait for acknowledgements before the next one is encoded."""

STALL_S = 120.0
"""How long the broker may acknowledge nothing while records wait."""


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
        self._sender = Sender(producer, target, next_offsets, lambda: self._serve(0.1))
        self._target = target
        self._clock_s = clock_s
        self._snap_interval_ns = snap_interval_ns
        self._codecs = {topic: Codec(load(topic)) for topic in next_offsets}
        self._next_offsets = dict(next_offsets)
        self._records = dict(published)
        self._flights: deque[_Flight] = deque()
        self._progress_s = clock_s()
        self._beaten_ns = 0
        self._others_waiting = 0

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

    def set_aside(self, letter: bytes) -> None:
        """Send a framed dead letter. Raises as `publish`."""
        self._others_waiting += 1
        self._sender.send(DEAD_LETTERS, [letter], self._on_other)

    def drain(self) -> None:
        """Wait until everything sent is acknowledged. Raises as `publish`."""
        while self._flights or self._others_waiting:
            self._serve(0.1)

    def beat(self, state: str, watermark_ns: int) -> None:
        """A heartbeat for every topic. ``watermark_ns`` must hold for all that was not acknowledged yet."""
        for topic in sorted(self._next_offsets):
            row = {
                "ts_event_ns": watermark_ns,
                "topic": topic,
                "next_offset": self._next_offsets[topic],
                "ts_watermark_ns": watermark_ns,
                "state": state,
                "input_records": self._records[topic],
            }
            self._others_waiting += 1
            self._sender.send_beat(row, self._on_other)
        self._beaten_ns = watermark_ns
        WATERMARK.set(watermark_ns)

    def abandon(self) -> None:
        """Drop what is still queued: after a failure nothing more may reach the log."""
        self._sender.abandon()
        self._flights.clear()

    def _send(self, batch: Batch, flight: _Flight) -> None:
        values = self._codecs[batch.name].encode(batch, self._target.schema_ids[batch.name]).messages()
        flight.waiting += 1
        next_offset = self._sender.next_offsets[batch.name] + len(values)

        def acknowledged() -> None:
            self._progress_s = self._clock_s()
            flight.next_offsets[batch.name] = next_offset
            flight.waiting -= 1

        self._sender.send(batch.name, values, acknowledged)

    def _on_other(self) -> None:
        self._others_waiting -= 1
        self._progress_s = self._clock_s()

    def _serve(self, timeout_s: float) -> None:
        """Take delivery reports and make the promises that they allow."""
        self._sender.serve(timeout_s)
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
        if not (self._flights or self._others_waiting):
            self._progress_s = self._clock_s()
        elif self._clock_s() - self._progress_s > STALL_S:
            raise UnavailableError(
                f"Kafka acknowledged nothing for {STALL_S:.0f} s",
                hint="Start the broker again (./breakwater up), then repeat the command: it goes on where it stopped.",
            )
