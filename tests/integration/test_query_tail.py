"""The records that a query adds to what is committed, from a real broker."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import TopicPartition

from common import iceberg, kafka, schemas, topics
from common.avro import encode_row
from common.endpoints import Endpoints
from common.errors import InvariantError
from common.registry import Registry
from lakehouse import query
from lakehouse.commits import Commit, Mark, Source, claim, commit_batch
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table
from tests.support.lake import PATIENCE
from tests.support.signal_rows import committed_rows, snap_ns, snap_rows

TABLE = iceberg.TABLES[topics.SIGNALS]
STANDS = f"""
    SELECT count(*) AS n, count(DISTINCT (ts_event_ns, snap_row)) AS different, max(ts_event_ns) AS last
    FROM {TABLE}
"""


class Signals:
    """A topic of signals and the table that a sink would fill from it."""

    def __init__(self, namespace: str, registry_url: str) -> None:
        kafka.ensure_topics(topics.specs(namespace))
        self.topic = topics.full_name(topics.SIGNALS, namespace)
        self._record = schemas.load(topics.SIGNALS)
        with Registry(registry_url) as registry:
            self._schema_id = registry.register(self._record, namespace)
        self._producer = kafka.producer()
        ensure_table(iceberg.open_catalog(), TABLE, self.topic, self._record)
        self._store = IcebergStore(iceberg.open_catalog(), TABLE, self.topic)
        self._committed = 0

    def publish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in committed_rows(rows).select(self._record.arrow.names).to_pylist():
            self.publish_value(encode_row(self._record, row, self._schema_id))
        assert self._producer.flush(30) == 0

    def publish_value(self, value: bytes) -> None:
        self._producer.produce(self.topic, value=value, partition=0)

    def commit(self, rows: Sequence[Mapping[str, Any]]) -> None:
        source = Source(kafka.cluster_id(), kafka.topic_ids([self.topic])[self.topic])
        claim(self._store, "me", source, [0], PATIENCE)
        table: pa.Table = committed_rows(rows)
        last = Mark(int(rows[-1]["ts_event_ns"]), int(rows[-1]["snap_row"]))
        begin, end = self._committed or None, self._committed + len(rows)
        commit_batch(
            self._store, Commit(uuid.uuid4().hex, "me", source, {0: begin}, {0: end}, {0: last}, table), PATIENCE
        )
        self._committed = end


@pytest.fixture
def signals(stack: Endpoints, namespace: str, home: Path) -> Signals:
    return Signals(namespace, stack.registry_url)


def test_snaps_that_were_sent_again_are_in_the_answer_once(signals: Signals) -> None:
    first, second, third = (snap_rows(number) for number in range(3))
    signals.publish([*first, *second])
    assert query.run(STANDS, tail=True).to_pylist() == [{"n": 6, "different": 6, "last": snap_ns(1)}]
    signals.commit([*first, *second])
    assert query.run(STANDS, tail=True).to_pylist() == [{"n": 6, "different": 6, "last": snap_ns(1)}]
    signals.publish(second)
    signals.publish_value(b"not avro")
    signals.publish([*second[1:], *third])
    assert query.run(STANDS, tail=True).to_pylist() == [{"n": 9, "different": 9, "last": snap_ns(2)}]
    assert query.run(STANDS).to_pylist() == [{"n": 6, "different": 6, "last": snap_ns(1)}]
    by_level = f"SELECT count(*) AS n FROM {TABLE} WHERE level_id = 'VWAP' AND ts_event_ns >= {snap_ns(1)}"
    assert query.run(by_level, tail=True).to_pylist() == [{"n": 2}]


def test_a_topic_that_was_made_anew_has_no_tail_for_the_table(signals: Signals) -> None:
    rows = snap_rows(0)
    signals.publish(rows)
    signals.commit(rows)
    admin = kafka.admin()
    admin.delete_topics([signals.topic])[signals.topic].result(30)
    kafka.ensure_topics([topics.TopicSpec(signals.topic, 1)])
    signals.publish(snap_rows(7))
    with pytest.raises(InvariantError, match="mean something else"):
        query.run(STANDS, tail=True)
    notes: list[str] = []
    assert query.run(STANDS, tail=None, note=notes.append).to_pylist()[0]["n"] == len(rows)
    assert notes and f"{TABLE} without its topic's tail" in notes[0]


def test_a_tail_whose_beginning_is_gone_is_an_error(signals: Signals) -> None:
    rows = snap_rows(0)
    signals.publish(rows)
    signals.commit(rows)
    signals.publish([*snap_rows(1), *snap_rows(2)])
    admin, place = kafka.admin(), TopicPartition(signals.topic, 0, 6)
    admin.delete_records([place])[place].result(30)
    with pytest.raises(InvariantError, match="holds 6 to 9"):
        query.run(STANDS, tail=True)
