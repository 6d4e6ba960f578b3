"""The record schemas: complete in themselves, and one with what is derived from them.

Spec: common-interfaces Event types; common-interfaces Storage schemas.
"""

from __future__ import annotations

import json
import re
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.types import ListType

from common import schemas
from common.errors import SchemaError
from common.schemas import RecordSchema

ENVELOPE = {
    "event_id": ("long", False),
    "ts_event_ns": ("long", False),
    "ts_recv_ns": ("long", False),
    "ts_effective_ns": ("long", False),
    "source": ("string", False),
    "symbol": ("string", False),
    "instrument_id": ("long", True),
    "seq": ("long", True),
    "is_late": ("boolean", False),
}
"""DESIGN 3: what every market event carries, by kind and whether it may be null."""
MARKET_EVENTS = tuple(
    name
    for name in schemas.names()
    if name.startswith(("futures.", "stocks.", "options.")) and name != "options.flow.v1"
)
NUMPY = {"long": "int64", "int": "int32", "double": "float64", "boolean": "bool", "string": "uint8", "bytes": "uint8"}

GAP = ("gap_begin_ns", "long", True)
"""What stands at the end of every market event."""

every_schema = pytest.mark.parametrize("schema", [schemas.load(name) for name in schemas.names()], ids=schemas.names())


@every_schema
def test_every_field_says_what_it_is_and_in_which_unit(schema: RecordSchema) -> None:
    assert schema.doc.endswith(".")
    for f in schema.fields:
        assert f.doc.endswith("."), f.name
        assert f.unit.strip(), f.name


@every_schema
def test_names_are_snake_case_and_unique(schema: RecordSchema) -> None:
    names = [f.name for f in schema.fields]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name), name


@every_schema
def test_times_are_in_nanoseconds_and_say_so(schema: RecordSchema) -> None:
    for f in schema.fields:
        if f.unit.startswith("ns "):
            assert f.name.endswith("_ns"), f.name
        if f.name.startswith("ts_"):
            assert f.name.endswith("_ns"), f.name
            assert (f.kind, f.item) in (("long", None), ("array", "long")), f.name


@every_schema
def test_nullable_fields_default_to_null_and_others_have_no_default(schema: RecordSchema) -> None:
    for f in schema.fields:
        assert f.has_default == f.nullable, f.name
        assert f.default is None, f.name


@every_schema
def test_enum_symbols_are_upper_case_and_their_default_is_one_of_them(schema: RecordSchema) -> None:
    for f in schema.fields:
        for symbol in f.symbols:
            assert re.fullmatch(r"[A-Z][A-Z0-9_]*", symbol), (f.name, symbol)
        assert len(set(f.symbols)) == len(f.symbols)
        assert f.enum_default is None or f.enum_default in f.symbols


@every_schema
def test_the_schema_is_valid_avro_named_after_its_topic(schema: RecordSchema) -> None:
    fastavro.parse_schema(json.loads(schema.avro_json))
    assert schema.avro["name"] == schema.name.replace(".", "_")
    assert schema.avro["namespace"] == "breakwater"
    assert re.search(r"\.v\d+$", schema.name)
    assert json.loads(schema.avro_json) == json.loads((schemas.SCHEMA_DIR / f"{schema.name}.avsc").read_text())


@every_schema
def test_arrow_and_numpy_agree_with_the_avro_types(schema: RecordSchema) -> None:
    assert schema.arrow.names == [f.name for f in schema.fields]
    for f, arrow in zip(schema.fields, schema.arrow, strict=True):
        kind = f.item if f.kind == "array" else f.kind
        assert kind is not None
        assert np.dtype(f.dtype).name == NUMPY.get(kind, "int32")
        assert arrow.nullable == f.nullable
        assert arrow.metadata == {b"doc": f.doc.encode(), b"unit": f.unit.encode()}
        item = arrow.type.value_type if f.kind == "array" else arrow.type
        if kind in ("string", "enum"):
            assert item == pa.string()
        elif kind == "bytes":
            assert item == pa.binary()
        else:
            assert item == pa.from_numpy_dtype(f.dtype)


@every_schema
def test_iceberg_agrees_with_arrow_and_has_an_id_per_field(schema: RecordSchema) -> None:
    iceberg = schema.iceberg()
    as_arrow = schema_to_pyarrow(iceberg, include_field_ids=False)
    widths: dict[Any, Any] = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    ids = []
    for f, column, arrow, derived in zip(schema.fields, iceberg.fields, schema.arrow, as_arrow, strict=True):
        ids.append(column.field_id)
        assert column.name == f.name
        assert column.required is not f.nullable
        assert column.doc == f"{f.doc} Unit: {f.unit}."
        if isinstance(column.field_type, ListType):
            ids.append(column.field_type.element_id)
            item = derived.type.value_type
            assert widths.get(item, item) == arrow.type.value_type
        else:
            assert widths.get(derived.type, derived.type) == arrow.type
    assert sorted(ids) == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("name", MARKET_EVENTS)
def test_market_events_begin_with_the_envelope(name: str) -> None:
    schema = schemas.load(name)
    found = {f.name: (f.kind, f.nullable) for f in schema.fields[: len(ENVELOPE)]}
    assert list(found) == list(ENVELOPE)
    assert found == ENVELOPE


@pytest.mark.parametrize("name", MARKET_EVENTS)
def test_market_events_end_with_the_gap_before_them(name: str) -> None:
    last = schemas.load(name).fields[-1]
    assert (last.name, last.kind, last.nullable) == GAP


@pytest.mark.parametrize("name", ["levels.features.v1", "levels.signals.v1", "options.flow.v1"])
def test_rows_of_a_snap_are_framed(name: str) -> None:
    schema = schemas.load(name)
    for field in ("snap_row", "snap_rows"):
        assert (schema.field(field).kind, schema.field(field).nullable) == ("int", False)


def test_the_book_has_ten_levels_a_side_each_nullable() -> None:
    schema = schemas.load("futures.mbp10.v1")
    expected = [
        (f"{side}_{what}_{level}", kind, True)
        for side in ("bid", "ask")
        for level in range(1, 11)
        for what, kind in (("px", "double"), ("sz", "int"), ("ct", "int"))
    ]
    assert [(f.name, f.kind, f.nullable) for f in schema.fields[-61:-1]] == expected


def test_an_unknown_schema_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SchemaError, match=r"no schema named 'futures\.mbp10'") as caught:
        schemas.load("futures.mbp10")
    assert caught.value.hint is not None
    assert "futures.mbp10.v1" in caught.value.hint


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (["int", "null"], "only unions of null and one other type"),
        (["null", "int", "long"], "only unions of null and one other type"),
        ("float", "'float' is not supported"),
        ({"type": "map", "values": "int"}, "'map' is not supported"),
        ({"type": {"type": "int"}}, "is not supported"),
        ({"type": "array", "items": {"type": "array", "items": "int"}}, "arrays of .* are not supported"),
    ],
)
def test_a_type_the_platform_does_not_have_is_refused_by_field(declared: object, reason: str) -> None:
    with pytest.raises(SchemaError, match=rf"t\.x: .*{reason}"):
        schemas.parse("t", {"type": "record", "name": "t", "fields": [{"name": "x", "type": declared}]})


def test_a_schema_that_is_no_record_is_refused() -> None:
    with pytest.raises(SchemaError, match="not a record"):
        schemas.parse("t", {"type": "enum", "name": "t", "symbols": ["A"]})
    with pytest.raises(SchemaError, match=r"levels\.signals\.v1 has no field 'nothing'"):
        schemas.load("levels.signals.v1").field("nothing")
