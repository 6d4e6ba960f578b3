"""One dead letter, and which of them the log holds already.

A letter of a producer is known by its topic, its source (a feed's or file's name), its place there, and its bytes; one
of a reader of topics by topic, partition and offset. Whoever writes letters looks first, so that a restart or a second
run writes none twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import confluent_kafka as ck

from common.avro import decode_row, encode_row
from common.errors import RecordError, SchemaError
from common.schemas import load
from common.topics import DEAD_LETTERS
from producers.log_state import Writer, read_values

COMPONENT = "producers"
LONGEST_VALUE_BYTES = 900_000
"""Longer values are cut so that the letter fits into a message."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that could not be used. ``ts_event_ns``: when it was set aside."""

    ts_event_ns: int
    topic: str
    source: str | None
    place: str | None
    error: str
    value: bytes
    component: str = COMPONENT
    partition: int | None = None
    offset: int | None = None
    key: bytes | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What is the same when the same message is met again."""
        if self.place is None:
            return self.topic, self.partition, self.offset
        return self.topic, self.source, self.place, zlib.crc32(self.value[:LONGEST_VALUE_BYTES])

    def encoded(self, schema_ids: Mapping[str, int]) -> bytes:
        """The letter as a framed record."""
        value, error = self.value, self.error
        if len(value) > LONGEST_VALUE_BYTES:
            error = f"{error} (value cut from {len(value)} bytes)"
            value = value[:LONGEST_VALUE_BYTES]
        record = {
            "ts_event_ns": self.ts_event_ns,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "component": self.component,
            "error": error,
            "key": self.key,
            "value": value,
            "source": self.source,
            "place": self.place,
        }
        return encode_row(load(DEAD_LETTERS), record, schema_ids[DEAD_LETTERS])


def letter_of(row: Mapping[str, Any]) -> Letter:
    """The letter of a decoded record."""
    return Letter(
        ts_event_ns=row["ts_event_ns"],
        topic=row["topic"],
        source=row["source"],
        place=row["place"],
        error=row["error"],
        value=row["value"] or b"",
        component=row["component"],
        partition=row["partition"],
        offset=row["offset"],
        key=row["key"],
    )


def decoded(value: bytes, writer: Writer) -> Letter | None:
    """The letter in a framed record, None when it is none."""
    try:
        return letter_of(decode_row(load(DEAD_LETTERS), value, writer))
    except (RecordError, SchemaError):
        return None


def read_letters(consumer: ck.Consumer, name: str, partition: int, writer: Writer) -> Iterator[tuple[int, Letter]]:
    """The letters in the topic ``name``, each with its offset there, repetitions included.

    Raises UnavailableError.
    """
    for offset, value in read_values(consumer, name, partition):
        found = decoded(value, writer)
        if found is not None:
            yield offset, found


class KnownLetters:
    """Which letters need no writing any more."""

    def __init__(self) -> None:
        self._known: set[tuple[object, ...]] = set()

    def add(self, letter: Letter) -> bool:
        """Whether the letter is new; it is known from now on."""
        before = len(self._known)
        self._known.add(letter.identity)
        return len(self._known) > before
