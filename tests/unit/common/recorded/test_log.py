"""Reading a range of the log: by offset, by time, over holes, past retention."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common import schemas, topics
from common.avro import encode_row
from common.errors import InputError
from common.recorded import LogReader
from tests.support.lake import TOPIC, trade
from tests.support.memory_log import MemoryLog

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS


def value(number: int) -> bytes:
    """A trade that applies ``number`` seconds after the start, two of them at every time."""
    row = trade(number, START_NS + number // 2 * SECOND_NS)
    return encode_row(schemas.load(TOPIC), row, 7)


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    for name in (TOPIC, topics.HEARTBEATS):
        log.create(name)
    return log


@pytest.fixture
def reader(log: MemoryLog) -> Iterator[LogReader]:
    reader = LogReader(log.consumer, lambda _: schemas.load(TOPIC), "", 0)
    yield reader
    reader.close()


def numbers(reader: LogReader, begin: int, end: int) -> tuple[list[int], list[int]]:
    pieces = list(reader.pieces(TOPIC, begin, end))
    ids = [number for piece in pieces for number in piece.batch["event_id"].tolist()]
    return ids, [offset for piece in pieces for offset in piece.offsets.tolist()]


def test_a_range_of_offsets_is_read_to_its_end_and_no_further(log: MemoryLog, reader: LogReader) -> None:
    for number in range(50):
        log.append(TOPIC, value(number))
    assert numbers(reader, 10, 20) == (list(range(10, 20)), list(range(10, 20)))
    assert numbers(reader, 50, 50) == ([], [])


def test_what_is_no_record_is_left_out_and_offsets_keep_their_numbers(log: MemoryLog, reader: LogReader) -> None:
    for number in range(6):
        log.append(TOPIC, b"not avro" if number in (0, 3, 5) else value(number))
    assert numbers(reader, 0, 6) == ([1, 2, 4], [1, 2, 4])
    assert reader.time_at(TOPIC, 3) == START_NS + 2 * SECOND_NS
    assert reader.time_at(TOPIC, 5) is None


def test_aborted_records_and_the_ends_of_transactions_are_no_records(log: MemoryLog, reader: LogReader) -> None:
    for commit in (False, True):
        producer = log.transactional_producer("t")
        producer.init_transactions(1)
        producer.begin_transaction()
        producer.produce(TOPIC, value=value(1 if commit else 0), partition=0)
        producer.flush(1)
        if commit:
            producer.commit_transaction(1)
        else:
            producer.abort_transaction(1)
    bounds = reader.bounds(TOPIC)
    assert bounds is not None
    assert numbers(reader, *bounds)[0] == [1]


@pytest.mark.parametrize("second", [-1, 0, 1, 7, 24, 25, 99])
def test_a_time_leads_to_the_first_record_that_is_not_earlier(log: MemoryLog, reader: LogReader, second: int) -> None:
    for number in range(50):
        log.append(TOPIC, b"" if number % 7 == 3 else value(number))
    found = reader.offset_at(TOPIC, START_NS + second * SECOND_NS)
    good = [number for number in range(50) if number % 7 != 3]
    assert [number for number in good if number < found] == [number for number in good if number // 2 < second]


def test_a_topic_that_does_not_exist_has_no_bounds(reader: LogReader) -> None:
    assert reader.bounds(topics.FUTURES_MBP10) is None


def test_records_past_retention_are_refused_with_the_way_to_the_tables(log: MemoryLog, reader: LogReader) -> None:
    for number in range(10):
        log.append(TOPIC, value(number))
    log.truncate(TOPIC, 0, 4)
    assert reader.time_at(TOPIC, 4) == START_NS + 2 * SECOND_NS
    with pytest.raises(InputError, match="offset 4: 3 is past") as refused:
        reader.time_at(TOPIC, 3)
    assert "--iceberg" in str(refused.value.hint)
    with pytest.raises(InputError, match="no longer has offset 0"):
        numbers(reader, 0, 10)


def heartbeat(next_offset: int, ts_watermark_ns: int) -> bytes:
    row = {
        "ts_event_ns": ts_watermark_ns,
        "source": "sim",
        "topic": TOPIC,
        "partition": 0,
        "next_offset": next_offset,
        "ts_watermark_ns": ts_watermark_ns,
        "state": "CONNECTED",
    }
    return encode_row(schemas.load(topics.HEARTBEATS), row, 7)


def test_records_of_low_rate_topics_come_as_fields(log: MemoryLog) -> None:
    log.append(topics.HEARTBEATS, heartbeat(3, 77))
    log.append(topics.HEARTBEATS, b"?")
    log.append(topics.HEARTBEATS, heartbeat(5, 99))
    reader = LogReader(log.consumer, lambda _: schemas.load(topics.HEARTBEATS), "", 0)
    rows = list(reader.rows(topics.HEARTBEATS, 0, 3))
    assert [(offset, row["ts_watermark_ns"]) for offset, row in rows] == [(0, 77), (2, 99)]
