"""What the columnar codec promises about good, bad and foreign records, one claim at a time."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from common import schemas, topics
from common.avro import Codec, decode_row, encode_row
from common.columns import Batch, Column, repeated_string, strings
from common.errors import InvariantError, RecordError, SchemaError, UnavailableError
from common.schemas import RecordSchema
from tests.support.avro_records import batch_of, fastavro_bytes, fastavro_record, frame, records_in, schema_of

ROWS_ONLY = {topics.MARKERS}
"""Topics with arrays of strings."""


def _one(declared: object) -> RecordSchema:
    return schema_of([{"name": "x", "type": declared}])


def _decode(schema: RecordSchema, *bodies: bytes) -> tuple[list[object], list[str]]:
    decoded = Codec(schema).decode([frame(body, 1) for body in bodies], lambda _: schema)
    return [r["x"] for r in records_in(schema, decoded.batch)], [str(bad.error) for bad in decoded.bad]


@pytest.mark.parametrize("name", schemas.names())
def test_every_topic_has_a_columnar_codec_or_is_known_to_use_rows(name: str) -> None:
    if name in ROWS_ONLY:
        with pytest.raises(SchemaError, match=r"control\.markers\.v1\.input_topics"):
            Codec(schemas.load(name))
    else:
        Codec(schemas.load(name))


@pytest.mark.parametrize("item", ["string", "boolean", "bytes"])
def test_an_array_that_the_kernels_cannot_hold_is_refused_by_name(item: str) -> None:
    with pytest.raises(SchemaError, match=rf"generated\.v1\.x: .* arrays of {item}") as caught:
        Codec(_one({"type": "array", "items": item}))
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "x: the record ends inside the field"),
        (b"\x80", "x: the record ends inside the field"),
        (b"\x02\x02", "bytes are left over after the last field"),
        (b"\xff" * 10, "x: an integer has more than 64 bits"),
        (b"\xff" * 9 + b"\x02", "x: an integer has more than 64 bits"),
        (b"\x80\x80\x80\x80\x10", "x: an int does not fit in 32 bits"),
    ],
)
def test_a_bad_int_is_reported_with_its_field_and_reason(body: bytes, reason: str) -> None:
    values, errors = _decode(_one("int"), b"\x02", body, b"\x04")
    assert values == [1, 2]
    assert errors == [f"generated.v1: {reason} (schema id 1)"]


@pytest.mark.parametrize(
    ("declared", "body", "reason"),
    [
        (["null", "int"], b"\x04\x02", "the union's branch is neither 0 nor 1"),
        (["null", "int"], b"\x01\x02", "the union's branch is neither 0 nor 1"),
        (["null", "int"], b"\xfd" + b"\xff" * 8 + b"\x01\x02", "the union's branch is neither 0 nor 1"),
        (["null", "int"], b"\xff" * 9 + b"\x01", "the union's branch is neither 0 nor 1"),
        ("string", b"\x01", "the length is negative or goes beyond the data"),
        ("string", b"\x06ab", "the length is negative or goes beyond the data"),
        ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "the length is negative or goes beyond the data"),
        ("string", b"\x04\xc0\xaf", "the text is not UTF-8"),
        ("string", b"\x06\xed\xa0\x80", "the text is not UTF-8"),
        ("string", b"\x08\xf4\x90\x80\x80", "the text is not UTF-8"),
        ("string", b"\x14abcdefghi\xc3", "the text is not UTF-8"),
        ({"type": "enum", "name": "e", "symbols": ["A"]}, b"\x02", "the enum's symbol is unknown"),
        ({"type": "enum", "name": "e", "symbols": ["A"]}, b"\x01", "the enum's symbol is unknown"),
        ({"type": "array", "items": "int"}, b"\x06\x02\x00", "the array's item count goes beyond the data"),
        ({"type": "array", "items": "int"}, b"\x02\x02", "the record ends inside the field"),
        ({"type": "array", "items": "double"}, b"\x10" + bytes(9), "the array's item count goes beyond the data"),
        (
            {"type": "array", "items": "int"},
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
            "the array's item count goes beyond the data",
        ),
        ("double", bytes(7), "the record ends inside the field"),
        ("boolean", b"", "the record ends inside the field"),
    ],
)
def test_every_kind_of_damage_has_its_reason(declared: object, body: bytes, reason: str) -> None:
    values, errors = _decode(_one(declared), body)
    assert values == []
    assert errors == [f"generated.v1: x: {reason} (schema id 1)"]


def test_text_that_ends_inside_a_character_does_not_borrow_from_the_next_field() -> None:
    schema = schema_of([{"name": "x", "type": "string"}, {"name": "y", "type": "int"}])
    assert _decode(schema, b"\x02\xc3\x80\x01") == ([], ["generated.v1: x: the text is not UTF-8 (schema id 1)"])
    assert _decode(schema, b"\x04\xc3\x80\x02") == (["\u00c0"], [])


@pytest.mark.parametrize(
    ("declared", "body", "value"),
    [
        ("long", b"\x80\x00", 0),
        ("long", b"\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00", 1),
        ("long", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -(2**63)),
        (["null", "int"], b"\x82\x00\x04", 2),
        (["null", "int"], b"\x80\x80\x00", None),
        ("boolean", b"\x07", True),
        ({"type": "array", "items": "int"}, b"\x03\x04\x02\x04\x02\x06\x00", [1, 2, 3]),
        ({"type": "array", "items": "int"}, b"\x01\xc6\x01\x02\x00", [1]),
        ({"type": "array", "items": "double"}, b"\x01\x10" + struct.pack("<d", 2.5) + b"\x00", [2.5]),
        ({"type": "array", "items": "long"}, b"\x00", []),
    ],
)
def test_unusual_but_valid_bytes_read_as_fastavro_reads_them(declared: object, body: bytes, value: object) -> None:
    schema = _one(declared)
    assert fastavro_record(schema, body) == {"x": value}
    assert _decode(schema, body) == ([value], [])


@pytest.mark.parametrize("bits", [0x7FF0000000000001, 0xFFF8DEADBEEF0001, 0x8000000000000000, 0x0000000000000001])
def test_a_double_keeps_every_bit(bits: int) -> None:
    schema = _one("double")
    body = struct.pack("<Q", bits)
    batch = Codec(schema).decode([frame(body, 1)], lambda _: schema).batch
    assert batch["x"].view(np.uint64).tolist() == [bits]
    assert Codec(schema).encode(batch, 1).messages() == [frame(body, 1)]


@pytest.mark.parametrize("value", [None, b"", b"\0\0\0\0", b"\x01\0\0\0\x01\x02", b'{"json": 1}'])
def test_a_value_without_a_frame_is_a_bad_record(value: bytes | None) -> None:
    schema = _one("int")
    decoded = Codec(schema).decode([frame(b"\x02", 1), value, frame(b"\x04", 1)], lambda _: schema)
    assert decoded.index.tolist() == [0, 2]
    assert decoded.batch["x"].tolist() == [1, 2]
    assert [(bad.index, type(bad.error)) for bad in decoded.bad] == [(1, RecordError)]
    with pytest.raises(RecordError, match="not a framed record"):
        decode_row(schema, value, lambda _: schema)


def test_a_schema_id_with_the_high_bit_is_asked_for_as_it_stands() -> None:
    asked = []

    def writer(schema_id: int) -> RecordSchema:
        asked.append(schema_id)
        raise SchemaError("unknown")

    decoded = Codec(_one("int")).decode([b"\0\xff\xff\xff\xff\x02"], writer)
    assert asked == [0xFFFFFFFF]
    assert [str(bad.error) for bad in decoded.bad] == ["unknown"]


def test_an_id_without_schema_makes_its_records_bad_and_no_others() -> None:
    schema = _one("int")

    def writer(schema_id: int) -> RecordSchema:
        if schema_id == 2:
            raise SchemaError("no schema 2")
        return schema

    values = [frame(b"\x02", schema_id) for schema_id in (1, 2, 1, 2)]
    decoded = Codec(schema).decode(values, writer)
    assert decoded.index.tolist() == [0, 2]
    assert [(bad.index, str(bad.error)) for bad in decoded.bad] == [(1, "no schema 2"), (3, "no schema 2")]


def test_a_registry_that_does_not_answer_is_no_bad_record() -> None:
    def writer(_: int) -> RecordSchema:
        raise UnavailableError("down")

    with pytest.raises(UnavailableError, match="down"):
        Codec(_one("int")).decode([frame(b"\x02", 1)], writer)


@pytest.mark.parametrize(
    ("written", "read", "reason"),
    [
        ("string", "int", "generated.v1.x: string cannot be read as int"),
        ("double", "long", "generated.v1.x: double cannot be read as long"),
        (["null", "long"], ["null", "int"], "generated.v1.x: long cannot be read as int"),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, "an array of long cannot be read"),
    ],
)
def test_a_schema_that_cannot_be_resolved_makes_its_records_bad(written: object, read: object, reason: str) -> None:
    writer, reader = _one(written), _one(read)
    values = [frame(b"\x02", 1), frame(fastavro_bytes(reader, {"x": [] if "array" in str(read) else 5}), 2)]
    decoded = Codec(reader).decode(values, lambda schema_id: writer if schema_id == 1 else reader)
    assert decoded.index.tolist() == [1]
    assert isinstance(decoded.bad[0].error, SchemaError)
    assert reason in str(decoded.bad[0].error)


def test_a_missing_field_without_default_cannot_be_resolved() -> None:
    reader = schema_of([{"name": "x", "type": "int"}, {"name": "y", "type": "int"}])
    decoded = Codec(reader).decode([frame(b"\x02", 1)], lambda _: _one("int"))
    assert "generated.v1.y: the writer's schema lacks it" in str(decoded.bad[0].error)


def test_fields_added_later_take_their_defaults_beside_records_that_have_them() -> None:
    enum = {"type": "enum", "name": "e", "symbols": ["A", "B"]}
    added = [
        {"name": "n", "type": ["null", "string"], "default": None},
        {"name": "s", "type": "string", "default": "grün"},
        {"name": "e", "type": enum, "default": "B"},
        {"name": "a", "type": {"type": "array", "items": "int"}, "default": [7, -8]},
        {"name": "d", "type": "double", "default": 0.25},
    ]
    old, new = _one("int"), schema_of([*added[:3], {"name": "x", "type": "int"}, *added[3:]])
    later = {"n": "text", "s": "", "e": "A", "a": [], "d": -1.5, "x": 2}
    values = [frame(b"\x02", 1), frame(fastavro_bytes(new, later), 2), frame(b"\x06", 1)]
    decoded = Codec(new).decode(values, lambda schema_id: old if schema_id == 1 else new)
    defaults = {"n": None, "s": "grün", "e": "B", "a": [7, -8], "d": 0.25}
    assert decoded.bad == ()
    assert records_in(new, decoded.batch) == [{**defaults, "x": 1}, later, {**defaults, "x": 3}]


def test_another_registry_behind_the_same_id_is_noticed() -> None:
    reader = _one("long")
    codec = Codec(reader)
    assert codec.decode([frame(b"\x02", 1)], lambda _: _one("int")).batch["x"].tolist() == [1]
    decoded = codec.decode([frame(b"\x02a", 1)], lambda _: _one("string"))
    assert isinstance(decoded.bad[0].error, SchemaError)


def test_an_empty_batch_has_every_column_in_both_directions() -> None:
    schema = schemas.load("stocks.trades.v1")
    codec = Codec(schema)
    decoded = codec.decode([], lambda _: schema)
    assert decoded.batch.length == 0
    assert list(decoded.batch.columns) == [f.name for f in schema.fields]
    assert codec.encode(decoded.batch, 1).messages() == []


def test_a_null_leaves_zeros_and_empty_text_in_its_column() -> None:
    schema = schema_of([{"name": n, "type": ["null", t]} for n, t in (("i", "int"), ("d", "double"), ("s", "string"))])
    values = [frame(b"\x02\x12\x02" + struct.pack("<d", 7.0) + b"\x02\x04ab", 1), frame(b"\0\0\0", 1)]
    batch = Codec(schema).decode(values, lambda _: schema).batch
    assert batch["i"].tolist() == [9, 0]
    assert batch["d"].tolist() == [7.0, 0.0]
    assert batch.columns["s"].offsets is not None
    assert batch.columns["s"].offsets.tolist() == [0, 2, 2]


def test_a_buffer_of_records_decodes_in_place_and_with_no_byte_to_spare() -> None:
    schema = schemas.load("futures.trades.v1")
    codec = Codec(schema)
    record = {f.name: "t" if f.kind == "string" else 1 for f in schema.fields if f.kind not in ("enum", "boolean")}
    encoded = codec.encode(batch_of(schema, [{**record, "aggressor": "BUY", "is_late": True}] * 3), 1)
    roomy = np.concatenate([np.zeros(7, np.uint8), encoded.data, np.full(32, 0xFF, np.uint8)])
    for data, offsets in ((encoded.data, encoded.offsets), (roomy, encoded.offsets + 7)):
        decoded = codec.decode_buffer(data, offsets, lambda _: schema)
        assert codec.encode(decoded.batch, 1).messages() == encoded.messages()


@pytest.mark.parametrize("offsets", [[0, 9], [0, 4, 2], [-1, 3], []])
def test_offsets_that_leave_the_buffer_are_refused(offsets: list[int]) -> None:
    schema = _one("int")
    with pytest.raises(InvariantError, match="offsets"):
        Codec(schema).decode_buffer(np.zeros(8, np.uint8), np.array(offsets, np.int64), lambda _: schema)


TEXT = schema_of(
    [
        {"name": "t", "type": "string"},
        {"name": "e", "type": {"type": "enum", "name": "e", "symbols": ["A"]}},
        {"name": "i", "type": "int"},
    ]
)


def _text_batch(**changes: Column) -> Batch:
    columns = {"t": strings(["a", "b"]), "e": Column(np.zeros(2, np.int32)), "i": Column(np.zeros(2, np.int32))}
    return Batch(TEXT.name, 2, {**columns, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"e": Column(np.array([0, 1], np.int32))}, "record 1 cannot be encoded: e: the enum's symbol is unknown"),
        (
            {"t": Column(np.array([97, 0xFF], np.uint8), None, np.array([0, 1, 2]))},
            "record 1 cannot be encoded: t: the text is not UTF-8",
        ),
        (
            {"i": Column(np.zeros(2, np.int32), np.array([True, False]))},
            "record 1 cannot be encoded: i is null and not nullable",
        ),
    ],
)
def test_a_value_that_must_not_reach_the_log_is_refused(changes: dict[str, Column], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        Codec(TEXT).encode(_text_batch(**changes), 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"i": Column(np.zeros(2, np.int64))}, r"generated\.v1\.i: int64 values in a column of int32"),
        ({"i": Column(np.zeros(2))}, r"generated\.v1\.i: float64 values in a column of int32"),
        ({"i": strings(["a", "b"])}, r"generated\.v1\.i: a column of int must not have offsets"),
        ({"t": Column(np.zeros(2, np.uint8))}, r"generated\.v1\.t: a column of string must have offsets"),
        (
            {"t": Column(np.zeros(2, np.uint8), None, np.array([0, 2, 1]))},
            r"generated\.v1\.t: its offsets fall, or leave its 2 values",
        ),
        (
            {"t": Column(np.zeros(2, np.uint8), None, np.array([0, 2, 3]))},
            r"generated\.v1\.t: its offsets fall, or leave its 2 values",
        ),
    ],
)
def test_an_ill_formed_column_is_refused_before_a_byte_is_written(changes: dict[str, Column], reason: str) -> None:
    with pytest.raises(InvariantError, match=reason):
        Codec(TEXT).encode(_text_batch(**changes), 1)


def test_a_batch_without_one_of_the_columns_is_refused() -> None:
    batch = Batch(TEXT.name, 2, {"t": repeated_string("x", 2)})
    with pytest.raises(InvariantError, match="the batch has no column e"):
        Codec(TEXT).encode(batch, 1)


@pytest.mark.parametrize("schema_id", [-1, 2**31])
def test_a_number_that_is_no_schema_id_is_refused(schema_id: int) -> None:
    with pytest.raises(InvariantError, match="31-bit"):
        Codec(TEXT).encode(_text_batch(), schema_id)
    with pytest.raises(InvariantError, match="31-bit"):
        encode_row(TEXT, {"t": "", "e": "A", "i": 0}, schema_id)


def test_a_smaller_integer_type_is_widened() -> None:
    schema = _one("long")
    batch = Batch(schema.name, 2, {"x": Column(np.array([-3, 4], np.int16))})
    assert Codec(schema).encode(batch, 1).messages() == [frame(b"\x05", 1), frame(b"\x08", 1)]


def test_columns_that_are_strided_views_are_encoded_alike() -> None:
    schema = schema_of([{"name": "x", "type": "int"}, {"name": "y", "type": ["null", "int"]}])
    block = np.arange(20, dtype=np.int32).reshape(10, 2)
    valid = block % 3 == 0
    batch = Batch(schema.name, 10, {"x": Column(block[:, 0]), "y": Column(block[:, 1], valid[:, 1])})
    copied = Batch(schema.name, 10, {"x": Column(block[:, 0].copy()), "y": Column(block[:, 1].copy(), valid[:, 1])})
    assert Codec(schema).encode(batch, 1).messages() == Codec(schema).encode(copied, 1).messages()


def test_a_row_takes_the_defaults_of_absent_fields_and_refuses_what_does_not_fit() -> None:
    schema = schemas.load(topics.HEARTBEATS)
    beat = {
        "ts_event_ns": 1,
        "source": "sim",
        "topic": "t",
        "partition": 0,
        "next_offset": 5,
        "ts_watermark_ns": 2,
        "state": "ENDED",
    }
    read = decode_row(schema, encode_row(schema, beat, 3), lambda _: schema)
    assert read == {**beat, "gap_begin_ns": None, "gap_end_ns": None, "input_id": None, "input_records": None}
    for wrong in ({"state": "SLEEPING"}, {"source": 7}, {"partition": "x"}):
        with pytest.raises(RecordError, match=r"control\.heartbeats\.v1: the record cannot be encoded"):
            encode_row(schema, {**beat, **wrong}, 3)
    with pytest.raises(RecordError, match="cannot be encoded"):
        encode_row(schema, {"source": "sim"}, 3)


def test_a_row_of_a_schema_that_cannot_be_resolved_is_a_schema_error() -> None:
    with pytest.raises(SchemaError, match="schema id 1 cannot be read"):
        decode_row(_one("int"), frame(b"\x02a", 1), lambda _: _one("string"))


def test_a_row_with_bytes_left_over_is_refused() -> None:
    with pytest.raises(RecordError, match="1 bytes are left over"):
        decode_row(_one("int"), frame(b"\x02\x02", 1), lambda _: _one("int"))
