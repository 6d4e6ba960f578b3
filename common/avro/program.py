"""Schemas compiled to programs: where each column lies in the arenas, and what the kernels do with each field."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import fastavro
import numpy as np
from numpy.typing import NDArray

from common.avro import decoding as d
from common.errors import SchemaError
from common.schemas import Field, RecordSchema

Ints = NDArray[np.int64]

LONGS, INTS, OCTETS = range(3)
"""The arenas: int64 (also the bits of doubles, and places in the input), int32 (also enum symbols), uint8 (flags)."""
ITEM_BYTES = (8, 4, 1)

_HOME = {"long": LONGS, "double": LONGS, "int": INTS, "enum": INTS, "boolean": OCTETS}
ARRAYS = {"int": d.ARRAY_INT, "long": d.ARRAY_LONG, "double": d.ARRAY_DOUBLE}
OPERATIONS = {
    ("long", "long"): d.LONG,
    ("int", "int"): d.INT,
    ("int", "long"): d.INT_TO_LONG,
    ("double", "double"): d.DOUBLE,
    ("boolean", "boolean"): d.BOOLEAN,
    ("enum", "enum"): d.ENUM,
    ("bytes", "bytes"): d.BYTES,
    ("string", "string"): d.STRING,
    ("string", "bytes"): d.STRING,
    ("bytes", "string"): d.STRING,
    ("long", "double"): d.LONG_TO_DOUBLE,
    ("int", "double"): d.INT_TO_DOUBLE,
}
"""Operation by the writer's kind and the reader's: Avro's promotions."""
_PROMOTIONS = {(w, r) for w, r in OPERATIONS if w in ARRAYS and r in ARRAYS}


@dataclass(frozen=True, slots=True)
class Slot:
    """A field's columns: ``main`` in arena ``home`` (strings and arrays have two: starts, lengths), ``valid`` or -1."""

    home: int
    main: int
    valid: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a schema in the arenas: a slot per field, and how many columns each arena has."""

    slots: dict[str, Slot]
    columns: tuple[int, int, int]


def is_varied(field_: Field) -> bool:
    """Whether values of the field differ in size, so that its column has offsets."""
    return field_.kind in ("string", "bytes", "array")


def layout(schema: RecordSchema) -> Layout:
    """Give every field its place. Raises SchemaError for a field the kernels have no operation for."""
    columns = [0, 0, 0]
    slots = {}
    for f in schema.fields:
        if f.kind == "array" and f.item not in ARRAYS:
            raise SchemaError(
                f"{schema.name}.{f.name}: the columnar codec has no arrays of {f.item}",
                hint="Use encode_row and decode_row for this topic.",
            )
        home = _HOME.get(f.kind, LONGS)
        main = columns[home]
        columns[home] += 2 if is_varied(f) else 1
        valid = -1
        if f.nullable:
            valid = columns[OCTETS]
            columns[OCTETS] += 1
        slots[f.name] = Slot(home, main, valid)
    return Layout(slots, (columns[0], columns[1], columns[2]))


def pitch(records: int, arena: int) -> int:
    """Distance of two columns in an arena, in items: an odd number of cache lines, so that they share no cache sets."""
    lines = -(-records * ITEM_BYTES[arena] // 64) | 1
    return lines * 64 // ITEM_BYTES[arena]


@dataclass(frozen=True, slots=True)
class DecodeProgram:
    """How records of one writer schema become columns of the reader's.

    ``rows`` are as :mod:`common.avro.decoding` describes them, with slot numbers for places until :meth:`placed`.
    ``fields`` names each row's field. ``defaults`` are the Avro bytes of the fields the writer does not have.
    """

    rows: Ints
    homes: Ints
    fields: tuple[str, ...]
    wire_rows: int
    symbol_map: Ints
    defaults: bytes = field(repr=False)

    def placed(self, columns: tuple[int, int, int], records: int) -> Ints:
        """The rows for a batch of ``records``; scratch cells lie after the last column of each arena."""
        pitches = np.array([pitch(records, arena) for arena in range(3)], np.int64)
        ends = np.array(columns, np.int64) * pitches
        rows = self.rows.copy()
        kept = rows[:, d.STRIDE] == 1
        rows[:, d.BASE] = np.where(kept, rows[:, d.BASE] * pitches[self.homes], ends[self.homes])
        valid = rows[:, d.VALID_BASE]
        rows[:, d.VALID_BASE] = np.where(valid < 0, -1, np.where(kept, valid * pitches[OCTETS], ends[OCTETS]))
        varied = np.isin(rows[:, d.OP], (d.STRING, d.BYTES, d.ARRAY_INT, d.ARRAY_LONG, d.ARRAY_DOUBLE))
        rows[varied, d.AUX] = np.where(kept[varied], pitches[LONGS], 1)
        return rows


@dataclass(frozen=True, slots=True)
class Linked:
    """Programs put together for one batch, in the form the kernel takes; ``fields`` names every row's field."""

    rows: Ints
    segments: Ints
    symbol_map: Ints
    fields: tuple[str, ...]
    defaults: bytes = field(repr=False)


def link(programs: Sequence[DecodeProgram], columns: tuple[int, int, int], records: int) -> Linked:
    """Place the programs for a batch of ``records`` and put them end to end."""
    rows: list[Ints] = [np.empty((0, d.ROW_WIDTH), np.int64)]
    maps: list[Ints] = [np.empty(0, np.int64)]
    segments = np.zeros((len(programs), 5), np.int64)
    names: list[str] = []
    defaults = b""
    mapped = 0
    for number, program in enumerate(programs):
        first = len(names)
        segments[number] = (
            first,
            first + program.wire_rows,
            first + len(program.fields),
            len(defaults),
            len(defaults) + len(program.defaults),
        )
        placed = program.placed(columns, records)
        placed[placed[:, d.OP] == d.ENUM, d.AUX] += mapped
        rows.append(placed)
        maps.append(program.symbol_map)
        mapped += len(program.symbol_map)
        names.extend(program.fields)
        defaults += program.defaults
    return Linked(np.concatenate(rows), segments, np.concatenate(maps), tuple(names), defaults)


def _operation(where: str, writer: Field, reader: Field) -> int:
    pair = (writer.kind, reader.kind)
    if pair == ("array", "array") and writer.item and reader.item:
        if writer.item == reader.item or (writer.item, reader.item) in _PROMOTIONS:
            return ARRAYS[writer.item]
        raise SchemaError(f"{where}: an array of {writer.item} cannot be read as one of {reader.item}")
    if pair not in OPERATIONS:
        raise SchemaError(f"{where}: {writer.kind} cannot be read as {reader.kind}")
    return OPERATIONS[pair]


def _default_bytes(reader: RecordSchema, missing: list[Field]) -> bytes:
    """The defaults of the missing fields, in order, as a writer would have written them."""
    for f in missing:
        if not f.has_default:
            raise SchemaError(f"{reader.name}.{f.name}: the writer's schema lacks it and it has no default")
    names = {f.name for f in missing}
    raw_fields = [raw for raw in reader.avro["fields"] if raw["name"] in names]
    record = {
        f.name: f.default.encode("latin-1") if f.kind == "bytes" and isinstance(f.default, str) else f.default
        for f in missing
    }
    sink = io.BytesIO()
    try:
        parsed = fastavro.parse_schema({**reader.avro, "fields": raw_fields})
        fastavro.schemaless_writer(sink, parsed, record)
    except (ValueError, TypeError, KeyError, IndexError, fastavro.schema.SchemaParseException) as error:
        raise SchemaError(f"{reader.name}: a default does not fit its field: {error}") from error
    return sink.getvalue()


def resolve(writer: RecordSchema, reader: RecordSchema, reader_layout: Layout) -> DecodeProgram:
    """The program that reads ``writer``'s records as ``reader``'s (Avro schema resolution; fields match by name).

    Raises SchemaError where Avro has no resolution: another kind, or a missing field without default.
    """
    layout(writer)  # refuses what the kernels cannot even skip
    by_name = {f.name: f for f in reader.fields}
    rows: list[list[int]] = []
    homes: list[int] = []
    names: list[str] = []
    symbol_map: list[int] = []

    def add(wire: Field, target: Field, slot: Slot, kept: bool) -> None:
        op = _operation(f"{writer.name}.{wire.name}", wire, target)
        aux = aux_count = 0
        if op == d.ENUM:
            aux, aux_count = len(symbol_map), len(wire.symbols)
            fallback = target.symbols.index(target.enum_default) if target.enum_default in target.symbols else -1
            symbol_map.extend(target.symbols.index(s) if s in target.symbols else fallback for s in wire.symbols)
        rows.append([op, wire.nullable, slot.main, kept, slot.valid, kept, aux, aux_count])
        homes.append(slot.home)
        names.append(wire.name)

    for wire in writer.fields:
        target = by_name.pop(wire.name, None)
        if target is None:
            scratch = Slot(_HOME.get(wire.kind, LONGS), 0, 0 if wire.nullable else -1)
            add(wire, wire, scratch, kept=False)
        else:
            add(wire, target, reader_layout.slots[wire.name], kept=True)
    wire_rows = len(rows)
    missing = [f for f in reader.fields if f.name in by_name]
    defaults = _default_bytes(reader, missing) if missing else b""
    for f in missing:
        add(f, f, reader_layout.slots[f.name], kept=True)
    return DecodeProgram(
        rows=np.array(rows, np.int64).reshape(-1, d.ROW_WIDTH),
        homes=np.array(homes, np.int64),
        fields=tuple(names),
        wire_rows=wire_rows,
        symbol_map=np.array(symbol_map, np.int64),
        defaults=defaults,
    )
