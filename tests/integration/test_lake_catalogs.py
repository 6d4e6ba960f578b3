"""One behaviour on each catalog: the embedded one on files, and the REST one on MinIO."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog

from common import iceberg, kafka, schemas, topics
from common.endpoints import Endpoints
from common.errors import InputError, SchemaError
from lakehouse import query, read
from lakehouse.commits import Committed, claim, commit_batch
from lakehouse.query import AsOf
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table
from tests.integration.test_sink import Trades, sink
from tests.support.lake import PATIENCE, SOURCE, TABLE, TOPIC, batch
from tests.support.waiting import LIMIT_S, wait_until

STANDS = f"SELECT count(*) AS n, count(DISTINCT _offset) AS different, coalesce(max(_offset), -1) AS last FROM {TABLE}"


@pytest.fixture
def trades(stack: Endpoints, namespace: str) -> Trades:
    kafka.ensure_topics(topics.specs(namespace))
    return Trades(namespace, stack.registry_url)


def test_the_catalog_is_the_one_that_was_asked_for(any_catalog: str) -> None:
    assert isinstance(iceberg.open_catalog(), SqlCatalog if any_catalog == "embedded" else RestCatalog)
    assert iceberg.table_names() == []


def test_a_killed_sink_stores_every_record_once(trades: Trades, namespace: str, home: Path, any_catalog: str) -> None:
    with sink(namespace, home) as process:
        trades.publish(3_000)
        wait_until("rows", home, lambda: read.table_rows(TABLE) > 0)
        process.send_signal(signal.SIGKILL)
        process.wait()
    trades.publish(3_000)
    with sink(namespace, home) as process:
        wait_until("the end", home, lambda: read.committed_offsets(TABLE).get((trades.topic, 0)) == trades.published)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    stored = Counter(iceberg.scan(TABLE, columns=["_offset"])["_offset"].to_pylist())
    assert set(stored.values()) == {1}
    assert sorted(stored) == list(range(trades.published))


def test_a_query_sees_everything_up_to_now_once_whatever_is_committed_meanwhile(
    trades: Trades, namespace: str, home: Path, any_catalog: str
) -> None:
    with sink(namespace, home) as process:
        trades.publish(100)
        wait_until("rows", home, lambda: read.table_rows(TABLE) == 100)
        enough = threading.Event()

        def publish() -> None:
            while not enough.wait(0.02):
                trades.publish(50)

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            committed = set()
            deadline = time.monotonic() + LIMIT_S
            while len(committed) < 5 and time.monotonic() < deadline:
                acknowledged = trades.published
                found = query.run(STANDS, tail=True).to_pylist()[0]
                assert found["n"] == found["different"] == found["last"] + 1
                assert found["n"] >= acknowledged
                committed.add(read.table_rows(TABLE))
            assert len(committed) == 5, "the sink has committed in between"
        finally:
            enough.set()
            publisher.join()
        process.send_signal(signal.SIGKILL)
        process.wait()
    trades.publish(500)
    assert query.run(STANDS, tail=True).to_pylist()[0]["n"] == trades.published
    assert query.run(STANDS).to_pylist()[0]["n"] == read.table_rows(TABLE) < trades.published


def test_added_columns_are_null_in_old_rows_and_other_changes_are_refused_with_nothing_written(
    home: Path, any_catalog: str
) -> None:
    catalog = iceberg.open_catalog()
    record = schemas.load(TOPIC)
    old = replace(record, fields=tuple(field for field in record.fields if field.name != "venue"))
    ensure_table(catalog, TABLE, TOPIC, old)
    store = IcebergStore(catalog, TABLE, TOPIC)
    claim(store, "me", SOURCE, [0], PATIENCE)
    commit_batch(store, batch(None, 3), PATIENCE)
    reader = catalog.load_table(TABLE)

    ensure_table(catalog, TABLE, TOPIC, record)
    commit_batch(store, batch(3, 5), PATIENCE)
    assert reader.scan().to_arrow().num_rows == 3, "who had opened the table before reads on"
    answer = query.run(f"SELECT count(*) AS n, count(venue) AS venues FROM {TABLE}").to_pylist()
    assert answer == [{"n": 5, "venues": 0}]

    before = catalog.load_table(TABLE).metadata
    fields = tuple(replace(field, nullable=False) if field.name == "venue" else field for field in record.fields)
    with pytest.raises(SchemaError):
        ensure_table(catalog, TABLE, TOPIC, replace(record, fields=fields))
    assert catalog.load_table(TABLE).metadata == before


def test_tables_are_read_as_of_a_snapshot_a_tag_and_a_time(home: Path, any_catalog: str) -> None:
    catalog = iceberg.open_catalog()
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    store = IcebergStore(catalog, TABLE, TOPIC)
    claim(store, "me", SOURCE, [0], PATIENCE)
    snapshots, times = [], []
    for begin, end in ((None, 3), (3, 7), (7, 12)):
        outcome = commit_batch(store, batch(begin, end), PATIENCE)
        assert isinstance(outcome, Committed)
        snapshots.append(outcome.snapshot_id)
        time.sleep(0.05)
        times.append(datetime.now(UTC))
        time.sleep(0.05)
    table = catalog.load_table(TABLE)
    table.manage_snapshots().create_tag(snapshots[1], "monday").commit()

    def rows(as_of: AsOf | None) -> int:
        return int(query.run(f"SELECT count(*) AS n FROM {TABLE}", as_of=as_of)["n"][0].as_py())

    assert [rows(AsOf(snapshot_id=snapshot)) for snapshot in snapshots] == [3, 7, 12]
    assert [rows(AsOf(time=moment)) for moment in times] == [3, 7, 12]
    assert rows(AsOf(tag="monday")) == 7
    assert rows(None) == 12
    for unknown in (AsOf(snapshot_id=1), AsOf(tag="tuesday"), AsOf(time=datetime(2020, 1, 1, tzinfo=UTC))):
        with pytest.raises(InputError) as caught:
            rows(unknown)
        assert "3 snapshots" in str(caught.value.hint) and "monday" in str(caught.value.hint)
