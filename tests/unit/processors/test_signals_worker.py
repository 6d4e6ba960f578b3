"""DESIGN §5: what the signals worker does with the records it is handed, and where it begins."""

from __future__ import annotations

from typing import Any

import pytest

from common import schemas, topics
from common.avro.codec import Codec
from common.columns import string_list
from common.config import make_config
from common.errors import InvariantError
from processors.engine.levelstate import LevelState, SignalState
from processors.signals.app import app_id, changelog_topic
from processors.signals.partition import Partition, Work
from processors.signals.position import Position, Start, level_key, position_key, start_from
from tests.support.feature_rows import INTERVAL_NS, START_NS, random_snaps
from tests.support.signals_crashes import COMPLEX, SIGNALS_ID, World, encode, run_to_end, writer

CONFIG = make_config({})


def snap(number: int, levels: int = 3, **fields: Any) -> list[dict[str, Any]]:
    """A whole snap with that many levels."""
    ts_ns = START_NS + number * INTERVAL_NS
    return [
        {"ts_event_ns": ts_ns, "snap_row": n, "snap_rows": levels, "level_id": f"ROUND_{470 + n}", **fields}
        for n in range(levels)
    ]


def partition(start: Start | None = None) -> Partition:
    fresh = Start(SignalState(), Position(0, 0, 0, 0, (), CONFIG.hash), "resumed")
    return Partition(CONFIG, COMPLEX, start or fresh, writer, SIGNALS_ID)


def feed(target: Partition, values: list[bytes | None], first: int = 0) -> None:
    for offset, value in enumerate(values, first):
        target.add(offset, value)


def taken(target: Partition) -> Work:
    work = target.take()
    assert work is not None
    return work


def sent(work: Work) -> list[tuple[int, str | None]]:
    batch = Codec(schemas.load(topics.SIGNALS)).decode(work.signals, writer).batch
    numbers = ((batch["ts_event_ns"] - START_NS) // INTERVAL_NS).tolist()
    return list(zip(numbers, string_list(batch.columns["level_id"]), strict=True))


# Whole snaps


def test_nothing_is_judged_before_its_snap_is_whole() -> None:
    target = partition()
    rows = encode(snap(1))
    feed(target, [*rows[:2]])
    assert target.take() is None and target.waiting == 2
    feed(target, [rows[2]], first=2)
    assert sent(taken(target)) == [(1, "ROUND_470"), (1, "ROUND_471"), (1, "ROUND_472")]
    assert target.take() is None and target.waiting == 0


def test_the_begun_snap_goes_on_waiting() -> None:
    target = partition()
    feed(target, encode([*snap(1), *snap(2), *snap(3)])[:8])
    work = taken(target)
    assert len(work.signals) == 6 and target.waiting == 2
    assert work.position.next_offset == 6


def test_each_levels_row_is_written_once_per_batch_and_the_position_last() -> None:
    target = partition()
    feed(target, encode([*snap(1), *snap(2)]))
    work = taken(target)
    assert [key for key, _ in work.levels] == [level_key(COMPLEX, f"ROUND_{470 + n}") for n in range(3)]
    assert {LevelState.from_bytes(row).seen_ns for _, row in work.levels} == {START_NS + 2 * INTERVAL_NS}
    assert work.position_row == (position_key(COMPLEX), work.position.to_bytes())


def test_a_record_that_came_before_is_passed_over() -> None:
    target = partition()
    rows = encode(snap(1))
    feed(target, rows[:2])
    feed(target, rows)
    assert len(taken(target).signals) == 3


def test_gaps_that_transactions_leave_between_offsets_do_not_matter() -> None:
    target = partition()
    for offset, value in zip((0, 2, 9), encode(snap(1)), strict=True):
        target.add(offset, value)
    assert taken(target).position.next_offset == 10


def test_a_missing_row_stops_the_worker() -> None:
    target = partition()
    rows = encode([*snap(1), *snap(2)])
    feed(target, [rows[0], rows[2]])
    with pytest.raises(InvariantError, match="offset 1 has number 2 in its snap, not 1"):
        target.take()


def test_a_snap_that_begins_in_the_middle_stops_the_worker_that_resumes() -> None:
    target = partition()
    feed(target, encode(snap(1))[1:])
    with pytest.raises(InvariantError, match="has number 1 in its snap, not 0"):
        target.take()


def test_a_log_whose_first_snap_was_cut_by_retention_can_be_judged() -> None:
    target = partition(Start(SignalState(), None, "new"))
    feed(target, encode(snap(1))[1:], first=40)
    assert sent(taken(target)) == [(1, "ROUND_471"), (1, "ROUND_472")]


# Records that cannot be decoded


@pytest.mark.parametrize("garbage", [None, b"", b"not Avro", b"\0\0\0\0\7", b"\0\0\0\0\7\xff\xff"])
def test_a_record_that_is_not_avro_is_set_aside_and_the_rest_is_judged(garbage: bytes | None) -> None:
    target = partition()
    rows = encode([*snap(1), *snap(2)])
    feed(target, [*rows[:3], garbage, *rows[3:]])
    work = taken(target)
    assert len(work.signals) == 6
    assert [(bad.offset, bad.value) for bad in work.bad] == [(3, garbage)]
    assert "levels.features.v1" in work.bad[0].error


def test_a_bad_record_inside_a_snap_costs_its_row_only() -> None:
    target = partition()
    rows: list[bytes | None] = [*encode([*snap(1), *snap(2)])]
    rows[1] = b"x"
    feed(target, rows)
    work = taken(target)
    assert sent(work)[:2] == [(1, "ROUND_470"), (1, "ROUND_472")] and len(work.signals) == 5
    assert [bad.offset for bad in work.bad] == [1]


def test_a_snap_whose_last_row_is_bad_ends_when_the_next_one_begins() -> None:
    target = partition()
    rows: list[bytes | None] = [*encode([*snap(1), *snap(2)])]
    rows[2] = b"x"
    feed(target, rows[:3])
    assert target.take() is None
    feed(target, rows[3:4], first=3)
    work = taken(target)
    assert sent(work) == [(1, "ROUND_470"), (1, "ROUND_471")] and [bad.offset for bad in work.bad] == [2]
    assert work.position.next_offset == 3


def test_bad_records_alone_move_the_position() -> None:
    target = partition()
    feed(target, [b"x", b"y"])
    work = taken(target)
    assert work.signals == [] and work.levels == [] and len(work.bad) == 2
    assert work.position.next_offset == 2 and work.position.snap_ns == 0


def test_a_bad_record_is_set_aside_once() -> None:
    target = partition()
    rows = encode([*snap(1), *snap(2)])
    feed(target, [*rows[:3], b"x", rows[3]])
    assert [bad.offset for bad in taken(target).bad] == [3]
    feed(target, [*rows[4:]], first=5)
    work = taken(target)
    assert work.bad == () and len(work.signals) == 3


# Where a run begins


def test_an_empty_table_means_the_logs_beginning() -> None:
    start = start_from({}, COMPLEX, CONFIG.hash)
    assert start.position is None and start.state.level_ids == ()


def test_a_position_survives_its_bytes() -> None:
    position = Position(12, START_NS, 20231225, 3, ("A", "Ä"), "abc")
    assert Position.from_bytes(position.to_bytes()) == position


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"version":2}', b'{"version":1}', b"\xff"])
def test_a_position_of_another_version_is_refused(data: bytes) -> None:
    with pytest.raises(InvariantError, match="position row"):
        Position.from_bytes(data)


def test_the_position_knows_where_its_session_began() -> None:
    target = partition()
    feed(target, encode([*snap(1), *snap(2, session_date=20231226), *snap(3, session_date=20231226)]))
    position = taken(target).position
    assert (position.session_date, position.session_offset) == (20231226, 3)
    feed(target, encode(snap(4, session_date=20231226)), first=9)
    assert taken(target).position.session_offset == 3


def test_a_changed_configuration_starts_levels_anew_where_the_old_one_ended() -> None:
    world = World(CONFIG, random_snaps(1, 10))
    run_to_end(world)
    start = start_from(world.table, COMPLEX, "another")
    assert start.reason == "configuration changed" and start.state.level_ids == ()
    assert start.position is not None and start.position.next_offset > world.log[-1][0]


def test_complexes_do_not_read_each_others_rows() -> None:
    world = World(CONFIG, random_snaps(1, 10))
    run_to_end(world)
    assert start_from(world.table, "SP", CONFIG.hash).position is None
    assert start_from(world.table, COMPLEX, CONFIG.hash).state.level_ids != ()


def test_the_app_is_named_by_its_namespace() -> None:
    assert app_id("") == "breakwater-signals"
    assert changelog_topic("replay.x") == "replay.x.breakwater-signals-levels-changelog"


def test_a_start_without_a_position_expects_the_logs_first_offset() -> None:
    target = Partition(CONFIG, COMPLEX, Start(SignalState(), None, "new"), writer, SIGNALS_ID, log_begin=500)
    assert target.expected_offset == 500
    feed(target, encode(snap(1)), first=500)
    assert taken(target).position.session_offset == 500 and target.expected_offset == 503
