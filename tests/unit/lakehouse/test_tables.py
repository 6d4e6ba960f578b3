from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from pyiceberg.catalog import Catalog

from common import iceberg, schemas, topics
from common.errors import InvariantError, SchemaError
from common.schemas import RecordSchema
from lakehouse.commits import claim, commit_batch
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table, ensure_tables
from tests.support.lake import PATIENCE, SOURCE, TABLE, TOPIC, batch


def changed(change: Callable[[list[dict[str, Any]]], None]) -> RecordSchema:
    avro = copy.deepcopy(schemas.load(TOPIC).avro)
    change(avro["fields"])
    return schemas.parse(TOPIC, avro)


@pytest.mark.parametrize("topic", iceberg.TABLES)
def test_every_table_is_made_from_its_avsc_with_docs_units_partitions_and_order(catalog: Catalog, topic: str) -> None:
    record = schemas.load(topic)
    table = ensure_table(catalog, iceberg.TABLES[topic], topic, record)
    columns = {field.name: field for field in table.schema().fields}
    for field in record.fields:
        column = columns[field.name]
        assert column.doc == f"{field.doc} Unit: {field.unit}."
        assert column.required != field.nullable
    assert str(columns["ts_event"].field_type) == "timestamptz"
    assert [str(columns[name].field_type) for name in ("_partition", "_offset", "_schema_id", "_ingested_at")] == [
        "int",
        "long",
        "int",
        "timestamptz",
    ]
    (part,) = table.spec().fields
    assert (part.source_id, str(part.transform)) == (columns["ts_event"].field_id, "hour")
    assert [key.source_id for key in table.sort_order().fields] == [columns["ts_event_ns"].field_id]


def test_an_added_nullable_field_becomes_a_column_and_old_rows_lack_it(catalog: Catalog) -> None:
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    store = IcebergStore(catalog, TABLE, TOPIC)
    claim(store, "me", SOURCE, [0], PATIENCE)
    commit_batch(store, batch(None, 2), PATIENCE)
    new = {"name": "venue_fee", "type": ["null", "double"], "doc": "Fee.", "unit": "USD", "default": None}
    wider = changed(lambda fields: fields.append(new))
    ensure_table(catalog, TABLE, TOPIC, wider)
    ensure_table(catalog, TABLE, TOPIC, wider)
    later = batch(2, 4)
    commit_batch(store, later, PATIENCE)
    assert iceberg.scan(TABLE)["venue_fee"].to_pylist() == [None] * 4
    assert iceberg.scan(TABLE).num_rows == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields[9].update(type="long"), "has price as double, the schema now says long"),
        (
            lambda fields: fields[9].update(type=["null", "double"]),
            "has price as required, the schema now says nullable",
        ),
        (lambda fields: fields[6].update(type="long"), "has instrument_id as nullable, the schema now says required"),
        (lambda fields: fields.append({"name": "fee", "type": "double"}), "cannot get the required column fee"),
        (lambda fields: fields.pop(9), "needs price, which the schema no longer has"),
    ],
)
def test_an_incompatible_change_is_refused_before_anything_is_written(
    catalog: Catalog, change: Callable[[list[dict[str, Any]]], None], message: str
) -> None:
    before = ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    with pytest.raises(SchemaError, match=message) as caught:
        ensure_table(catalog, TABLE, TOPIC, changed(change))
    assert caught.value.hint
    assert catalog.load_table(TABLE).metadata_location == before.metadata_location


def test_a_field_that_was_nullable_may_go_and_its_column_stays(catalog: Catalog) -> None:
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    table = ensure_table(catalog, TABLE, TOPIC, changed(lambda fields: fields.pop(13)))
    assert "venue" in table.schema().column_names


def test_a_table_of_another_namespace_is_refused(catalog: Catalog) -> None:
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    with pytest.raises(InvariantError, match=rf"holds the topic {TOPIC}, not replay.r1.{TOPIC}"):
        ensure_table(catalog, TABLE, f"replay.r1.{TOPIC}", schemas.load(TOPIC))


def test_an_incompatible_table_among_many_is_refused_before_any_is_made_or_changed(catalog: Catalog) -> None:
    before = ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    new = {"name": "venue_fee", "type": ["null", "double"], "doc": "Fee.", "unit": "USD", "default": None}
    signals = topics.SIGNALS
    ensure_table(catalog, "gold.levels_signals", "replay.r1." + signals, schemas.load(signals))
    wanted = {
        "bronze.new": (topics.MARKERS, schemas.load(topics.MARKERS)),
        TABLE: (TOPIC, changed(lambda fields: fields.append(new))),
        "gold.levels_signals": (signals, schemas.load(signals)),
    }
    with pytest.raises(InvariantError, match=r"gold\.levels_signals holds the topic"):
        ensure_tables(catalog, wanted)
    assert not catalog.table_exists("bronze.new")
    assert catalog.load_table(TABLE).metadata_location == before.metadata_location


def test_a_reworded_doc_reaches_the_column(catalog: Catalog) -> None:
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    table = ensure_table(catalog, TABLE, TOPIC, changed(lambda fields: fields[9].update(doc="What was paid.")))
    assert table.schema().find_field("price").doc == "What was paid. Unit: USD per index point."
    assert catalog.load_table(TABLE).schema().find_field("price").doc == "What was paid. Unit: USD per index point."


def test_a_reader_goes_on_while_the_table_gets_a_column(catalog: Catalog) -> None:
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    store = IcebergStore(catalog, TABLE, TOPIC)
    claim(store, "me", SOURCE, [0], PATIENCE)
    commit_batch(store, batch(None, 2), PATIENCE)
    reader = catalog.load_table(TABLE)
    scan = reader.scan()
    new = {"name": "venue_fee", "type": ["null", "double"], "doc": "Fee.", "unit": "USD", "default": None}
    ensure_table(catalog, TABLE, TOPIC, changed(lambda fields: fields.append(new)))
    commit_batch(store, batch(2, 4), PATIENCE)
    assert scan.to_arrow().num_rows == 2 and "venue_fee" not in scan.to_arrow().column_names
    assert reader.refresh().scan().to_arrow().num_rows == 4


def test_two_sinks_that_evolve_a_table_at_once_both_succeed(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    new = {"name": "venue_fee", "type": ["null", "double"], "doc": "Fee.", "unit": "USD", "default": None}
    wider = changed(lambda fields: fields.append(new))
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    original = catalog.commit_table

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(catalog, "commit_table", original)
        ensure_table(catalog, TABLE, TOPIC, wider)
        return original(*args, **kwargs)

    monkeypatch.setattr(catalog, "commit_table", late)
    assert "venue_fee" in ensure_table(catalog, TABLE, TOPIC, wider).schema().column_names
