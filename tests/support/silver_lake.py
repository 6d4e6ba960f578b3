"""Tables of the sink filled by hand, the computed tables over them, and a catalog that fails on purpose."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog

from common import iceberg, schemas, topics
from common.config import load_config
from lakehouse.commits import claim, commit_batch
from lakehouse.files import write_hour
from lakehouse.silver.hours import files_by_hour, pieces_of_hour
from lakehouse.silver.pipeline import Closures, Derivation, derivations
from lakehouse.store import IcebergStore
from lakehouse.tables import HOUR_NS, ensure_table
from tests.support.lake import PATIENCE, SOURCE, batch
from tests.support.memory_log import Crash

BEGIN_HOUR = 473_000
"""An hour in December 2023."""

BEGIN_NS = BEGIN_HOUR * HOUR_NS

_ZERO: dict[str, Any] = {
    "long": 0,
    "int": 0,
    "double": 0.0,
    "boolean": False,
    "string": "",
    "bytes": b"",
}


def record(topic: str, /, **values: Any) -> dict[str, Any]:
    """A record of the topic: what is not given is null, zero or the first symbol."""
    out: dict[str, Any] = {}
    for field in schemas.load(topic).fields:
        zero = [] if field.kind == "array" else field.symbols[0] if field.kind == "enum" else _ZERO.get(field.kind)
        out[field.name] = values.pop(field.name, None if field.nullable else zero)
    assert not values, f"{topic} has no {list(values)}"
    return out


def rows(topic: str, records: Sequence[dict[str, Any]], offset: int) -> pa.Table:
    """The records as rows of the topic's table, from ``offset`` on in partition 0."""
    table = pa.Table.from_pylist(list(records), schema=schemas.load(topic).arrow)
    times_us = pa.array(table["ts_event_ns"].to_numpy() // 1000).cast(pa.timestamp("us", tz="UTC"))
    count = table.num_rows
    return (
        table.append_column("ts_event", times_us)
        .append_column("_partition", pa.array([0] * count, pa.int32()))
        .append_column("_offset", pa.array(range(offset, offset + count), pa.int64()))
        .append_column("_schema_id", pa.array([7] * count, pa.int32()))
        .append_column("_ingested_at", pa.array([BEGIN_NS // 1000] * count).cast(pa.timestamp("us", tz="UTC")))
    )


class SinkTables:
    """The sink's tables of one catalog, filled through the sink's own store."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.offsets: dict[str, int] = {}

    def append(self, topic: str, *records: dict[str, Any]) -> None:
        """Commit the records as the next offsets of the topic."""
        name = iceberg.TABLES[topic]
        store = IcebergStore(self._catalog, name, topic)
        begin = self.offsets.get(topic)
        if begin is None:
            ensure_table(self._catalog, name, topic, schemas.load(topic))
            claim(store, "me", SOURCE, [0], PATIENCE)
        table = rows(topic, records, begin or 0)
        end = (begin or 0) + len(records)
        commit_batch(store, batch(begin, end, table=table), PATIENCE)
        self.offsets[topic] = end

    def promise(self, topic: str, watermark_ns: int, state: str = "CONNECTED", next_offset: int | None = None) -> None:
        """Commit a heartbeat for the topic."""
        at = self.offsets.get(topic, 0) if next_offset is None else next_offset
        beat = record(
            topics.HEARTBEATS,
            ts_event_ns=watermark_ns,
            source="sim",
            topic=topic,
            next_offset=at,
            ts_watermark_ns=watermark_ns,
            state=state,
        )
        self.append(topics.HEARTBEATS, beat)


def computed(catalog: Catalog, *names: str) -> tuple[Closures, tuple[Derivation, ...]]:
    """The derivations of these tables (all without names), in their order."""
    closures = Closures("")
    found = derivations(catalog, load_config(), "", closures)
    return closures, tuple(one for one in found if not names or one.table.name in names)


def finish(closures: Closures, tables: Sequence[Derivation]) -> None:
    """Step until nothing is left to do."""
    while True:
        closures.refresh()
        if not [step for step in [one.step() for one in tables] if step.hours]:
            return


def compact(catalog: Catalog, name: str, change: Callable[[pa.Table], pa.Table] = lambda rows: rows) -> None:
    """Write every hour's rows into one new file, as maintenance does; or other rows, as only a fault does."""
    table = catalog.load_table(name)
    transaction = table.transaction()
    with transaction.update_snapshot().overwrite() as overwrite:
        for hour, files in files_by_hour(table).items():
            for data_file in files:
                overwrite.delete_data_file(data_file)
            pieces = (change(rows) for _, _, rows in pieces_of_hour(table, hour))
            whole = write_hour(table, hour, pieces, f"{uuid.uuid4().hex}-{hour}.parquet")
            if whole is not None:
                overwrite.append_data_file(whole)
    transaction.commit_transaction()


def content(name: str) -> pa.Table:
    """A table's rows file by file in hour order, in the order in which they stand in each file."""
    table = iceberg.load_table(name)
    assert table is not None
    tasks = sorted(table.scan().plan_files(), key=lambda task: (int(task.file.partition[0]), task.file.file_path))
    parts = [pa.parquet.read_table(table.io.new_input(task.file.file_path).open()) for task in tasks]
    return pa.concat_tables(parts).combine_chunks() if parts else pa.table({})


@contextmanager
def faulty(catalog: Catalog, chance: random.Random, meanwhile: Callable[[], None]) -> Iterator[None]:
    """Commits crash before or after their effect, and others act first, while the block runs."""
    plain = catalog.commit_table

    def commit_table(*arguments: Any) -> Any:
        if chance.random() < 0.1:
            raise Crash("before the commit")
        if chance.random() < 0.15:
            catalog.commit_table = plain  # type: ignore[method-assign]
            try:
                meanwhile()
            finally:
                catalog.commit_table = commit_table  # type: ignore[method-assign]
        answer = plain(*arguments)
        if chance.random() < 0.15:
            raise Crash("after the commit")
        return answer

    catalog.commit_table = commit_table  # type: ignore[method-assign]
    try:
        yield
    finally:
        catalog.commit_table = plain  # type: ignore[method-assign]
