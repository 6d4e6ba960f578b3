"""Reading a range of the tables: offset order out of files by the hour, bounds by time, little at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from common import iceberg, schemas
from common.errors import InputError
from common.recorded import END_NS, LakeReader, bronze_inputs, lake
from lakehouse.commits import claim, commit_batch
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table
from tests.support.lake import PATIENCE, SOURCE, START_NS, TABLE, TOPIC, batch, rows

SECOND_NS = 1_000_000_000
FAR_NS = 2**62


@pytest.fixture
def commit(home: Path) -> Callable[..., None]:
    """Commits trades (number = offset) with given event times; they apply at the latest time so far."""
    ensure_table(iceberg.open_catalog(), TABLE, TOPIC, schemas.load(TOPIC))
    store = IcebergStore(iceberg.open_catalog(), TABLE, TOPIC)
    claim(store, "me", SOURCE, [0], PATIENCE)

    def commit(begin: int, end: int, seconds: Callable[[int], int] = lambda number: number) -> None:
        table = rows(*range(begin, end), at_ns=lambda number: START_NS + seconds(number) * SECOND_NS)
        applied = [START_NS + max(seconds(n) for n in range(number + 1)) * SECOND_NS for number in range(begin, end)]
        at = table.schema.get_field_index("ts_effective_ns")
        table = table.set_column(at, table.schema.field(at), [applied])
        commit_batch(store, batch(begin or None, end, table=table), PATIENCE)

    return commit


def read(begin_ns: int = 0, end_ns: int = FAR_NS) -> list[int]:
    pieces = list(LakeReader("", 0).pieces(TOPIC, begin_ns, end_ns))
    assert all(piece.batch["event_id"].tolist() == piece.offsets.tolist() for piece in pieces)
    return [offset for piece in pieces for offset in piece.offsets.tolist()]


def late(number: int) -> int:
    """Every tenth record is an hour and a half older than those around it."""
    return 4_000 + number * 100 - (5_400 if number % 10 == 0 else 0)


def test_offset_order_is_kept_over_hours_and_late_records(
    commit: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "WINDOW_RECORDS", 7)
    commit(0, 90, late)
    commit(90, 120, late)
    assert read() == list(range(120))
    sizes = [len(piece.offsets) for piece in LakeReader("", 0).pieces(TOPIC, 0, FAR_NS)]
    assert max(sizes) <= 7


def test_a_range_of_time_is_one_of_effective_time(commit: Callable[..., None]) -> None:
    commit(0, 100, late)
    begin_ns, end_ns = START_NS + late(33) * SECOND_NS, START_NS + late(77) * SECOND_NS
    assert read(begin_ns, end_ns) == list(range(33, 77))
    reader = LakeReader("", 0)
    assert reader.time_at(TOPIC, 33) == begin_ns
    assert reader.time_at(TOPIC, 40) == START_NS + late(39) * SECOND_NS
    assert reader.time_at(TOPIC, 100) is None
    assert reader.continues(TOPIC, end_ns)
    assert not reader.continues(TOPIC, START_NS + late(99) * SECOND_NS + 1)
    assert reader.end_offset(TOPIC) == 100


def test_reading_stops_where_the_log_goes_on(commit: Callable[..., None]) -> None:
    commit(0, 40)
    pieces = LakeReader("", 0).pieces(TOPIC, 0, FAR_NS, end_offset=23)
    assert [offset for piece in pieces for offset in piece.offsets.tolist()] == list(range(23))


def test_a_topic_without_a_table_has_no_records(commit: Callable[..., None]) -> None:
    commit(0, 5)
    stream = list(bronze_inputs(0, ["futures.mbp10.v1", TOPIC], 0, FAR_NS))
    assert [(piece.topic, piece.watermark_ns) for piece in stream] == [(TOPIC, END_NS)]
    assert LakeReader("", 0).end_offset("futures.mbp10.v1") == 0


def test_a_table_of_another_namespace_is_refused_or_counts_as_none(commit: Callable[..., None]) -> None:
    commit(0, 5)
    with pytest.raises(InputError, match=r"holds the topic futures.trades.v1, not test.x.futures.trades.v1"):
        list(LakeReader("test.x", 0).pieces(TOPIC, 0, FAR_NS))
    assert list(LakeReader("test.x", 0, strict=False).pieces(TOPIC, 0, FAR_NS)) == []


def test_records_come_as_fields_too_in_offset_order(commit: Callable[..., None]) -> None:
    commit(0, 30, late)
    found = list(LakeReader("", 0).rows(TOPIC, end_offset=25))
    assert [offset for offset, _ in found] == list(range(25))
    assert found[20][1]["ts_event_ns"] == START_NS + late(20) * SECOND_NS
    assert "_offset" not in found[0][1]
