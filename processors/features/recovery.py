"""The way back after a restart: a complex's newest checkpoint and the markers since, from the end of their topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from common import topics
from common.errors import RecordError, SchemaError, UnavailableError
from common.telemetry import get_logger
from processors.checkpoint import Checkpoint, newest
from processors.engine.marked import Marker, condensed, marker_of
from processors.features.wire import Wire

log = get_logger("features.recovery")

READ_TIMEOUT_S = 60.0
"""How long the end of a topic may take to arrive."""

_FIRST_WINDOW = 64
"""Offsets read at first from the end; eight times as many each time that nothing was found."""

_T = TypeVar("_T")


def read_range(consumer: Any, topic: str, partition: int, start: int, end: int) -> list[Any]:
    """The committed records of ``[start, end)``, in order, as `iterate_range`."""
    return list(iterate_range(consumer, topic, partition, start, end))


def iterate_range(consumer: Any, topic: str, partition: int, start: int, end: int) -> Iterator[Any]:
    """The committed records of ``[start, end)``, in order, one after the other.

    ``consumer`` reports partition ends; its assignment is replaced. Raises UnavailableError when none arrive in time.
    """
    consumer.assign([TopicPartition(topic, partition, start)])
    deadline = time.monotonic() + READ_TIMEOUT_S
    reached = start
    while reached < end:
        for message in consumer.consume(10_000, 0.05):
            error = message.error()
            if error is None:
                reached = message.offset() + 1
                deadline = time.monotonic() + READ_TIMEOUT_S
                if message.offset() < end:
                    yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                reached = max(reached, message.offset())
            elif error.code() == KafkaError._AUTO_OFFSET_RESET or error.fatal():
                raise UnavailableError(f"{topic}-{partition} cannot be read from offset {start}: {error.str()}")
        if reached < end and time.monotonic() > deadline:
            raise UnavailableError(
                f"{topic}-{partition}: nothing after offset {reached} of {end} within {READ_TIMEOUT_S:.0f} s",
                hint="Check that the broker runs (./breakwater status).",
            )


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
        return next(_decoded(wire, reversed(messages)), None)

    return read_back(consumer, wire.topic(topics.MARKERS), partition, find)


def markers_since(consumer: Any, wire: Wire, partition: int, floor_ns: int) -> list[Marker]:
    """The markers whose steps end at ``floor_ns`` or later, in order, without those that following them does not need.

    Raises UnavailableError; InvariantError when one of them was made by a version that is not supported.
    """
    topic = wire.topic(topics.MARKERS)

    def find(messages: list[Any]) -> int | None:
        """Offset of a marker before which none is wanted."""
        first = next(_decoded(wire, messages), None)
        is_before = first is not None and marker_of(first).until_ns < floor_ns
        return int(messages[0].offset()) if is_before else None

    low, high = _bounds(consumer, topic, partition)
    start = read_back(consumer, topic, partition, find)
    messages = iterate_range(consumer, topic, partition, low if start is None else start, high)
    return condensed(
        marker
        for marker in (marker_of(row, wire.namespace) for row in _decoded(wire, messages))
        if marker.until_ns >= floor_ns
    )


def _decoded(wire: Wire, messages: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for message in messages:
        try:
            yield wire.decode_row(topics.MARKERS, message.value())
        except (RecordError, SchemaError) as error:
            log.warning("marker_passed_over", offset=message.offset(), error=str(error))


def newest_checkpoint(consumer: Any, wire: Wire, partition: int, complex_name: str) -> Checkpoint | None:
    """The newest whole checkpoint; None when there is none."""

    def find(messages: list[Any]) -> Checkpoint | None:
        return newest(complex_name, ((message.key(), message.value()) for message in messages))

    return read_back(consumer, wire.topic(topics.CHECKPOINTS), partition, find)
