"""The count after a chaos run finds every kind of fault, whatever the pieces it works in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.table import Table

from common import iceberg, schemas, topics
from common.avro import encode_row
from infra.chaos import ledger
from infra.chaos.feed import BAD as BAD_VALUE
from infra.chaos.feed import PARTITIONS, blank
from lakehouse.files import write_hour
from lakehouse.tables import HOUR_NS, ensure_table
from tests.support.lake import START_NS, TABLE, TOPIC, rows, trade_value
from tests.support.memory_log import MemoryLog

GOOD = 10
BAD = (3, 7)
"""Offsets of partition 0 whose records are none."""
FAULTS = ("lost", "doubled", "different", "foreign", "letters_lost")


class Kafka:
    """The topic of trades, the first two partitions filled, and the letters of what is bad in it."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.log.create(TOPIC, PARTITIONS)
        for partition in (0, 1):
            for number in range(GOOD):
                bad = partition == 0 and number in BAD
                self.log.append(TOPIC, BAD_VALUE if bad else trade_value(number), partition=partition)
        self.letters = {(TOPIC, 0, offset) for offset in BAD}

    def messages(self, name: str, partition: int) -> Iterator[Any]:
        yield from self.log.records(name, partition)


@pytest.fixture(params=[1, 4, 1_000])
def kafka(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kafka:
    made = Kafka()
    monkeypatch.setattr(ledger, "CHUNK", request.param)
    monkeypatch.setattr(ledger, "messages", made.messages)
    return made


@pytest.fixture
def table(home: Path) -> Table:
    return ensure_table(iceberg.open_catalog(), TABLE, TOPIC, schemas.load(TOPIC))


def stored() -> pa.Table:
    """What a faultless sink has of the topic."""
    first = rows(*(number for number in range(GOOD) if number not in BAD))
    return pa.concat_tables([first, rows(*range(GOOD), partition=1)])


def altered(column: str, at: int, value: Any) -> pa.Table:
    whole = stored()
    place = pa.array([number == at for number in range(whole.num_rows)])
    new = pc.if_else(place, pa.scalar(value, whole[column].type), whole[column])
    return whole.set_column(whole.schema.get_field_index(column), column, new)


def count(kafka: Kafka, table: Table, content: pa.Table) -> dict[str, Any]:
    hour = START_NS // HOUR_NS
    written = write_hour(table, hour, [content], "all.parquet")
    assert written is not None
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        append.append_data_file(written)
    found = asdict(ledger.account(TOPIC, TOPIC, kafka.letters))
    assert (found["records"], found["bad"]) == (2 * GOOD, len(BAD))
    return {fault: found[fault] for fault in FAULTS if found[fault]}


def test_what_is_stored_once_and_as_it_was_holds(kafka: Kafka, table: Table) -> None:
    assert count(kafka, table, stored()) == {}


def test_a_lost_row_is_found(kafka: Kafka, table: Table) -> None:
    assert count(kafka, table, stored().slice(1)) == {"lost": 1}


def test_a_doubled_row_is_found(kafka: Kafka, table: Table) -> None:
    assert count(kafka, table, pa.concat_tables([stored(), stored().slice(2, 1)])) == {"doubled": 1}


def test_a_changed_row_is_found(kafka: Kafka, table: Table) -> None:
    assert count(kafka, table, altered("size", 4, 1_000)) == {"different": 1}


@pytest.mark.parametrize(("column", "value"), [("_offset", 3), ("_offset", 50), ("_partition", 9)])
def test_a_row_of_no_good_record_is_found(kafka: Kafka, table: Table, column: str, value: int) -> None:
    assert count(kafka, table, altered(column, 0, value)) == {"lost": 1, "foreign": 1}


def test_a_letter_that_is_missing_is_found(kafka: Kafka, table: Table) -> None:
    kafka.letters.pop()
    assert count(kafka, table, stored()) == {"letters_lost": 1}


def test_of_snaps_that_were_sent_again_the_first_counts() -> None:
    log = MemoryLog()
    log.create(topics.SIGNALS)
    for ts_event_ns, snap_row in ((1, 0), (1, 1), (2, 0), (1, 1), (2, 0), (2, 1)):
        record = {**blank(topics.SIGNALS), "ts_event_ns": ts_event_ns, "snap_row": snap_row}
        log.append(topics.SIGNALS, encode_row(schemas.load(topics.SIGNALS), record, 7))
    records, bad, repeated, newest = ledger.decoded(topics.SIGNALS, log.records(topics.SIGNALS, 0), (-1, -1))
    assert (list(records), bad, repeated, newest) == ([0, 1, 2, 5], [], 2, (2, 1))
