"""What a replay needs does not grow with the length of the session."""

from __future__ import annotations

from pathlib import Path

from tests.benchmark.bench_engine import MEMORY_TIMES, memory

GROWTH = 0.10


def test_a_session_ten_times_as_long_needs_the_same_memory(tmp_path: Path) -> None:
    found = memory(tmp_path)
    short, long = found["events"]
    assert long == MEMORY_TIMES * short
    assert found["growth"] <= GROWTH, f"peak bytes {found['peak_bytes']} of {short} and {long} events"
