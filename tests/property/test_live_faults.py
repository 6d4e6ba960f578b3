"""Live producers through seeded schedules of faults, in simulated time: everything sent arrives once and in order, or
is a dead letter, or lies in a gap that the log names.

``--seeds N`` runs N schedules of each vendor's kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.live import metrics
from tests.support.live_vendor import REORDER_NS, Sent
from tests.support.live_world import World

SCHEDULES = 50
"""Of each kind of vendor."""


def _counted(world: World) -> tuple[float, float]:
    """Records received and dropped as duplicates, by the metrics."""
    topics = world.vendor.topics
    return tuple(  # type: ignore[return-value]
        sum(metric.labels(topic)._value.get() for topic in topics) for metric in (metrics.RECEIVED, metrics.DUPLICATES)
    )


def _lost_in_a_gap(world: World, item: Sent, gaps: list[tuple[str, int, int]]) -> bool:
    return any(topic == item.topic and begin <= item.ts_ns <= end for topic, begin, end in gaps)


def check(world: World, dropped: float) -> int:
    """Everything that must hold of what a reader finds; returns how many records were lost in gaps."""
    known = world.vendor.ids()
    gaps = [
        (beat["topic"], beat["gap_begin_ns"], beat["gap_end_ns"])
        for beat in world.beats()
        if beat["gap_begin_ns"] is not None
    ]
    lost = 0
    for topic in world.vendor.topics:
        rows = world.stored(topic)
        ids = [(topic, row["event_id"]) for row in rows]
        there = set(ids)
        assert len(there) == len(ids), "a record stands in the log twice"
        assert all(key in known for key in ids), "a record that nobody sent"
        wire = {key: place for place, key in enumerate(known)}
        places = [wire[key] for key in ids]
        assert places == sorted(places), "records changed their order"
        missing = [item for key, item in known.items() if key[0] == topic and key not in there]
        lost += len(missing)
        assert not (missing and world.vendor.replays), "a record was lost although the vendor replays"
        carried = [(row["gap_begin_ns"], row["ts_event_ns"]) for row in rows if row["gap_begin_ns"] is not None]
        last_ns = max((row["ts_event_ns"] for row in rows), default=0)
        for item in missing:
            assert _lost_in_a_gap(world, item, gaps), f"{item} is neither there nor in a gap of {gaps}"
            marked = any(begin <= item.ts_ns <= event_ns + REORDER_NS for begin, event_ns in carried)
            assert marked or item.ts_ns >= last_ns - REORDER_NS, "no record carries the gap before it"
        effective = [row["ts_effective_ns"] for row in rows]
        assert effective == sorted(effective)
        for beat in world.beats():
            if beat["topic"] == topic:
                following = effective[beat["next_offset"] :]
                assert not following or following[0] >= beat["ts_watermark_ns"], "a promise was broken"
        assert {begin for begin, _ in carried} <= {begin for name, begin, _ in world.vendor.gaps if name == topic}
    assert set(gaps) <= world.vendor.gaps, "a gap that the feed did not say"
    assert world.deaths or set(gaps) == world.vendor.gaps, "a gap was not told"
    assert world.unwritten() == [], "a record that was in the spool is lost"
    dead = Counter(world.dead())
    sent_bad = [item for item in world.vendor.sent if item.bad]
    assert set(dead.values()) <= {1}, "a dead letter was written twice"
    assert set(dead) <= {item.place for item in sent_bad}
    bad_lost = [item for item in sent_bad if item.place not in dead]
    assert not (bad_lost and world.vendor.replays), "a bad message left no trace although the vendor replays"
    for item in bad_lost:
        assert _lost_in_a_gap(world, item, gaps), f"{item} left no trace"
    stored = sum(len(world.stored(topic)) for topic in world.vendor.topics)
    assert len(world.vendor.sent) == stored + len(dead) + lost + len(bad_lost)
    if world.deaths == 0:
        assert world.received == stored + len(dead) + dropped
    return lost


@pytest.mark.parametrize("replays", [True, False], ids=["replaying vendor", "vendor without replay"])
def test_what_was_sent_is_stored_once_or_dead_or_lost_in_a_gap(
    tmp_path: Path, replays: bool, seeds: Callable[[int], int]
) -> None:
    lost = dead = deaths = full = 0
    for seed in range(seeds(SCHEDULES)):
        before = _counted(World(seed, tmp_path, replays=replays))
        world = World(seed, tmp_path / str(seed), replays=replays, spool_bytes=(6_000, 1 << 20)[seed % 2])
        try:
            world.run()
            received, dropped = _counted(world)
            # Who dies while it takes has not counted everything.
            assert world.deaths or received - before[0] == world.received
            lost += check(world, dropped - before[1])
        except BaseException as error:
            error.add_note(f"seed {seed}, replays {replays}")
            raise
        dead += len(world.dead())
        deaths += world.deaths
        full += world.was_full
    if seeds(SCHEDULES) >= SCHEDULES:
        # The schedules did meet what they are about.
        assert dead > 0
        assert deaths > 10
        assert full > 3
        assert (lost > 0) is not replays
