"""When an input is through: by what stands in the log and what the tables have committed."""

from __future__ import annotations

from typing import Any

import pytest

from common import iceberg, schemas, topics
from common.avro import encode_row
from infra.local.facts import Facts
from tests.support.memory_log import MemoryLog

WATERMARK_NS = 10_000_000_001
INPUT = "input"
TABLES = iceberg.TABLES


def _filler(field: schemas.Field) -> Any:
    if field.kind == "array":
        return []
    return {"string": "", "bytes": b"", "boolean": False, "double": 0.0, "enum": (field.symbols or ("",))[0]}.get(
        field.kind, 0
    )


class World:
    """A log with the platform's topics, and tables that are only offsets."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        for name in TABLES:
            self.log.create(name)
        self.committed: dict[str, int] = {}
        process = self.log.process()
        self.facts = Facts(
            "",
            0,
            INPUT,
            follower=process.consumer(),
            reader=process.consumer(enable_partition_eof=True),
            writer=lambda schema_id: schemas.load(schemas.names()[schema_id]),
            committed=lambda table: {
                (topic, 0): self.committed[table]
                for topic, name in TABLES.items()
                if name == table and table in self.committed
            },
        )

    def add(self, name: str, **fields: Any) -> None:
        """A record, also in a transaction when the topic is written in transactions."""
        schema = schemas.load(name)
        record = {f.name: None if f.nullable else _filler(f) for f in schema.fields} | fields
        # The id of a schema is its place among the names, so that the writer can be found again.
        value = encode_row(schema, record, schemas.names().index(name))
        if name in (topics.FEATURES, topics.MARKERS):
            producer = self.log.process().transactional_producer("features")
            producer.init_transactions(1)
            producer.begin_transaction()
            producer.produce(name, value=value, partition=0)
            producer.commit_transaction(1)
        else:
            self.log.append(name, value)

    def beat(self, topic: str, next_offset: int, state: str = "ENDED", input_id: str = INPUT) -> None:
        self.add(
            topics.HEARTBEATS,
            topic=topic,
            next_offset=next_offset,
            ts_watermark_ns=WATERMARK_NS,
            state=state,
            input_id=input_id,
            input_records=next_offset,
        )

    def end_input(self) -> None:
        for _ in range(3):
            self.add(topics.FUTURES_MBP10)
        self.add(topics.FUTURES_TRADES)
        self.beat(topics.FUTURES_MBP10, 3)
        self.beat(topics.FUTURES_TRADES, 1)

    def mark(self, mbp10: int = 3, trades: int = 1, promise_ns: int = WATERMARK_NS) -> None:
        self.add(
            topics.MARKERS,
            input_topics=[topics.FUTURES_MBP10, topics.FUTURES_TRADES, topics.HEARTBEATS],
            input_next_offsets=[mbp10, trades, 0],
            ts_promises_ns=[promise_ns] * 3,
        )

    def snap(self, topic: str, ts_event_ns: int, rows: int = 2, of: int = 2) -> None:
        for row in range(rows):
            self.add(topic, ts_event_ns=ts_event_ns, snap_row=row, snap_rows=of)

    @property
    def waiting_for(self) -> str | None:
        self.facts.update(0)
        return self.facts.reached().waiting_for


@pytest.fixture
def world() -> World:
    return World()


def test_an_input_is_published_when_its_source_says_so_for_every_topic(world: World) -> None:
    assert world.waiting_for == "producer"
    world.beat(topics.FUTURES_MBP10, 3)
    world.beat(topics.FUTURES_TRADES, 1, state="DISCONNECTED")
    world.beat(topics.FUTURES_TRADES, 1, input_id="another")
    assert world.waiting_for == "producer"
    world.beat(topics.FUTURES_TRADES, 1)
    assert world.waiting_for == "features"
    assert world.facts.input_records == {topics.FUTURES_MBP10: 3, topics.FUTURES_TRADES: 1}


@pytest.mark.parametrize(
    "short", [{"mbp10": 2}, {"trades": 0}, {"promise_ns": WATERMARK_NS - 1}], ids=lambda short: next(iter(short))
)
def test_features_have_it_when_a_marker_covers_offsets_and_promise(world: World, short: dict[str, int]) -> None:
    world.end_input()
    world.mark(**short)
    assert world.waiting_for == "features"
    world.mark()
    assert world.waiting_for != "features"


def test_signals_have_it_when_they_end_with_the_last_snap_and_it_is_whole(world: World) -> None:
    world.end_input()
    world.mark()
    world.snap(topics.FEATURES, 500)
    world.snap(topics.FEATURES, 1000)
    world.snap(topics.SIGNALS, 500)
    assert world.waiting_for == "signals"
    world.snap(topics.SIGNALS, 1000, rows=1)
    assert world.waiting_for == "signals"
    world.add(topics.SIGNALS, ts_event_ns=1000, snap_row=1, snap_rows=2)
    assert world.waiting_for == "tables"


def test_tables_have_it_when_each_has_committed_its_topics_last_record(world: World) -> None:
    """The ends of transactions after the last record are no records: a table need not reach beyond them."""
    world.end_input()
    world.mark()
    world.snap(topics.FEATURES, 1000)
    world.snap(topics.SIGNALS, 1000)
    last_feature = world.facts.last_record(topics.FEATURES)
    assert last_feature is not None
    assert last_feature.next_offset == world.log.records(topics.FEATURES)[-1].offset() + 1
    world.committed = {
        "bronze.futures_mbp10": 3,
        "bronze.futures_trades": 1,
        "gold.levels_features": last_feature.next_offset,
    }
    assert world.waiting_for == "tables"
    world.committed["gold.levels_signals"] = 1
    assert world.waiting_for == "tables"
    world.committed["gold.levels_signals"] = 2
    assert world.waiting_for is None


def test_its_end_is_stored_when_the_table_of_heartbeats_has_the_last_that_says_so(world: World) -> None:
    world.end_input()
    world.beat(topics.FUTURES_MBP10, 3, state="CONNECTED")
    world.facts.update(0)
    world.committed = {"bronze.control_heartbeats": 1}
    assert not world.facts.end_is_stored()
    world.committed = {"bronze.control_heartbeats": 2}
    assert world.facts.end_is_stored()


def test_an_input_without_snaps_is_through_without_signals(world: World) -> None:
    world.end_input()
    world.mark()
    world.committed = {"bronze.futures_mbp10": 3, "bronze.futures_trades": 1}
    assert world.waiting_for is None


def test_an_input_that_followed_is_waited_for_too(world: World) -> None:
    world.end_input()
    world.mark()
    world.beat(topics.FUTURES_MBP10, 9, input_id="later")
    assert world.waiting_for == "features"
