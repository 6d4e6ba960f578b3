"""An hour of commits a second or two apart never holds a hundred files, however large they are and however many sinks.

The schedule and the choice of files are the real ones; files are their sizes. `tests/integration/test_maintenance.py`
does the same, shorter, on a real table.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.maintenance import compaction
from lakehouse.maintenance.schedule import LOOK_S, Schedule

HOUR_S = 3600.0
MOST_FILES = 100
BYTES_PER_S = 1_000_000
"""Into one table at most: 20,000 events a second are about that."""


@dataclass(frozen=True)
class File:
    file_size_in_bytes: int


def most_files(seed: int, sinks: int, every_s: float, spread: float, packing_s: float, each_bytes: int) -> int:
    """The most files that an hour holds at any time; a packing takes a while, and files come meanwhile."""
    rng, schedule = random.Random(seed), Schedule(600.0)
    files: list[File] = []
    most, look_s, now_s = 0, 0.0, 0.0
    removed: list[File] = []
    done_s, packed = 0.0, list[File]()
    commits = sorted(
        (rng.uniform(0, every_s) + n * every_s, sink) for sink in range(sinks) for n in range(int(HOUR_S / every_s))
    )
    for now_s, _ in commits:
        files.append(File(max(1, int(each_bytes * rng.lognormvariate(0, spread)))))
        most = max(most, len(files))
        if removed and now_s >= done_s:
            gone = {id(file) for file in removed}
            files = [file for file in files if id(file) not in gone] + packed
            removed, packed = [], []
            schedule.packed("t", len(files))
        if not removed and now_s >= look_s:
            look_s = now_s + LOOK_S
            if schedule.is_grown("t", len(files)):
                chosen = compaction.choose(files, compaction.TARGET_BYTES, True)
                removed = [file for few in chosen for file in few]
                packed = [File(sum(file.file_size_in_bytes for file in few)) for few in chosen]
                done_s = now_s + packing_s
                if not removed:
                    schedule.packed("t", len(files))
    return most


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sinks=st.integers(1, 3),
    every_s=st.floats(1.0, 2.0),
    spread=st.sampled_from([0.0, 0.5, 1.5]),
    packing_s=st.floats(0.0, 3.0),
    share=st.floats(0.001, 1.0),
)
def test_an_hour_of_commits_holds_less_than_a_hundred_files_at_any_time(
    seed: int, sinks: int, every_s: float, spread: float, packing_s: float, share: float
) -> None:
    each = int(share * BYTES_PER_S * every_s / sinks / 2.718281828 ** (spread**2 / 2))
    assert most_files(seed, sinks, every_s, spread, packing_s, each) < MOST_FILES


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_the_bound_needs_the_looks_between_rounds(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(most_files.__globals__, "LOOK_S", 600.0)
    assert most_files(1, 1, 1.0, 0.5, 1.0, int(share * BYTES_PER_S)) > MOST_FILES
