"""Single records as dictionaries, by fastavro: for topics of a few records a second, and the codec's oracle."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import error as StructError  # noqa: N812 - an exception, named as one
from struct import pack, unpack_from
from typing import Any, cast

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException, UnknownType

from common.errors import InvariantError, RecordError, SchemaError
from common.schemas import RecordSchema

_UNREADABLE = (
    EOFError,
    IndexError,
    KeyError,
    ValueError,
    TypeError,
    OverflowError,
    AttributeError,
    StructError,
    MemoryError,
)
"""What fastavro raises on bytes, or values, that do not fit the schema."""


@lru_cache(maxsize=256)
def _parsed(avro_json: str) -> Any:
    try:
        return fastavro.parse_schema(json.loads(avro_json))
    except (SchemaParseException, UnknownType) as error:
        raise SchemaError(f"not an Avro schema: {error}") from error


def encode_row(schema: RecordSchema, record: Mapping[str, Any], schema_id: int) -> bytes:
    """One record in Confluent framing. Fields that are absent take their default.

    Raises RecordError when the record does not fit the schema.
    """
    if not 0 <= schema_id < 2**31:
        raise InvariantError(f"a schema id is a 31-bit number, not {schema_id}")
    sink = io.BytesIO()
    sink.write(pack(">bI", 0, schema_id))
    try:
        fastavro.schemaless_writer(sink, _parsed(schema.avro_json), dict(record), strict_allow_default=True)
    except _UNREADABLE as error:
        raise RecordError(f"{schema.name}: the record cannot be encoded: {error!r}") from error
    return sink.getvalue()


def decode_row(schema: RecordSchema, value: bytes | None, writer: Callable[[int], RecordSchema]) -> dict[str, Any]:
    """The record in ``value``, resolved from the schema that its id names to ``schema``.

    Raises RecordError for bytes that are not such a record, SchemaError for a schema that cannot be read as ``schema``.
    """
    if value is None or len(value) < 5 or value[0] != 0:
        raise RecordError(f"{schema.name}: not a framed record: it must begin with a zero and a 4-byte schema id")
    (schema_id,) = unpack_from(">I", value, 1)
    source = io.BytesIO(value)
    source.seek(5)
    written = writer(schema_id)
    try:
        record = fastavro.schemaless_reader(source, _parsed(written.avro_json), _parsed(schema.avro_json))
    except SchemaResolutionError as error:
        raise SchemaError(f"{schema.name}: schema id {schema_id} cannot be read: {error}") from error
    except _UNREADABLE as error:
        raise RecordError(f"{schema.name}: the record cannot be decoded (schema id {schema_id}): {error!r}") from error
    if source.tell() != len(value):
        left = len(value) - source.tell()
        raise RecordError(f"{schema.name}: {left} bytes are left over after the last field (schema id {schema_id})")
    return cast(dict[str, Any], record)
