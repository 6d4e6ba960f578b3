"""Computed tables take up columns as the sink's do, refuse with the same words, and keep what may have landed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, IntegerType, LongType, NestedField, StringType, TimestamptzType

from common import iceberg
from common.errors import ConflictError, SchemaError
from lakehouse.silver.table import DerivedTable

NAME = "silver.made_up"
TIMES = (
    NestedField(1, "ts_event_ns", LongType(), required=True),
    NestedField(2, "ts_event", TimestamptzType(), required=True),
)
SIZE = NestedField(3, "size", IntegerType(), required=True, doc="Contracts.")


def table(catalog: Catalog, *fields: NestedField) -> DerivedTable:
    return DerivedTable(catalog, NAME, Schema(*TIMES, *fields), "Made up.")


def test_a_nullable_column_is_added_and_a_reworded_doc_reaches_it(catalog: Catalog) -> None:
    table(catalog, SIZE).load()
    reworded = SIZE.model_copy(update={"doc": "Contracts traded."})
    table(catalog, reworded, NestedField(4, "venue", StringType(), required=False, doc="Where.")).load()
    schema = catalog.load_table(NAME).schema()
    assert schema.find_field("size").doc == "Contracts traded."
    assert (schema.find_field("venue").doc, schema.find_field("venue").required) == ("Where.", False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((NestedField(3, "size", DoubleType(), required=True),), "has size as int, the schema now says double"),
        (
            (NestedField(3, "size", IntegerType(), required=False),),
            "has size as required, the schema now says nullable",
        ),
        (
            (SIZE, NestedField(4, "fee", DoubleType(), required=True)),
            "cannot get the required column fee",
        ),
        ((), "needs size, which the schema no longer has"),
    ],
)
def test_another_change_is_refused_with_what_to_do_and_writes_nothing(
    catalog: Catalog, fields: tuple[NestedField, ...], message: str
) -> None:
    before = table(catalog, SIZE).load().table.metadata_location
    with pytest.raises(SchemaError, match=message) as caught:
        table(catalog, *fields).load()
    assert caught.value.hint is not None and "computed anew" in caught.value.hint
    assert catalog.load_table(NAME).metadata_location == before


def test_a_replacement_that_landed_and_was_refused_the_second_time_is_whole(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a proxy that sends a request again when its answer is lost."""
    made = table(catalog, SIZE)
    state, original = made.load(), catalog.commit_table

    def sent_twice(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        raise CommitFailedException("branch main has changed")

    monkeypatch.setattr(catalog, "commit_table", sent_twice)
    one = pa.table(
        {"ts_event_ns": [7], "ts_event": [datetime.fromtimestamp(0, UTC)], "size": pa.array([5], pa.int32())}
    )
    with pytest.raises(ConflictError):
        made.replace(state, [(0, iter([one]))], {"source": "1"}, ())
    assert iceberg.scan(NAME, columns=["size"])["size"].to_pylist() == [5]
    assert made.load().cursors == {"source": "1"}
