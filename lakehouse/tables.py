"""The tables: made from the ``.avsc`` of their topic, and evolved by adding nullable columns only.

A table has the record's fields with their docs and units, ``ts_event`` (a timestamp beside ``ts_event_ns``, by whose
hour it is partitioned), and where each row came from: ``_partition``, ``_offset``, ``_schema_id``, ``_ingested_at``.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import HourTransform, IdentityTransform
from pyiceberg.types import IntegerType, ListType, LongType, NestedField, TimestamptzType

from common.errors import InvariantError, SchemaError
from common.schemas import RecordSchema

HOUR_NS = 3_600_000_000_000
TOPIC_PROPERTY = "breakwater.topic"

_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    # Every commit writes a new metadata file: without this they pile up by the second.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
    "commit.manifest-merge.enabled": "true",
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


def ensure_table(catalog: Catalog, name: str, topic: str, record: RecordSchema) -> Table:
    """The table ``name`` for the records of ``topic``, made or evolved to fit ``record``.

    Raises SchemaError before anything is written when a column would have to change incompatibly, InvariantError when
    the table is another topic's.
    """
    try:
        table = catalog.load_table(name)
    except NoSuchTableError:
        return _create(catalog, name, topic, record)
    owner = table.properties.get(TOPIC_PROPERTY)
    if owner != topic:
        raise InvariantError(
            f"table {name} holds the topic {owner}, not {topic}",
            hint="Each namespace has tables of its own: use another BREAKWATER_HOME (or catalog) for it.",
        )
    return _evolve(table, name, table_schema(record))


def _create(catalog: Catalog, name: str, topic: str, record: RecordSchema) -> Table:
    schema = table_schema(record)
    spec = PartitionSpec(
        PartitionField(
            source_id=schema.find_field("ts_event").field_id,
            field_id=1000,
            transform=HourTransform(),
            name="ts_event_hour",
        )
    )
    order = SortOrder(SortField(source_id=schema.find_field("ts_event_ns").field_id, transform=IdentityTransform()))
    with suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace(name.rpartition(".")[0])
    try:
        return catalog.create_table(
            name,
            schema,
            partition_spec=spec,
            sort_order=order,
            properties={**_PROPERTIES, TOPIC_PROPERTY: topic, "comment": record.doc},
        )
    except TableAlreadyExistsError:
        # Another sink was faster.
        return catalog.load_table(name)


def _evolve(table: Table, name: str, wanted: Schema) -> Table:
    present = {field.name: field for field in table.schema().fields}
    missing = []
    for field in wanted.fields:
        found = present.pop(field.name, None)
        if found is None:
            if field.required:
                raise SchemaError(
                    f"table {name} cannot get the required column {field.name}: the rows it has would lack it",
                    hint="Make the field nullable in the .avsc; additions are nullable.",
                )
            missing.append(field)
        elif str(found.field_type) != str(field.field_type) and not _same_list(found, field):
            raise SchemaError(
                f"table {name} has {field.name} as {found.field_type}, the schema now says {field.field_type}",
                hint="Types never change in place: add a field of another name.",
            )
        elif found.required != field.required:
            raise SchemaError(
                f"table {name} has {field.name} as {'required' if found.required else 'nullable'}, the schema now says"
                f" {'required' if field.required else 'nullable'}",
                hint="Nullability never changes in place: add a field of another name.",
            )
    for field in present.values():
        if field.required:
            raise SchemaError(
                f"table {name} needs {field.name}, which the schema no longer has",
                hint="A field that every row has cannot be taken away; keep it in the .avsc.",
            )
    if missing:
        with table.update_schema() as update:
            for field in missing:
                update.add_column(field.name, field.field_type, doc=field.doc)
    return table


def _same_list(found: NestedField, wanted: NestedField) -> bool:
    """True for lists of the same items: their ids differ, since the catalog numbers them itself."""
    a, b = found.field_type, wanted.field_type
    return isinstance(a, ListType) and isinstance(b, ListType) and a.element_type == b.element_type
