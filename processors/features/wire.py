"""How records of the worker's topics look on the wire: which codec, which schema id, which topic name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from common import schemas, topics
from common.avro import Codec, Decoded, decode_row, encode_row
from common.columns import Batch
from common.schemas import RecordSchema

INPUTS = topics.ENGINE_INPUTS
"""What the engine reads of a complex, in rank order."""

OUTPUTS = (topics.FEATURES, topics.OUTCOMES, topics.OPTIONS_FLOW, topics.MARKERS, topics.DEAD_LETTERS)
"""What the worker writes in registered schemas."""


@cache
def _codec(name: str) -> Codec:
    return Codec(schemas.load(name))


class Wire:
    """Encodes and decodes in one namespace.

    ``ids`` gives the schema id of each output topic (names without the namespace), ``writer`` the schema of an id; it
    raises SchemaError for an unknown one.
    """

    def __init__(self, namespace: str, ids: Mapping[str, int], writer: Callable[[int], RecordSchema]) -> None:
        self.namespace = namespace
        self._ids = ids
        self._writer = writer

    def topic(self, name: str) -> str:
        """The topic's full name."""
        return topics.full_name(name, self.namespace)

    def decode(self, name: str, values: Sequence[bytes | None]) -> Decoded:
        """Whole records of a hot topic as columns; bad ones are reported, never raised."""
        return _codec(name).decode(values, self._writer)

    def encode(self, batch: Batch) -> list[bytes]:
        """Each record of the batch, framed."""
        return _codec(batch.name).encode(batch, self._ids[batch.name]).messages()

    def decode_row(self, name: str, value: bytes | None) -> dict[str, Any]:
        """One record of a low-rate topic. Raises RecordError or SchemaError."""
        return decode_row(schemas.load(name), value, self._writer)

    def encode_row(self, name: str, record: Mapping[str, Any]) -> bytes:
        """One record of a low-rate topic, framed."""
        return encode_row(schemas.load(name), record, self._ids[name])
