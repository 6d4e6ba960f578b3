"""Columns to Arrow and back, cut, joined and picked."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.columns import Batch, Column, concat, from_arrow, repeated_string, string_list, strings, to_arrow
from common.errors import InvariantError, RecordError, SchemaError
from tests.support.avro_records import Sample, batch_of, bits, records_in, samples, schema_of

ENUM = {"type": "enum", "name": "e", "symbols": ["A", "B"]}


@given(samples())
def test_arrow_holds_the_same_records_and_gives_them_back(sample: Sample) -> None:
    schema = sample.schema
    batch = batch_of(schema, sample.records)
    arrow = to_arrow(batch, schema.arrow, schema.symbols)
    arrow.validate(full=True)
    assert arrow.schema.equals(schema.arrow, check_metadata=True)
    assert bits(arrow.to_pylist()) == bits(sample.records)
    assert bits(records_in(schema, from_arrow(arrow, schema))) == bits(sample.records)


@given(samples(), st.data())
def test_part_of_a_batch_is_the_same_part_of_its_arrow(sample: Sample, data: st.DataObject) -> None:
    schema = sample.schema
    start = data.draw(st.integers(0, len(sample.records)))
    stop = data.draw(st.integers(start, len(sample.records)))
    batch = batch_of(schema, sample.records)
    part = to_arrow(batch.slice(start, stop), schema.arrow, schema.symbols)
    assert bits(part.to_pylist()) == bits(sample.records[start:stop])
    whole = to_arrow(batch, schema.arrow, schema.symbols)
    assert bits(records_in(schema, from_arrow(whole.slice(start, stop - start), schema))) == bits(
        sample.records[start:stop]
    )


@given(samples(min_records=1), st.data())
def test_records_are_picked_in_the_order_asked_for(sample: Sample, data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, len(sample.records) - 1), max_size=8))
    picked = batch_of(sample.schema, sample.records).take(np.array(index, np.int64))
    assert bits(records_in(sample.schema, picked)) == bits([sample.records[at] for at in index])


@given(samples(), st.data())
def test_parts_put_together_are_the_whole(sample: Sample, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(sample.records)))
    batch = batch_of(sample.schema, sample.records)
    joined = concat([batch.slice(0, at), batch.slice(at, batch.length)])
    assert bits(records_in(sample.schema, joined)) == bits(sample.records)


def test_a_part_beyond_the_end_is_empty() -> None:
    batch = Batch("t", 2, {"x": strings(["a", "b"])})
    assert batch.slice(5, 9).length == 0
    assert batch.slice(1, 9).length == 1


def test_text_under_a_null_is_not_looked_at() -> None:
    column = Column(np.array([0xFF, 97], np.uint8), np.array([False, True]), np.array([0, 1, 2]))
    assert string_list(column) == [None, "a"]
    assert string_list(strings(["x", None, "ü"])) == ["x", None, "ü"]
    assert string_list(repeated_string("ES", 2)) == ["ES", "ES"]
    with pytest.raises(InvariantError, match="no offsets"):
        string_list(Column(np.zeros(1, np.int64)))


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(InvariantError, match="column x has 1 records, the batch 2"):
        Batch("t", 2, {"x": Column(np.zeros(1))})
    with pytest.raises(InvariantError, match="at least one"):
        concat([])


def test_arrow_of_a_table_reads_with_columns_to_spare_other_widths_and_nulls_for_new_fields() -> None:
    schema = schema_of(
        [
            {"name": "n", "type": "long"},
            {"name": "t", "type": "string"},
            {"name": "e", "type": ["null", ENUM], "default": None},
            {"name": "new", "type": ["null", "double"], "default": None},
        ]
    )
    arrow = pa.RecordBatch.from_pydict(
        {
            "_offset": pa.array([1, 2], pa.int64()),
            "e": pa.array(["B", None]).dictionary_encode(),
            "t": pa.array(["x", "yz"], pa.large_string()),
            "n": pa.array([3, 4], pa.int32()),
        }
    )
    assert records_in(schema, from_arrow(arrow, schema)) == [
        {"n": 3, "t": "x", "e": "B", "new": None},
        {"n": 4, "t": "yz", "e": None, "new": None},
    ]


@pytest.mark.parametrize(
    ("declared", "values", "error", "reason"),
    [
        ("long", pa.array([1, None]), RecordError, "x: 1 values are null"),
        ("int", pa.array([1, 2**40]), SchemaError, "x: Arrow int64 cannot become int32"),
        ("long", pa.array(["a", "b"]), SchemaError, "x: Arrow string cannot become int64"),
        (ENUM, pa.array(["A", "Z"]), RecordError, "x: 'Z' is none of its symbols: A, B"),
        ("long", None, SchemaError, "x: the Arrow batch has no such column"),
    ],
)
def test_arrow_that_does_not_fit_is_refused_by_field(
    declared: object, values: pa.Array | None, error: type[Exception], reason: str
) -> None:
    schema = schema_of([{"name": "x", "type": declared}])
    arrow = pa.RecordBatch.from_pydict({"y": pa.array([0, 0])} if values is None else {"x": values})
    with pytest.raises(error, match=rf"generated\.v1\.{reason}"):
        from_arrow(arrow, schema)
