"""The ring of recent snaps."""

from __future__ import annotations

import pytest

from api.live import LiveSignals, Mark
from tests.support.signal_rows import signal_snaps, snap_ns


def ring(size: int, snaps: int, *, from_log_begin: bool = True) -> LiveSignals:
    live = LiveSignals(size)
    live.start(from_log_begin=from_log_begin)
    for snap in signal_snaps(*range(snaps)):
        live.append([snap])
    return live


@pytest.mark.parametrize("snaps", [1, 3, 4, 5, 8, 9, 30])
def test_the_newest_snaps_are_kept(snaps: int) -> None:
    kept, from_begin = ring(4, snaps).all()
    assert [snap.ts_event_ns for snap in kept] == [snap_ns(n) for n in range(max(0, snaps - 4), snaps)]
    assert from_begin == (snaps <= 4)


def test_a_reader_sees_every_snap_in_turn() -> None:
    live = ring(10, 7)
    mark, _ = live.mark_after(2)
    assert mark is not None
    seqs = []
    while (ahead := live.ahead(mark)).next is not None:
        seqs.append(ahead.next.seq)
        mark = Mark(mark.epoch, mark.index + 1)
    assert seqs == [5, 8, 11, 14, 17, 20]
    assert ahead.behind == 0
    assert not ahead.lost


def test_a_reader_that_fell_off_the_ring_is_told() -> None:
    live = ring(4, 4)
    mark, _ = live.mark_after(2)
    assert mark is not None
    live.append(signal_snaps(*range(4, 12), first_offset=12))
    ahead = live.ahead(mark)
    assert ahead.lost
    assert ahead.next is None
    assert ahead.behind == 11
    assert ahead.newest is not None


def test_a_replaced_log_loses_every_reader() -> None:
    live = ring(4, 4)
    mark, _ = live.mark_after(11)
    assert mark is not None
    live.start(from_log_begin=True)
    assert live.latest is None
    assert live.ahead(mark).lost
    live.append(signal_snaps(0, 1))
    assert live.ahead(mark).lost


@pytest.mark.parametrize(
    ("since", "first"),
    [(20, 23), (21, 23), (23, 26), (26, None), (19, 20), (17, 20)],
)
def test_resuming_gives_what_comes_after(since: int, first: int | None) -> None:
    live = ring(3, 9)  # kept: 20, 23, 26
    mark, reason = live.mark_after(since)
    assert mark is not None, reason
    following = live.ahead(mark).next
    assert (None if following is None else following.seq) == first


@pytest.mark.parametrize(("since", "says"), [(16, "too old"), (0, "too old"), (27, "beyond")])
def test_resuming_where_something_is_missing_is_refused(since: int, says: str) -> None:
    mark, reason = ring(3, 9).mark_after(since)
    assert mark is None
    assert says in reason
    assert str(since) in reason


def test_at_the_logs_beginning_nothing_is_too_old() -> None:
    mark, _ = ring(10, 3).mark_after(0)
    assert mark is not None
    mark, reason = ring(10, 3, from_log_begin=False).mark_after(0)
    assert mark is None
    assert "too old" in reason


def test_listeners_hear_of_every_change_until_they_leave() -> None:
    live = LiveSignals(4)
    heard: list[int] = []
    leave = live.listen(lambda: heard.append(len(live.all()[0])))
    live.append(signal_snaps(0, 1))
    live.append([])
    live.start(from_log_begin=True)
    leave()
    live.append(signal_snaps(2))
    assert heard == [2, 0]
