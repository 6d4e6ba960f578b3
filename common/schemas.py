"""The record schemas, read from ``schemas-avro`` and nothing else, and what follows from them.

One ``.avsc`` per topic is the only place where a record's fields, units and docs are written. From it come the Avro
schema that is registered, the NumPy dtypes of a :class:`common.columns.Batch`, the Arrow schema and the Iceberg
schema.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyiceberg.schema import Schema as IcebergSchema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
)

from common.errors import SchemaError

SCHEMA_DIR = Path(__file__).resolve().parent.parent / "schemas-avro"

Kind = Literal["long", "int", "double", "boolean", "string", "bytes", "enum", "array"]

_PRIMITIVES: dict[str, Kind] = {
    "long": "long",
    "int": "int",
    "double": "double",
    "boolean": "boolean",
    "string": "string",
    "bytes": "bytes",
}
_ARROW: dict[str, pa.DataType] = {
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "bytes": pa.binary(),
    "enum": pa.string(),
}
_NUMPY: dict[str, type[np.generic]] = {
    "long": np.int64,
    "int": np.int32,
    "double": np.float64,
    "boolean": np.bool_,
    "string": np.uint8,
    "bytes": np.uint8,
    "enum": np.int32,
}
_ICEBERG: dict[str, IcebergType] = {
    "long": LongType(),
    "int": IntegerType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "string": StringType(),
    "bytes": BinaryType(),
    "enum": StringType(),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record.

    ``kind`` is its Avro type without the null; ``symbols`` are an enum's, ``item`` is an array's item kind.
    ``default`` counts only when ``has_default``. A nullable field's null is always the union's first branch.
    """

    name: str
    kind: Kind
    nullable: bool
    doc: str
    unit: str
    symbols: tuple[str, ...] = ()
    enum_default: str | None = None
    item: Kind | None = None
    has_default: bool = False
    default: Any = None

    @property
    def dtype(self) -> type[np.generic]:
        """NumPy type of the column's values (of the items, for an array)."""
        return _NUMPY[self.item if self.kind == "array" and self.item else self.kind]

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the column; enums are plain strings."""
        if self.kind == "array" and self.item:
            return pa.list_(_ARROW[self.item])
        return _ARROW[self.kind]


@dataclass(frozen=True, slots=True)
class RecordSchema:
    """A record: its topic's name, its fields in order, and the Avro schema as parsed JSON."""

    name: str
    doc: str
    fields: tuple[Field, ...]
    avro: dict[str, Any]

    @property
    def avro_json(self) -> str:
        """The schema as it is registered: whitespace-free, in file order."""
        return json.dumps(self.avro, separators=(",", ":"), ensure_ascii=False)

    @property
    def symbols(self) -> dict[str, tuple[str, ...]]:
        """The symbols of each enum field."""
        return {field.name: field.symbols for field in self.fields if field.kind == "enum"}

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema; each field carries its doc and unit as metadata."""
        return pa.schema(
            [pa.field(f.name, f.arrow, f.nullable, metadata={"doc": f.doc, "unit": f.unit}) for f in self.fields]
        )

    def field(self, name: str) -> Field:
        """The field of that name. Raises SchemaError when there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise SchemaError(f"{self.name} has no field {name!r}")

    def iceberg(self) -> IcebergSchema:
        """The Iceberg schema: field ids from 1 in file order, array items after them; docs end in the unit."""
        next_id = len(self.fields) + 1
        fields = []
        for position, f in enumerate(self.fields, start=1):
            if f.kind == "array" and f.item:
                kind: IcebergType = ListType(element_id=next_id, element_type=_ICEBERG[f.item], element_required=True)
                next_id += 1
            else:
                kind = _ICEBERG[f.kind]
            doc = f"{f.doc} Unit: {f.unit}."
            fields.append(NestedField(position, f.name, kind, required=not f.nullable, doc=doc))
        return IcebergSchema(*fields)


def _parse_field(record: str, raw: dict[str, Any]) -> Field:
    name = raw["name"]
    declared = raw["type"]
    nullable = isinstance(declared, list)
    if isinstance(declared, list):
        if len(declared) != 2 or declared[0] != "null":
            raise SchemaError(f"{record}.{name}: only unions of null and one other type are supported, not {declared}")
        declared = declared[1]
    symbols: tuple[str, ...] = ()
    enum_default = None
    item: Kind | None = None
    if isinstance(declared, str):
        bare: Any = declared
    else:
        bare = declared["type"]
    if bare == "enum":
        kind: Kind = "enum"
        symbols = tuple(declared["symbols"])
        enum_default = declared.get("default")
    elif bare == "array":
        kind = "array"
        items = declared["items"]
        if not isinstance(items, str) or items not in _PRIMITIVES:
            raise SchemaError(f"{record}.{name}: arrays of {items} are not supported")
        item = _PRIMITIVES[items]
    elif isinstance(bare, str) and bare in _PRIMITIVES:
        kind = _PRIMITIVES[bare]
    else:
        raise SchemaError(f"{record}.{name}: the Avro type {bare!r} is not supported")
    return Field(
        name=name,
        kind=kind,
        nullable=nullable,
        doc=raw.get("doc", ""),
        unit=raw.get("unit", ""),
        symbols=symbols,
        enum_default=enum_default,
        item=item,
        has_default="default" in raw,
        default=raw.get("default"),
    )


def parse(name: str, avro: dict[str, Any]) -> RecordSchema:
    """A record schema from parsed Avro JSON. Raises SchemaError for what the platform does not support."""
    if avro.get("type") != "record":
        raise SchemaError(f"{name}: the schema's type is {avro.get('type')!r}, not a record")
    fields = tuple(_parse_field(name, raw) for raw in avro["fields"])
    return RecordSchema(name=name, doc=avro.get("doc", ""), fields=fields, avro=avro)


@cache
def load(name: str) -> RecordSchema:
    """The schema of the topic ``name``. Raises SchemaError when there is no such file."""
    path = SCHEMA_DIR / f"{name}.avsc"
    if not path.is_file():
        known = ", ".join(names())
        raise SchemaError(f"no schema named {name!r} in schemas-avro", hint=f"The schemas are: {known}")
    return parse(name, json.loads(path.read_text(encoding="utf-8")))


@cache
def names() -> tuple[str, ...]:
    """The names of all schemas, sorted; each is also a topic's name."""
    return tuple(sorted(path.name.removesuffix(".avsc") for path in SCHEMA_DIR.glob("*.avsc")))
