"""Whole snaps from the signals' log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.snaps import Snap, SnapAssembler
from tests.support.signal_rows import signal_batch, signal_snaps, snap_ns, snap_rows

Row = dict[str, Any]


def push(assembler: SnapAssembler[Snap], rows: list[Row], first_offset: int = 0) -> list[Snap]:
    return assembler.push(signal_batch(rows), np.arange(first_offset, first_offset + len(rows), dtype=np.int64))


def seen(snaps: list[Snap]) -> list[tuple[int, int | None, int, tuple[str, ...]]]:
    return [(snap.seq, snap.prev_seq, snap.ts_event_ns, snap.level_ids) for snap in snaps]


def test_a_snap_is_known_by_the_offset_of_its_last_row() -> None:
    snaps = signal_snaps(0, 1, 2, first_offset=100)
    assert [(snap.seq, snap.prev_seq) for snap in snaps] == [(102, None), (105, 102), (108, 105)]


def test_a_snap_without_its_last_row_is_not_handed_out() -> None:
    assembler = SnapAssembler(Snap)
    rows = snap_rows(0)
    assert push(assembler, rows[:2]) == []
    (snap,) = push(assembler, rows[2:], first_offset=2)
    assert snap.level_ids == ("ROUND_471", "ROUND_472", "VWAP")
    assert snap.seq == 2


def test_rows_published_again_change_nothing() -> None:
    first, second = snap_rows(0), snap_rows(1)
    # A crash after the second snap's first row: the worker publishes both snaps again.
    snaps = push(SnapAssembler(Snap), [*first, second[0], *first, *second, *snap_rows(2)])
    assert [snap.ts_event_ns for snap in snaps] == [snap_ns(0), snap_ns(1), snap_ns(2)]
    assert [snap.seq for snap in snaps] == [2, 9, 12]
    assert all(snap.level_ids == ("ROUND_471", "ROUND_472", "VWAP") for snap in snaps)


def test_reading_from_the_middle_begins_with_the_first_whole_snap() -> None:
    snaps = push(SnapAssembler(Snap), [*snap_rows(0)[1:], *snap_rows(1)], first_offset=41)
    assert [(snap.ts_event_ns, snap.seq) for snap in snaps] == [(snap_ns(1), 45)]


def test_reading_from_the_middle_gives_the_numbers_of_reading_from_the_beginning() -> None:
    rows = [row for number in range(20) for row in snap_rows(number)]
    whole = {snap.ts_event_ns: snap.seq for snap in push(SnapAssembler(Snap), rows)}
    for start in range(30):
        for snap in push(SnapAssembler(Snap), rows[start:], first_offset=start):
            assert whole[snap.ts_event_ns] == snap.seq


def test_a_snap_that_was_never_finished_is_counted_and_left_out() -> None:
    assembler = SnapAssembler(Snap)
    snaps = push(assembler, [*snap_rows(0)[:2], *snap_rows(1)])
    assert [snap.ts_event_ns for snap in snaps] == [snap_ns(1)]
    assert assembler.incomplete == 1


def test_rows_of_a_snap_that_was_given_up_do_not_get_into_a_later_one() -> None:
    assembler = SnapAssembler(Snap)
    first, second = snap_rows(0), snap_rows(1)
    (snap,) = push(assembler, [first[0], second[0], *first, *second[1:]])
    assert snap.ts_event_ns == snap_ns(1)
    assert set(snap.columns["ts_event_ns"]) == {snap_ns(1)}
    assert assembler.incomplete == 1


def test_offsets_may_have_holes() -> None:
    (snap,) = SnapAssembler(Snap).push(signal_batch(snap_rows(0)), np.array([5, 9, 40], np.int64))
    assert snap.seq == 40


@st.composite
def crashing_logs(draw: st.DrawFn) -> list[Row]:
    """A log as a worker writes it that crashes now and then and goes on from an earlier, finished snap."""
    rows: list[Row] = []
    number = 0
    target = draw(st.integers(1, 8))
    levels = [["A", "B", "C"][: draw(st.integers(1, 3))] for _ in range(target)]
    for _ in range(40):
        if number == target:
            break
        snap = snap_rows(number, levels[number])
        if draw(st.booleans()):
            rows += snap
            number += 1
        else:
            rows += snap[: draw(st.integers(0, len(snap)))]
            number = max(0, number - draw(st.integers(0, 2)))
    while number < target:
        rows += snap_rows(number, levels[number])
        number += 1
    return rows


@given(crashing_logs(), st.data())
def test_however_the_log_is_cut_the_snaps_are_the_same(rows: list[Row], data: st.DataObject) -> None:
    whole = push(SnapAssembler(Snap), rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    assembler = SnapAssembler(Snap)
    pieces: list[Snap] = []
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        pieces += push(assembler, rows[start:stop], first_offset=start)
    assert seen(pieces) == seen(whole)
    assert [snap.body for snap in pieces] == [snap.body for snap in whole]
    times = [snap.ts_event_ns for snap in whole]
    assert times == sorted({row["ts_event_ns"] for row in rows})
    assert assembler.incomplete == 0


@pytest.mark.parametrize("copies", [1, 3])
def test_a_body_is_made_once(copies: int) -> None:
    (snap,) = signal_snaps(0)
    bodies = {id(snap.body) for _ in range(copies)}
    assert len(bodies) == 1
