"""Arrivals to the log: stamp, encode, write; say in heartbeats what is covered and what is promised.

No clock of its own and no thread: a turn is `take`, then `serve`. So crashes and faults at any point run in simulated
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from common.avro import Codec
from common.columns import concat
from common.errors import InvariantError
from common.schemas import RecordSchema, load
from common.telemetry import get_logger
from common.topics import DEAD_LETTERS
from producers.letters.letter import KnownLetters, Letter
from producers.live import metrics
from producers.live.arrivals import Arrival, Bad, Clock, Connection, Gap, Records
from producers.live.outlet import Outlet
from producers.live.stamper import Stamper
from producers.sender import Target

log = get_logger("producers.live")

LOGGED_BAD_MAX = 20
"""Bad messages of a run that are logged one by one."""


class Pump:
    """One feed's way into the log. ``letters``: the dead letters that need no writing."""

    def __init__(
        self, topics: tuple[str, ...], target: Target, stamper: Stamper, outlet: Outlet, letters: KnownLetters
    ) -> None:
        self.topics = topics
        self._target = target
        self._stamper = stamper
        self._outlet = outlet
        self._letters = letters
        self._codecs = {topic: Codec(load(topic)) for topic in topics}
        self._dead = 0
        self._now_ns = 0

    def warm_up(self) -> None:
        """Take nothing of every topic, so that the first records need not wait for the compiler."""
        for topic, codec in self._codecs.items():
            nothing = codec.decode([], _no_writer).batch
            self._stamper.stamp(Records(nothing, np.zeros(0, np.uint64)))
            codec.encode(nothing, self._target.schema_ids[topic])

    def take(self, arrivals: Sequence[Arrival], now_ns: int) -> None:
        """Write what the arrivals bring, in their order. ``now_ns``: the wall clock, for dead letters.

        Raises UnavailableError of the spool's disk.
        """
        self._now_ns = now_ns
        for is_records, group in groupby(arrivals, lambda arrival: isinstance(arrival, Records)):
            if is_records:
                self._write(group)
                continue
            for arrival in group:
                match arrival:
                    case Gap():
                        self._gap(arrival)
                    case Connection():
                        self._connection(arrival)
                    case Clock():
                        for topic in arrival.topics:
                            self._stamper.clock(topic, arrival.ts_ns)
                    case Bad():
                        self._bad(arrival)

    def serve(self, timeout_s: float) -> None:
        """Send, take acknowledgements, and promise what the source's clock allows.

        Raises UnavailableError, ConflictError.
        """
        self._outlet.serve(timeout_s)
        if not (self._outlet.behind or self._outlet.away):
            for topic in self.topics:
                promised_ns = self._stamper.promise(topic)
                if promised_ns is not None:
                    self._outlet.beat(self._beat(topic, promised_ns))

    def end(self) -> None:
        """Say that every connection has ended."""
        for topic in self.topics:
            self._stamper.connection(topic, "DISCONNECTED")
            self._outlet.beat(self._beat(topic, self._stamper.promised_ns(topic)))

    def _write(self, group: Iterable[Any]) -> None:
        by_topic: dict[str, list[Records]] = {}
        for records in group:
            if records.batch.length:
                by_topic.setdefault(records.batch.name, []).append(records)
        for topic, parts in by_topic.items():
            oldest_s = min((part.received_s for part in parts if part.received_s), default=0.0)
            received = Records(
                concat([part.batch for part in parts]), np.concatenate([part.hashes for part in parts]), oldest_s
            )
            metrics.RECEIVED.labels(topic).inc(received.batch.length)
            batch = self._stamper.stamp(received)
            if batch.length < received.batch.length:
                metrics.DUPLICATES.labels(topic).inc(received.batch.length - batch.length)
            if batch.length:
                metrics.LATE.labels(topic).inc(int(np.count_nonzero(batch["is_late"])))
                values = self._codecs[topic].encode(batch, self._target.schema_ids[topic]).messages()
                self._outlet.put(topic, values, oldest_s)

    def _gap(self, gap: Gap) -> None:
        log.warning("gap", topics=list(gap.topics), begin_ns=gap.begin_ns, end_ns=gap.end_ns)
        for topic in gap.topics:
            self._stamper.gap(topic, gap.begin_ns)
            metrics.GAPS.labels(topic).inc()
            bounds = {"gap_begin_ns": gap.begin_ns, "gap_end_ns": gap.end_ns}
            self._outlet.beat({**self._beat(topic, self._stamper.promised_ns(topic)), **bounds})

    def _connection(self, connection: Connection) -> None:
        log.info("connection", state=connection.state, topics=list(connection.topics), ts_ns=connection.ts_ns)
        for topic in connection.topics:
            self._stamper.connection(topic, connection.state)
            metrics.CONNECTED.labels(topic).set(connection.state == "CONNECTED")
            said = self._beat(topic, self._stamper.promised_ns(topic))
            self._outlet.beat({**said, "ts_event_ns": connection.ts_ns})

    def _bad(self, bad: Bad) -> None:
        metrics.RECEIVED.labels(bad.topic).inc()
        letter = Letter(self._now_ns, bad.topic, self._target.source, bad.place, bad.error, bad.value)
        if not self._letters.add(letter):
            metrics.DUPLICATES.labels(bad.topic).inc()
            return
        self._dead += 1
        metrics.DEAD.labels(bad.topic).inc()
        if self._dead <= LOGGED_BAD_MAX:
            log.warning("message_set_aside", topic=bad.topic, place=bad.place, error=bad.error)
        self._outlet.put(DEAD_LETTERS, [letter.encoded(self._target.schema_ids)])

    def _beat(self, topic: str, promised_ns: int) -> dict[str, Any]:
        return {
            "ts_event_ns": promised_ns,
            "topic": topic,
            "ts_watermark_ns": promised_ns,
            "state": self._stamper.state(topic),
        }


def _no_writer(schema_id: int) -> RecordSchema:
    raise InvariantError(f"no record was given, and yet schema {schema_id} is asked for")
