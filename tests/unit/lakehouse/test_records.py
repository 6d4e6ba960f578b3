from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import schemas, topics
from common.avro import encode_row
from common.errors import UnavailableError
from lakehouse.commits import Mark
from lakehouse.records import Decoder, drop_repeated
from tests.support.lake import START_NS, TOPIC, decoder, trade, trade_value
from tests.support.memory_log import MemoryLog


def messages(*values: bytes | None) -> list[object]:
    log = MemoryLog()
    log.create(TOPIC)
    for value in values:
        log.append(TOPIC, value)
    return log.records(TOPIC)


def test_a_row_has_the_record_s_fields_and_says_where_it_came_from() -> None:
    table = decoder().decode(messages(trade_value(0), trade_value(1))).table
    row = table.to_pylist()[1]
    assert {name: row[name] for name in trade(1)} == trade(1)
    assert (row["_partition"], row["_offset"], row["_schema_id"]) == (0, 1, 7)
    assert row["ts_event"].timestamp() * 1e9 == row["ts_event_ns"]
    assert row["_ingested_at"].timestamp() * 1e9 == START_NS


def test_undecodable_messages_are_set_aside_with_their_offsets_and_the_rest_is_kept() -> None:
    rows = decoder().decode(messages(b"junk", trade_value(1), None, trade_value(3), trade_value(4)[:-1]))
    assert rows.table["_offset"].to_pylist() == [1, 3]
    assert [bad.message.offset() for bad in rows.bad] == [0, 2, 4]
    assert all(str(bad.error) for bad in rows.bad)


def test_messages_that_are_all_bad_give_no_rows() -> None:
    rows = decoder().decode(messages(b"junk", b""))
    assert rows.table.num_rows == 0 and len(rows.bad) == 2


def test_records_with_arrays_of_strings_become_rows_too() -> None:
    marker = schemas.load(topics.MARKERS)
    log = MemoryLog()
    log.create(topics.MARKERS)
    fields = {f.name: None if f.nullable else "" if f.kind == "string" else 0 for f in marker.fields}
    given_fields = {**fields, "input_topics": ["a", "b"], "input_next_offsets": [1, 2], "ts_promises_ns": [3, 4]}
    log.append(topics.MARKERS, encode_row(marker, {**given_fields, "set_aside": ["b"], "ts_event_ns": 5_000}, 7))
    log.append(topics.MARKERS, b"junk")
    rows = Decoder(marker, lambda _: marker).decode(log.records(topics.MARKERS))
    (row,) = rows.table.to_pylist()
    assert (row["input_topics"], row["set_aside"], row["_offset"]) == (["a", "b"], ["b"], 0)
    assert [bad.message.offset() for bad in rows.bad] == [1]


def test_a_registry_that_is_away_makes_no_dead_letters() -> None:
    def away(_: int) -> schemas.RecordSchema:
        raise UnavailableError("the registry does not answer")

    with pytest.raises(UnavailableError):
        Decoder(schemas.load(TOPIC), away).decode(messages(trade_value(0)))


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 2))),
    st.dictionaries(st.integers(0, 1), st.builds(Mark, st.integers(0, 3), st.integers(0, 2))),
)
def test_rows_at_or_below_one_before_them_are_dropped(rows: list[tuple[int, int, int]], marks: dict[int, Mark]) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    table = pa.table(
        {
            "_partition": pa.array(columns[0], pa.int32()),
            "ts_event_ns": pa.array(columns[1], pa.int64()),
            "snap_row": pa.array(columns[2], pa.int32()),
        }
    )
    expected, after = [], dict(marks)
    for partition, ts, place in rows:
        if partition not in after or Mark(ts, place) > after[partition]:
            after[partition] = Mark(ts, place)
            expected.append((partition, ts, place))
    kept, marks_after = drop_repeated(table, marks)
    assert [tuple(row.values()) for row in kept.to_pylist()] == expected
    assert marks_after == after
