"""Generated Avro schemas and records of the kinds the codec supports, and readers to hold it against.

Two oracles: fastavro, and a strict reader of our own. fastavro lets through what is no Avro (negative union branches,
ints of more than 32 bits), so hostile bytes are judged by the strict one.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np
from hypothesis import strategies as st

from common.columns import Batch, Column
from common.schemas import Field, RecordSchema, parse

LONGS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-200, 200),
    st.sampled_from([s * (1 << k) + d for k in range(0, 63, 7) for s in (1, -1) for d in (-1, 0, 1)]),
    st.sampled_from([2**63 - 1, -(2**63)]),
)
INTS = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-70, 70))
DOUBLES = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]) | st.floats()
TEXT = st.text(max_size=20) | st.text("abcdefghij", max_size=40)
SYMBOLS = tuple("ABCDEFGH")
ITEMS = ("int", "long", "double")
KINDS = ("long", "int", "double", "boolean", "string", "bytes", "enum", "array")
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "long": LONGS,
    "int": INTS,
    "double": DOUBLES,
    "boolean": st.booleans(),
    "string": TEXT,
    "bytes": st.binary(max_size=20),
}
Record = dict[str, Any]


def values_of(f: Field) -> st.SearchStrategy[Any]:
    """Values that fit a field."""
    if f.kind == "enum":
        inner: st.SearchStrategy[Any] = st.sampled_from(f.symbols)
    elif f.kind == "array":
        inner = st.lists(PRIMITIVES[f.item or "int"], max_size=70 if f.item == "int" else 6)
    else:
        inner = PRIMITIVES[f.kind]
    return st.none() | inner if f.nullable else inner


def records_of(schema: RecordSchema) -> st.SearchStrategy[Record]:
    """Records that fit a schema."""
    return st.fixed_dictionaries({f.name: values_of(f) for f in schema.fields})


@st.composite
def avro_fields(draw: st.DrawFn, name: str, *, with_default: bool = False) -> Record:
    """A field as Avro JSON. With a default where asked for (null for a nullable field)."""
    kind = draw(st.sampled_from(KINDS))
    declared: Any = kind
    default: Any = None
    if kind == "enum":
        symbols = draw(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=5, unique=True))
        declared = {"type": "enum", "name": f"{name}_symbols", "symbols": symbols}
        if draw(st.booleans()):
            declared["default"] = draw(st.sampled_from(symbols))
        default = symbols[0]
    elif kind == "array":
        item = draw(st.sampled_from(ITEMS))
        declared = {"type": "array", "items": item}
        default = draw(st.lists(PRIMITIVES[item] if item != "double" else st.floats(-1e9, 1e9), max_size=3))
    elif kind == "double":
        default = draw(st.floats(-1e9, 1e9))
    elif kind == "bytes":
        default = draw(st.binary(max_size=9)).decode("latin-1")
    else:
        default = draw(PRIMITIVES[kind])
    raw: Record = {"name": name, "type": declared, "doc": "generated", "unit": "none"}
    nullable = draw(st.booleans())
    if nullable:
        raw["type"] = ["null", declared]
    if with_default:
        raw["default"] = None if nullable else default
    return raw


def schema_of(fields: Sequence[Record]) -> RecordSchema:
    """A record schema of the given fields."""
    return parse("generated.v1", {"type": "record", "name": "generated_v1", "fields": list(fields)})


@st.composite
def record_schemas(draw: st.DrawFn) -> RecordSchema:
    """Schemas of one to eight fields."""
    return schema_of([draw(avro_fields(f"f{number}")) for number in range(draw(st.integers(1, 8)))])


@dataclass(frozen=True)
class Sample:
    """A schema and records of it."""

    schema: RecordSchema
    records: list[Record]


@st.composite
def samples(draw: st.DrawFn, *, min_records: int = 0) -> Sample:
    """Schemas with up to six records."""
    schema = draw(record_schemas())
    return Sample(schema, draw(st.lists(records_of(schema), min_size=min_records, max_size=6)))


PROMOTIONS = {"int": ("int", "long", "double"), "long": ("long", "double"), "string": ("string", "bytes")}


@st.composite
def readers_of(draw: st.DrawFn, writer: RecordSchema) -> RecordSchema:
    """A schema that Avro can resolve ``writer`` to: fields moved, left out, added, promoted, made nullable or not."""
    fields = []
    for f, raw in zip(writer.fields, writer.avro["fields"], strict=True):
        if draw(st.integers(0, 4)) == 0:
            continue
        declared: Any = raw["type"][1] if f.nullable else raw["type"]
        if f.kind == "enum":
            symbols = draw(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=8, unique=True))
            declared = {"type": "enum", "name": f"{f.name}_symbols", "symbols": symbols}
            if draw(st.booleans()):
                declared["default"] = symbols[-1]
        elif f.kind == "array":
            declared = {"type": "array", "items": draw(st.sampled_from(PROMOTIONS.get(f.item or "", (f.item,))))}
        else:
            declared = draw(st.sampled_from(PROMOTIONS.get(f.kind, (f.kind,))))
        fields.append({**raw, "type": ["null", declared] if draw(st.booleans()) else declared})
    fields += [draw(avro_fields(f"g{number}", with_default=True)) for number in range(draw(st.integers(0, 3)))]
    if not fields:
        fields = [draw(avro_fields("g0", with_default=True))]
    return schema_of(draw(st.permutations(fields)))


def batch_of(schema: RecordSchema, records: Sequence[Record]) -> Batch:
    """The records as columns, built value by value."""
    return Batch(schema.name, len(records), {f.name: _column(f, [r[f.name] for r in records]) for f in schema.fields})


def _column(f: Field, values: list[Any]) -> Column:
    valid = np.array([value is not None for value in values], np.bool_) if f.nullable else None
    if f.kind in ("string", "bytes", "array"):
        pieces = [b"" if v is None else v.encode() if isinstance(v, str) else v for v in values]
        offsets = np.cumsum([0, *map(len, pieces)]).astype(np.int64)
        items = [item for piece in pieces for item in piece]
        return Column(np.array(items, f.dtype), valid, offsets)
    if f.kind == "enum":
        return Column(np.array([0 if v is None else f.symbols.index(v) for v in values], np.int32), valid)
    return Column(np.array([0 if v is None else v for v in values], f.dtype), valid)


def records_in(schema: RecordSchema, batch: Batch) -> list[Record]:
    """The batch as records, read value by value."""
    return [{f.name: _value(f, batch.columns[f.name], at) for f in schema.fields} for at in range(batch.length)]


def _value(f: Field, column: Column, at: int) -> Any:
    if column.valid is not None and not column.valid[at]:
        return None
    if column.offsets is None:
        value = column.values[at].item()
        return f.symbols[value] if f.kind == "enum" else value
    piece = column.values[column.offsets[at] : column.offsets[at + 1]]
    if f.kind == "array":
        return piece.tolist()
    return piece.tobytes().decode() if f.kind == "string" else piece.tobytes()


def bits(value: Any) -> Any:
    """The value in a form where equal means the same bits: NaNs by payload, zeros by sign, ints apart from floats."""
    if isinstance(value, float):
        return ("double", struct.pack("<d", value))
    if isinstance(value, Mapping):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    return (type(value).__name__, value)


def frame(body: bytes, schema_id: int) -> bytes:
    """A body in Confluent framing."""
    return b"\0" + schema_id.to_bytes(4, "big") + body


def fastavro_bytes(schema: RecordSchema, record: Record) -> bytes:
    """The record's body as fastavro writes it."""
    sink = io.BytesIO()
    fastavro.schemaless_writer(sink, fastavro.parse_schema(schema.avro), record)
    return sink.getvalue()


def fastavro_record(writer: RecordSchema, body: bytes, reader: RecordSchema | None = None) -> Record:
    """The record as fastavro reads it; bytes left over are an error."""
    source = io.BytesIO(body)
    parsed = None if reader is None else fastavro.parse_schema(reader.avro)
    record = fastavro.schemaless_reader(source, fastavro.parse_schema(writer.avro), parsed)
    if source.tell() != len(body):
        raise ValueError(f"{len(body) - source.tell()} bytes are left over")
    assert isinstance(record, dict)
    return record


class NotAvroError(Exception):
    """The bytes are not a record of the schema."""


class StrictReader:
    """Reads a body by the letter of the Avro specification, slowly."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def record(self, schema: RecordSchema) -> Record:
        """The one record that the bytes are. Raises NotAvroError."""
        record = {f.name: self._field(f) for f in schema.fields}
        if self._at != len(self._body):
            raise NotAvroError("bytes are left over")
        return record

    def _take(self, count: int) -> bytes:
        if count < 0 or count > len(self._body) - self._at:
            raise NotAvroError("beyond the end")
        self._at += count
        return self._body[self._at - count : self._at]

    def _long(self) -> int:
        raw = 0
        for group in range(10):
            byte = self._take(1)[0]
            raw |= (byte & 0x7F) << (7 * group)
            if byte < 0x80:
                if raw >= 2**64:
                    break
                return (raw >> 1) ^ -(raw & 1)
        raise NotAvroError("more than 64 bits")

    def _int(self) -> int:
        value = self._long()
        if not -(2**31) <= value < 2**31:
            raise NotAvroError("more than 32 bits")
        return value

    def _text(self) -> str:
        try:
            return self._take(self._long()).decode()
        except UnicodeDecodeError:
            raise NotAvroError("not UTF-8") from None

    def _array(self, item: Callable[[], Any]) -> list[Any]:
        items: list[Any] = []
        while count := self._long():
            if count < 0:
                self._long()
            if abs(count) > len(self._body):
                raise NotAvroError("more items than bytes")
            items.extend(item() for _ in range(abs(count)))
        return items

    def _field(self, f: Field) -> Any:
        if f.nullable:
            branch = self._long()
            if branch not in (0, 1):
                raise NotAvroError("no such branch")
            if branch == 0:
                return None
        readers: dict[str, Callable[[], Any]] = {
            "long": self._long,
            "int": self._int,
            "double": lambda: struct.unpack("<d", self._take(8))[0],
            "boolean": lambda: self._take(1) != b"\0",
            "string": self._text,
            "bytes": lambda: self._take(self._long()),
        }
        if f.kind == "array":
            return self._array(readers[f.item or "int"])
        if f.kind == "enum":
            symbol = self._long()
            if not 0 <= symbol < len(f.symbols):
                raise NotAvroError("no such symbol")
            return f.symbols[symbol]
        return readers[f.kind]()
