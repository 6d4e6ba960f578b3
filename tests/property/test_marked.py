"""Following the markers of a live run gives the events of the live run, however records arrive the second time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from common import topics
from processors.engine.marked import Follower, Marker, condensed
from processors.engine.order import Merger
from tests.support.merge_run import Applied, LiveRun, applied, push, random_inputs

NAMES = (topics.FUTURES_MBP10, topics.FUTURES_TRADES, topics.STOCKS_QUOTES, topics.OPTIONS_TRADES, topics.REQUESTS)
RUNS = 1_500
GROUPS = 10


def live_run(seed: int) -> LiveRun:
    rng = random.Random(seed)
    names = NAMES if seed % 3 else topics.ENGINE_INPUTS
    run = LiveRun(rng, random_inputs(rng, names))
    run.turns(rng.randint(10, 60))
    return run


def followed(run: LiveRun, markers: Iterable[Marker], rng: random.Random) -> tuple[list[Applied], list[Marker]]:
    merger = Merger(list(run.records))
    follower = Follower(merger, markers)
    left = {name: list(rows) for name, rows in run.records.items()}
    got: list[Applied] = []
    done: list[Marker] = []
    while not follower.done:
        limit_ns = None if rng.random() < 0.5 else max(merger.floor_ns, 95) + rng.randint(1, 12)
        part = follower.pop(limit_ns)
        if part is not None:
            got += applied(part.events)
            done += [] if part.marker is None else [part.marker]
            continue
        ready = [name for name, rows in left.items() if rows]
        if not ready:
            follower.finish()
            raise AssertionError("neither records nor markers are left, and it does not end")
        name = rng.choice(ready)
        count = rng.randint(1, 8)
        push(merger, name, left[name][:count])
        left[name] = left[name][count:]
    assert merger.set_aside == run.merger.set_aside
    assert merger.next_offsets == run.merger.next_offsets
    return got, done


@pytest.mark.parametrize("group", range(GROUPS))
def test_following_the_markers_repeats_the_live_run(group: int, seeds: Callable[[int], int]) -> None:
    late = 0
    for seed in range(group, seeds(RUNS), GROUPS):
        run = live_run(seed)
        late += run.late
        got, done = followed(run, run.markers, random.Random(seed + 1))
        assert (got, done) == (run.applied, run.markers), f"seed {seed}"
        got, _ = followed(run, condensed(run.markers), random.Random(seed + 2))
        assert got == run.applied, f"seed {seed}, condensed"
    assert late > 10, "too few records came late to prove anything"
