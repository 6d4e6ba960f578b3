"""Encoded records into their partitions, for files and live alike: in order, keyed, with headers, acknowledged.

One sender is the only writer of its partitions. It knows the offset that each record must get; the last record of every
batch is reported back with its offset, and that proves the whole batch to be there in order: a missing, foreign or
doubled record would move it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from common import kafka
from common.avro import encode_row
from common.errors import ConflictError, InvariantError
from common.schemas import load
from common.topics import HEADER_RUN_ID, HEADER_TRACEPARENT, HEARTBEATS, full_name

PRODUCER_OVERRIDES: dict[str, object] = {
    # A record that gives up while later ones arrive would leave a gap: who sends watches for stalls instead.
    "delivery_timeout_ms": 0,
    "enable_gapless_guarantee": True,
}

TRACED_BATCHES = 64
"""One batch in so many carries a ``traceparent``."""

RESTART = "Restart the producer: it goes on after the last record in the log."


@dataclass(frozen=True, slots=True)
class Target:
    """Where one source publishes: its name, its complex's name and partition, the namespace, and the run.

    ``input_id``: identity of a finite input, None of a live feed. ``schema_ids``: the registry's id of each topic's
    schema, by the schema's name.
    """

    source: str
    complex_name: str
    partition: int
    namespace: str
    run_id: str
    input_id: str | None
    schema_ids: Mapping[str, int]


class Sender:
    """Sends to the topics of ``next_offsets``, which are the offsets that their next records get; any other topic is
    shared with other writers and its offsets are not checked.

    ``wait`` is called while the client's queue is full; it must serve the client's reports.
    """

    def __init__(
        self, producer: ck.Producer, target: Target, next_offsets: Mapping[str, int], wait: Callable[[], None]
    ) -> None:
        self._producer = producer
        self._target = target
        self._wait = wait
        self._key = target.complex_name.encode()
        self._run: list[tuple[str, str | bytes | None]] = [(HEADER_RUN_ID, target.run_id)]
        self._batches = 0
        self._failure: Exception | None = None
        self.next_offsets = dict(next_offsets)
        """Offset that the next record sent to each topic gets."""

    def send(self, topic: str, values: list[bytes], done: Callable[[], None]) -> None:
        """Send framed records of the schema ``topic``, at least one; ``done`` is called when all are acknowledged.

        Raises UnavailableError, InvariantError.
        """
        name = full_name(topic, self._target.namespace)
        if topic in self.next_offsets:
            self.next_offsets[topic] += len(values)
        report = self._reporter(topic, self.next_offsets.get(topic), done)
        # Batches carry no headers: the first record goes alone and speaks for those after it.
        self._produce(name, values[0], report if len(values) == 1 else None, self._headers())
        messages: list[dict[str, object]] = [{"value": value, "key": self._key} for value in values[1:]]
        if messages:
            messages[-1]["callback"] = report
        while messages:
            messages = self._produce_some(name, messages)

    def send_beat(self, row: Mapping[str, Any], done: Callable[[], None]) -> None:
        """Send one heartbeat; its source, topic's name, partition and input are filled in here. Raises as `send`."""
        target = self._target
        whole = {
            **row,
            "source": target.source,
            "topic": full_name(row["topic"], target.namespace),
            "partition": target.partition,
            "input_id": target.input_id,
        }
        value = encode_row(load(HEARTBEATS), whole, target.schema_ids[HEARTBEATS])
        name = full_name(HEARTBEATS, target.namespace)
        self._produce(name, value, self._reporter(HEARTBEATS, None, done), self._run)

    def serve(self, timeout_s: float) -> None:
        """Take delivery reports. Raises UnavailableError or ConflictError when one says that sending must stop."""
        self._producer.poll(timeout_s)
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """Drop what is still queued: after a failure nothing more may reach the log."""
        self._producer.purge()

    def _headers(self) -> list[tuple[str, str | bytes | None]]:
        traced = self._batches % TRACED_BATCHES == 0
        self._batches += 1
        if not traced:
            return self._run
        return [*self._run, (HEADER_TRACEPARENT, f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01")]

    def _produce(
        self,
        name: str,
        value: bytes,
        report: Callable[..., None] | None,
        headers: list[tuple[str, str | bytes | None]],
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    name,
                    value=value,
                    key=self._key,
                    partition=self._target.partition,
                    headers=headers,
                    on_delivery=report,
                )
                return
            except BufferError:
                self._wait()
            except KafkaException as error:
                raise kafka.unavailable(f"take records for {name}", error) from error

    def _produce_some(self, name: str, messages: list[dict[str, object]]) -> list[dict[str, object]]:
        """Queue messages in order; returns those that must be tried again because the queue is full."""
        try:
            queued = self._producer.produce_batch(name, messages, partition=self._target.partition)
        except BufferError:
            queued = 0
        except KafkaException as error:
            raise kafka.unavailable(f"take records for {name}", error) from error
        if queued == len(messages):
            return []
        rest = messages[queued:]
        refused = [message.pop("_error", None) for message in messages]
        if any(reason is not None for reason in refused[:queued]):
            # Later records passed earlier ones: none of them may be followed by anything.
            raise InvariantError(
                f"{name}: records were refused out of order: {next(filter(None, refused))}", hint=RESTART
            )
        for reason in refused[queued:]:
            if isinstance(reason, KafkaError) and reason.code() != KafkaError._QUEUE_FULL:
                raise kafka.unavailable(f"take records for {name}", reason)
        self._wait()
        return rest

    def _reporter(
        self, topic: str, next_offset: int | None, done: Callable[[], None]
    ) -> Callable[[KafkaError | None, ck.Message], None]:
        def report(error: KafkaError | None, message: ck.Message) -> None:
            if error is not None:
                self._fail(kafka.unavailable(f"take records for {topic}", error))
                return
            offset = message.offset()
            if next_offset is not None and (offset is None or offset + 1 != next_offset):
                self._fail(
                    ConflictError(
                        f"{topic}: a record got offset {offset} instead of {next_offset - 1}: another producer writes"
                        " into the same partition, or records were lost",
                        hint="Stop the other producer, then start this one again: it goes on after the last record.",
                    )
                )
                return
            done()

        return report

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
