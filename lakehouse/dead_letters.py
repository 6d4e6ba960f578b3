"""Where records go that cannot be decoded: to ``dead_letters.v1``, whole, with the place they came from and the
reason.

They are delivered before the commit that passes their offsets, so none is lost. A crash between the two sends them
again: a dead letter's identity is its (topic, partition, offset), and who counts or reprocesses them drops
repetitions by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message

from common import schemas, topics
from common.avro import encode_row
from common.errors import UnavailableError
from lakehouse.records import Undecodable

COMPONENT = "lakehouse"
LONGEST_VALUE_BYTES = 900_000
"""Longer values are cut so that the letter fits into a message; the record stays in its topic until retention."""

DELIVERY_TIMEOUT_S = 30.0


class DeadLetters:
    """The sinks' way to the dead letters, a topic of ``partitions`` partitions.

    ``producer``: see :func:`common.kafka.producer`. A letter goes to the partition that its record came from, counted
    around where that topic has more.
    """

    def __init__(
        self,
        producer: Any,
        topic: str,
        schema_id: int,
        *,
        partitions: int = 1,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._schema_id = schema_id
        self._schema = schemas.load(topics.DEAD_LETTERS)
        self._now_ns = now_ns

    def deliver(self, bad: Sequence[Undecodable]) -> None:
        """Send all and wait until the broker has them. Raises UnavailableError when it does not take them."""
        failures: list[KafkaError] = []
        taken = 0

        def report(error: KafkaError | None, _: Message) -> None:
            nonlocal taken
            if error is None:
                taken += 1
            else:
                failures.append(error)

        for letter in bad:
            number = (letter.message.partition() or 0) % self._partitions
            value = encode_row(self._schema, self._record(letter), self._schema_id)
            try:
                self._producer.produce(self._topic, value=value, partition=number, on_delivery=report)
            except BufferError:
                self._producer.flush(DELIVERY_TIMEOUT_S)
                self._producer.produce(self._topic, value=value, partition=number, on_delivery=report)
        if bad:
            self._producer.flush(DELIVERY_TIMEOUT_S)
        if taken < len(bad):
            reason = failures[0].str() if failures else f"not delivered within {DELIVERY_TIMEOUT_S:.0f} s"
            raise UnavailableError(
                f"{len(bad) - taken} of {len(bad)} dead letters were not taken by {self._topic}: {reason}",
                hint="Check the broker (./breakwater status); nothing is committed past them.",
            )

    def _record(self, letter: Undecodable) -> dict[str, Any]:
        message, value = letter.message, letter.message.value()
        error = str(letter.error)
        if value is not None and len(value) > LONGEST_VALUE_BYTES:
            error = f"{error} (value cut from {len(value)} bytes)"
            value = value[:LONGEST_VALUE_BYTES]
        return {
            "ts_event_ns": self._now_ns(),
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "component": COMPONENT,
            "error": error,
            "key": message.key(),
            "value": value,
        }
