"""The spool's files: order, restarts, torn and damaged frames, room, syncing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import ConflictError, InvariantError
from producers.spool import Frame, Limits, Spool
from producers.spool.frames import SHARED, packed

SMALL = Limits(total_bytes=3_000, segment_bytes=500)


def frame(number: int, size: int = 100) -> Frame:
    return Frame("stocks.trades.v1", number, [bytes([number % 256]) * size, b""])


def fill(spool: Spool, count: int) -> None:
    for _ in range(count):
        spool.append(frame(spool.next_sequence))


def held(spool: Spool) -> list[int]:
    return [found.first_offset for _, found in spool.frames()]


def test_frames_come_back_in_order_and_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL)
    fill(spool, 12)
    found = list(spool.frames())
    assert [sequence for sequence, _ in found] == list(range(12))
    assert [one for _, one in found] == [frame(number) for number in range(12)]
    assert len(list(tmp_path.glob("*.spool"))) > 1


def test_a_restart_finds_what_was_not_acknowledged_and_numbers_go_on(tmp_path: Path) -> None:
    first = Spool(tmp_path, SMALL)
    fill(first, 12)
    first.release(10)
    first.close()
    second = Spool(tmp_path, SMALL)
    assert set(held(second)) >= {10, 11}
    assert second.append(frame(12)) == 12
    assert held(second)[-3:] == [10, 11, 12]


def test_what_is_acknowledged_leaves_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL)
    fill(spool, 12)
    assert spool.size_bytes > 1_000
    spool.release(12)
    assert spool.size_bytes < SMALL.segment_bytes
    spool.close()
    assert not list(tmp_path.glob("*.spool"))


@pytest.mark.parametrize("cut", [1, 4, 8, 30, 150])
def test_a_torn_last_frame_is_cut_off(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path)
    fill(spool, 3)
    spool.close()
    (path,) = tmp_path.glob("*.spool")
    os.truncate(path, path.stat().st_size - cut)
    again = Spool(tmp_path)
    assert held(again) == [0, 1]
    again.append(frame(2))
    assert held(again) == [0, 1, 2]


def test_a_frame_whose_bytes_changed_is_never_handed_out(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    fill(spool, 3)
    (path,) = tmp_path.glob("*.spool")
    content = bytearray(path.read_bytes())
    content[len(packed(0, frame(0))) + 60] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvariantError, match="damaged at byte"):
        held(spool)


def test_damage_that_no_crash_can_make_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL)
    fill(spool, 12)
    spool.close()
    path = sorted(tmp_path.glob("*.spool"))[0]
    os.truncate(path, path.stat().st_size - 5)
    with pytest.raises(InvariantError, match="damaged"):
        Spool(tmp_path, SMALL)


def test_a_full_spool_says_so_until_frames_are_acknowledged(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL)
    while spool.has_room:
        fill(spool, 1)
    assert spool.size_bytes < SMALL.total_bytes + len(packed(0, frame(0)))
    spool.release(spool.next_sequence - 1)
    assert spool.has_room


def test_one_process_at_a_time_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(ConflictError, match="another producer's"):
        Spool(tmp_path)
    spool.close()
    Spool(tmp_path).close()


def test_what_a_killed_process_left_is_synced_when_the_spool_is_opened_again(tmp_path: Path) -> None:
    left = Spool(tmp_path, sync=lambda _: None)
    left.append(frame(0))
    os.close(left._lock)
    sizes: list[int] = []
    again = Spool(tmp_path, sync=lambda handle: sizes.append(os.fstat(handle).st_size))
    assert left.size_bytes in sizes
    assert again.synced_sequence == 1


def test_frames_are_synced_when_they_are_old_or_many_and_not_when_they_leave_at_once(tmp_path: Path) -> None:
    now_s = [0.0]
    synced: list[int] = []
    spool = Spool(tmp_path, Limits(sync_s=0.5, sync_bytes=1_000), lambda: now_s[0], synced.append)
    fill(spool, 1)
    spool.sync_due()
    assert (spool.synced_sequence, synced) == (0, [])
    now_s[0] = 0.6
    spool.sync_due()
    assert spool.synced_sequence == 1
    fill(spool, 10)
    spool.sync_due()
    assert spool.synced_sequence == 11
    calls = len(synced)
    fill(spool, 1)
    spool.release(12)
    now_s[0] = 9.0
    spool.sync_due()
    assert len(synced) == calls


def test_a_place_moves_over_the_ends_of_segments_and_over_deleted_ones(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL)
    fill(spool, 4)
    place = spool.end
    assert spool.read(place) is None
    fill(spool, 8)
    spool.release(4)
    found = []
    while (one := spool.read(place)) is not None:
        found.append(one[0])
    assert found == list(range(4, 12))


def test_a_frame_for_a_shared_topic_has_no_offset(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(Frame("dead_letters.v1", SHARED, [b"x"]))
    assert held(spool) == [SHARED]
