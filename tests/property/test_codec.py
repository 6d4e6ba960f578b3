"""The columnar codec against fastavro, over generated schemas and records."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.avro import Codec, decode_row, encode_row
from common.columns import concat
from common.errors import BreakwaterError, RecordError, SchemaError
from common.schemas import RecordSchema
from tests.support import avro_records as avro

ID = 0x01020304


def _messages(schema: RecordSchema, records: list[avro.Record], schema_id: int = ID) -> list[bytes]:
    return [avro.frame(avro.fastavro_bytes(schema, record), schema_id) for record in records]


@given(avro.samples())
def test_encoding_gives_the_bytes_that_fastavro_writes(sample: avro.Sample) -> None:
    encoded = Codec(sample.schema).encode(avro.batch_of(sample.schema, sample.records), ID)
    assert encoded.messages() == _messages(sample.schema, sample.records)
    assert encoded.offsets[0] == 0
    assert encoded.offsets[-1] == len(encoded.data)


@given(avro.samples())
def test_decoding_what_was_encoded_gives_the_same_records(sample: avro.Sample) -> None:
    codec = Codec(sample.schema)
    messages = codec.encode(avro.batch_of(sample.schema, sample.records), ID).messages()
    decoded = codec.decode(messages, lambda _: sample.schema)
    assert decoded.bad == ()
    assert decoded.index.tolist() == list(range(len(sample.records)))
    assert avro.bits(avro.records_in(sample.schema, decoded.batch)) == avro.bits(sample.records)


@given(avro.samples())
def test_decoding_gives_the_records_that_fastavro_reads(sample: avro.Sample) -> None:
    messages = _messages(sample.schema, sample.records)
    decoded = Codec(sample.schema).decode(messages, lambda _: sample.schema)
    expected = [avro.fastavro_record(sample.schema, message[5:]) for message in messages]
    assert avro.bits(avro.records_in(sample.schema, decoded.batch)) == avro.bits(expected)


@given(avro.samples(), st.data())
def test_a_decoded_batch_can_be_encoded_again_in_any_part(sample: avro.Sample, data: st.DataObject) -> None:
    codec = Codec(sample.schema)
    messages = _messages(sample.schema, sample.records)
    batch = codec.decode(messages, lambda _: sample.schema).batch
    start = data.draw(st.integers(0, len(messages)))
    stop = data.draw(st.integers(start, len(messages)))
    assert codec.encode(batch.slice(start, stop), ID).messages() == messages[start:stop]


@given(avro.samples(), st.data())
def test_any_cut_of_a_batch_gives_the_same_columns(sample: avro.Sample, data: st.DataObject) -> None:
    codec = Codec(sample.schema)
    messages = _messages(sample.schema, sample.records)
    whole = codec.decode(messages, lambda _: sample.schema).batch
    at = data.draw(st.integers(0, len(messages)))
    halves = [codec.decode(part, lambda _: sample.schema).batch for part in (messages[:at], messages[at:])]
    joined = concat(halves)
    for name, column in whole.columns.items():
        other = joined.columns[name]
        assert column.values.tobytes() == other.values.tobytes()
        assert (column.valid is None) == (other.valid is None)
        assert column.valid is None or np.array_equal(column.valid, other.valid)
        assert column.offsets is None or np.array_equal(column.offsets, other.offsets)


@given(avro.samples(min_records=1), st.data())
def test_resolution_of_an_older_schema_equals_fastavros(sample: avro.Sample, data: st.DataObject) -> None:
    reader = data.draw(avro.readers_of(sample.schema))
    messages = _messages(sample.schema, sample.records)
    decoded = Codec(reader).decode(messages, lambda _: sample.schema)
    records = iter(avro.records_in(reader, decoded.batch))
    good = set(decoded.index.tolist())
    assert good.isdisjoint(bad.index for bad in decoded.bad)
    assert len(good) + len(decoded.bad) == len(messages)
    for position, message in enumerate(messages):
        try:
            expected = avro.fastavro_record(sample.schema, message[5:], reader)
        except Exception:
            assert position not in good
            continue
        for f in reader.fields:  # fastavro hands out a bytes default as the text that stands in the schema
            if f.kind == "bytes" and isinstance(expected[f.name], str):
                expected[f.name] = expected[f.name].encode("latin-1")
            if f.kind == "double" and isinstance(expected[f.name], int):
                expected[f.name] = float(expected[f.name])
        assert position in good
        assert avro.bits(next(records)) == avro.bits(expected)


@given(st.data())
def test_a_batch_of_several_writer_schemas_decodes_like_its_parts(data: st.DataObject) -> None:
    writers = [data.draw(avro.record_schemas())]
    reader = data.draw(avro.readers_of(writers[0]))
    writers.append(reader)
    messages: list[bytes] = []
    for _ in range(data.draw(st.integers(0, 6))):
        number = data.draw(st.integers(0, 1))
        record = data.draw(avro.records_of(writers[number]))
        messages += _messages(writers[number], [record], number + 1)
    codec = Codec(reader)
    together = codec.decode(messages, lambda schema_id: writers[schema_id - 1])
    alone = [codec.decode([message], lambda schema_id: writers[schema_id - 1]) for message in messages]
    expected = [record for part in alone for record in avro.records_in(reader, part.batch)]
    assert avro.bits(avro.records_in(reader, together.batch)) == avro.bits(expected)
    assert [bad.index for bad in together.bad] == [position for position, part in enumerate(alone) if part.bad]


@st.composite
def _hostile(draw: st.DrawFn, message: bytes) -> bytes:
    way = draw(st.sampled_from(["cut", "change", "insert", "lengthen", "replace"]))
    at = draw(st.integers(5, len(message)))
    noise = draw(st.binary(min_size=1, max_size=12) | st.sampled_from([b"\xff" * 10, b"\x80" * 9 + b"\x01", b"\x01"]))
    return {
        "cut": message[:at],
        "change": message[:at] + noise + message[at + len(noise) :],
        "insert": message[:at] + noise + message[at:],
        "lengthen": message + noise,
        "replace": message[:5] + noise,
    }[way]


@settings(max_examples=400)
@given(avro.samples(min_records=1), st.data())
def test_hostile_bytes_are_judged_as_the_specification_does_and_harm_no_neighbour(
    sample: avro.Sample, data: st.DataObject
) -> None:
    messages = _messages(sample.schema, sample.records)
    for position in range(len(messages)):
        if data.draw(st.booleans()):
            messages[position] = data.draw(_hostile(messages[position]))
    expected = {}
    for position, message in enumerate(messages):
        try:
            expected[position] = avro.StrictReader(message[5:]).record(sample.schema)
        except avro.NotAvroError:
            continue
        assert avro.bits(avro.fastavro_record(sample.schema, message[5:])) == avro.bits(expected[position])
    decoded = Codec(sample.schema).decode(messages, lambda _: sample.schema)
    assert decoded.index.tolist() == list(expected)
    assert avro.bits(avro.records_in(sample.schema, decoded.batch)) == avro.bits(list(expected.values()))
    assert [bad.index for bad in decoded.bad] == [p for p in range(len(messages)) if p not in expected]
    assert all(isinstance(bad.error, RecordError) for bad in decoded.bad)


@given(st.lists(st.binary(max_size=40) | st.none(), max_size=8), st.data())
def test_arbitrary_bytes_never_raise(values: list[bytes | None], data: st.DataObject) -> None:
    schema = data.draw(avro.record_schemas())

    def writer(schema_id: int) -> RecordSchema:
        if schema_id % 2:
            raise SchemaError(f"no schema {schema_id}")
        return schema

    decoded = Codec(schema).decode(values, writer)
    assert sorted([*decoded.index.tolist(), *(bad.index for bad in decoded.bad)]) == list(range(len(values)))


@given(avro.samples(min_records=1))
def test_a_row_is_the_record_that_the_columns_hold(sample: avro.Sample) -> None:
    messages = Codec(sample.schema).encode(avro.batch_of(sample.schema, sample.records), ID).messages()
    for message, record in zip(messages, sample.records, strict=True):
        assert encode_row(sample.schema, record, ID) == message
        assert avro.bits(decode_row(sample.schema, message, lambda _: sample.schema)) == avro.bits(record)


@given(avro.samples(min_records=1), st.data())
def test_a_hostile_row_raises_only_our_errors(sample: avro.Sample, data: st.DataObject) -> None:
    message = data.draw(_hostile(_messages(sample.schema, sample.records[:1])[0]) | st.binary(max_size=20))
    try:
        decode_row(sample.schema, message, lambda _: sample.schema)
    except BreakwaterError as error:
        assert sample.schema.name in str(error)


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 8200])
def test_batches_longer_than_the_encoders_tile_are_seamless(count: int) -> None:
    schema = avro.schema_of(
        [
            {"name": "a", "type": "long"},
            {"name": "b", "type": ["null", "string"]},
            {"name": "c", "type": {"type": "array", "items": "int"}},
        ]
    )
    records = [
        {"a": n * 977, "b": None if n % 3 == 0 else "x" * (n % 11), "c": list(range(n % 5))} for n in range(count)
    ]
    codec = Codec(schema)
    messages = codec.encode(avro.batch_of(schema, records), ID).messages()
    assert messages == _messages(schema, records)
    assert avro.records_in(schema, codec.decode(messages, lambda _: schema).batch) == records
