"""The way back after a restart: the newest marker and checkpoint of a complex, read from the end of their topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from common import topics
from common.errors import RecordError, SchemaError, UnavailableError
from common.telemetry import get_logger
from processors.checkpoint import Checkpoint, newest
from processors.features.wire import Wire

log = get_logger("features.recovery")

READ_TIMEOUT_S = 60.0
"""How long the end of a topic may take to arrive."""

_FIRST_WINDOW = 64
"""Offsets read at first from the end; eight times as many each time that nothing was found."""

_T = TypeVar("_T")


def read_range(consumer: Any, topic: str, partition: int, start: int, end: int) -> list[Any]:
    """The committed records of ``[start, end)``, in order.

    ``consumer`` reports partition ends; its assignment is replaced. Raises UnavailableError when they do not arrive in
    time.
    """
    consumer.assign([TopicPartition(topic, partition, start)])
    out: list[Any] = []
    deadline = time.monotonic() + READ_TIMEOUT_S
    reached = start
    while reached < end:
        for message in consumer.consume(10_000, 0.05):
            error = message.error()
            if error is None:
                reached = message.offset() + 1
                if message.offset() < end:
                    out.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                reached = max(reached, message.offset())
            elif error.code() == KafkaError._AUTO_OFFSET_RESET or error.fatal():
                raise UnavailableError(f"{topic}-{partition} cannot be read from offset {start}: {error.str()}")
        if reached < end and time.monotonic() > deadline:
            raise UnavailableError(
                f"{topic}-{partition}: read to offset {reached} of {end} within {READ_TIMEOUT_S:.0f} s",
                hint="Check that the broker runs (./breakwater status).",
            )
    return out


def _bounds(consumer: Any, topic: str, partition: int) -> tuple[int, int]:
    try:
        found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=15.0, cached=False)
    except KafkaException as error:
        raise UnavailableError(f"{topic}-{partition}: its offsets are not known: {error.args[0].str()}") from error
    if found is None:
        raise UnavailableError(f"{topic}-{partition}: its offsets did not arrive in time")
    low, high = found
    return low, high


def read_back(consumer: Any, topic: str, partition: int, find: Callable[[list[Any]], _T | None]) -> _T | None:
    """What ``find`` makes of the shortest tail of the partition in which it finds something; None when nowhere."""
    low, high = _bounds(consumer, topic, partition)
    window = _FIRST_WINDOW
    while low < high:
        start = max(low, high - window)
        found = find(read_range(consumer, topic, partition, start, high))
        if found is not None or start == low:
            return found
        window *= 8
    return None


def first_offsets(consumer: Any, wire: Wire, partition: int, names: Sequence[str]) -> dict[str, int]:
    """The first offset that each topic still has. Raises UnavailableError."""
    return {name: _bounds(consumer, wire.topic(name), partition)[0] for name in names}


def last_marker(consumer: Any, wire: Wire, partition: int) -> dict[str, Any] | None:
    """The newest committed marker that can be decoded; None when there is none."""

    def find(messages: list[Any]) -> dict[str, Any] | None:
        for message in reversed(messages):
            try:
                return wire.decode_row(topics.MARKERS, message.value())
            except (RecordError, SchemaError) as error:
                log.warning("marker_passed_over", offset=message.offset(), error=str(error))
        return None

    return read_back(consumer, wire.topic(topics.MARKERS), partition, find)


def newest_checkpoint(consumer: Any, wire: Wire, partition: int, complex_name: str) -> Checkpoint | None:
    """The newest whole checkpoint; None when there is none."""

    def find(messages: list[Any]) -> Checkpoint | None:
        return newest(complex_name, ((message.key(), message.value()) for message in messages))

    return read_back(consumer, wire.topic(topics.CHECKPOINTS), partition, find)
