"""The tables: made from the ``.avsc`` of their topic, and evolved by adding nullable columns and rewording docs only.

A table has the record's fields with their docs and units, ``ts_event`` (a timestamp beside ``ts_event_ns``, by whose
hour it is partitioned), and where each row came from: ``_partition``, ``_offset``, ``_schema_id``, ``_ingested_at``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import HourTransform, IdentityTransform
from pyiceberg.types import IntegerType, ListType, LongType, NestedField, TimestamptzType

from common import iceberg
from common.errors import InvariantError, SchemaError, UnavailableError
from common.schemas import RecordSchema

HOUR_NS = 3_600_000_000_000
TOPIC_PROPERTY = "breakwater.topic"
EVOLVE_ATTEMPTS = 20

_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    # Every commit writes a new metadata file: without this they pile up by the second.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}


def table_schema(record: RecordSchema) -> Schema:
    """The table's schema: the record's fields in order, then ``ts_event`` and the metadata columns."""
    fields = list(record.iceberg().fields)
    number = max(_ids(fields))
    added = (
        ("ts_event", TimestamptzType(), True, "ts_event_ns cut to microseconds; the table is partitioned by its hour."),
        ("_partition", IntegerType(), True, "Partition of the topic the row came from. Unit: index."),
        ("_offset", LongType(), True, "Offset in that partition; unique together with it. Unit: offset."),
        ("_schema_id", IntegerType(), True, "Registry id of the schema the record was written with. Unit: id."),
        ("_ingested_at", TimestamptzType(), True, "When the sink read the record."),
    )
    for name, kind, required, doc in added:
        number += 1
        fields.append(NestedField(number, name, kind, required=required, doc=doc))
    return Schema(*fields)


def _ids(fields: Iterable[NestedField]) -> Iterable[int]:
    for field in fields:
        yield field.field_id
        if isinstance(field.field_type, ListType):
            yield field.field_type.element_id


def ensure_tables(catalog: Catalog, wanted: Mapping[str, tuple[str, RecordSchema]]) -> dict[str, Table]:
    """The tables by name, each for a topic (its full name) and its record, made or evolved to fit.

    All are checked before the first is touched: raises SchemaError when a column would have to change incompatibly,
    InvariantError when a table is another topic's, and then nothing has been written.
    """
    present = set()
    for name, (topic, record) in wanted.items():
        try:
            table = catalog.load_table(name)
        except (NoSuchTableError, NoSuchNamespaceError):
            continue
        _check_topic(table, name, topic)
        _check_columns(table, name, table_schema(record))
        present.add(name)
    return {
        name: (_evolve if name in present else _create)(catalog, name, topic, record)
        for name, (topic, record) in wanted.items()
    }


def ensure_table(catalog: Catalog, name: str, topic: str, record: RecordSchema) -> Table:
    """One table, as `ensure_tables` has it."""
    return ensure_tables(catalog, {name: (topic, record)})[name]


def create_hourly(catalog: Catalog, name: str, schema: Schema, properties: Mapping[str, str]) -> Table:
    """A new table partitioned by the hour of ``ts_event``, its order ``ts_event_ns``; its namespace is made if need be.

    Raises TableAlreadyExistsError when another writer was faster.
    """
    spec = PartitionSpec(
        PartitionField(
            source_id=schema.find_field("ts_event").field_id,
            field_id=1000,
            transform=HourTransform(),
            name="ts_event_hour",
        )
    )
    order = SortOrder(SortField(source_id=schema.find_field("ts_event_ns").field_id, transform=IdentityTransform()))
    iceberg.ensure_namespace(catalog, name.rpartition(".")[0])
    return catalog.create_table(
        name, schema, partition_spec=spec, sort_order=order, properties={**_PROPERTIES, **properties}
    )


def _create(catalog: Catalog, name: str, topic: str, record: RecordSchema) -> Table:
    properties = {"commit.manifest-merge.enabled": "true", TOPIC_PROPERTY: topic, "comment": record.doc}
    try:
        return create_hourly(catalog, name, table_schema(record), properties)
    except TableAlreadyExistsError:
        # Another sink was faster; it may be of another version.
        return _evolve(catalog, name, topic, record)


def _evolve(catalog: Catalog, name: str, topic: str, record: RecordSchema) -> Table:
    _check_topic(catalog.load_table(name), name, topic)
    return fit_columns(catalog, name, table_schema(record))


def fit_columns(catalog: Catalog, name: str, wanted: Schema, hint: str | None = None) -> Table:
    """The table with the columns that it lacked and docs up to date. Another writer may do the same at the same time.

    Raises SchemaError when a column would have to change otherwise, with ``hint`` where given; nothing is written then.
    NoSuchTableError of the catalog passes through.
    """
    for _ in range(EVOLVE_ATTEMPTS):
        table = catalog.load_table(name)
        _check_columns(table, name, wanted, hint)
        docs = {field.name: field.doc for field in table.schema().fields}
        missing = [field for field in wanted.fields if field.name not in docs]
        reworded = [field for field in wanted.fields if docs.get(field.name, field.doc) != field.doc]
        if not missing and not reworded:
            return table
        try:
            with table.update_schema() as update:
                for field in missing:
                    update.add_column(field.name, field.field_type, doc=field.doc)
                for field in reworded:
                    update.update_column(field.name, doc=field.doc)
        except CommitFailedException:
            continue
        return table
    raise UnavailableError(
        f"the columns of {name} could not be brought up to date: the table keeps changing",
        hint="Do writers of two versions run? End the older ones.",
    )


def _check_topic(table: Table, name: str, topic: str) -> None:
    """Raises InvariantError unless the table is the topic's."""
    owner = table.properties.get(TOPIC_PROPERTY)
    if owner != topic:
        raise InvariantError(
            f"table {name} holds the topic {owner}, not {topic}",
            hint="Each namespace has tables of its own: use another BREAKWATER_HOME (or catalog) for it.",
        )


def _check_columns(table: Table, name: str, wanted: Schema, hint: str | None = None) -> None:
    """Raises SchemaError unless the table can hold the wanted columns."""
    present = {field.name: field for field in table.schema().fields}
    for field in wanted.fields:
        found = present.pop(field.name, None)
        if found is None:
            if field.required:
                raise SchemaError(
                    f"table {name} cannot get the required column {field.name}: the rows it has would lack it",
                    hint=hint or "Make the field nullable in the .avsc; additions are nullable.",
                )
        elif str(found.field_type) != str(field.field_type) and not _same_list(found, field):
            raise SchemaError(
                f"table {name} has {field.name} as {found.field_type}, the schema now says {field.field_type}",
                hint=hint or "Types never change in place: add a field of another name.",
            )
        elif found.required != field.required:
            raise SchemaError(
                f"table {name} has {field.name} as {'required' if found.required else 'nullable'}, the schema now says"
                f" {'required' if field.required else 'nullable'}",
                hint=hint or "Nullability never changes in place: add a field of another name.",
            )
    for field in present.values():
        if field.required:
            raise SchemaError(
                f"table {name} needs {field.name}, which the schema no longer has",
                hint=hint or "A field that every row has cannot be taken away; keep it in the .avsc.",
            )


def _same_list(found: NestedField, wanted: NestedField) -> bool:
    """True for lists of the same items: their ids differ, since the catalog numbers them itself."""
    a, b = found.field_type, wanted.field_type
    return isinstance(a, ListType) and isinstance(b, ListType) and a.element_type == b.element_type
