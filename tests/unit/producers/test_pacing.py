"""Steps at a multiple of real time, on a clock made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from common.columns import Batch, Column
from common.config import NS_PER_S
from common.errors import ConfigError
from common.topics import FUTURES_MBP10, FUTURES_TRADES
from producers.pacing import paced, parse_speed
from producers.sequencer import StampedStep

SNAP_NS = NS_PER_S // 4
START_NS = 1_000 * NS_PER_S


class Clock:
    """Time passes only by waiting."""

    def __init__(self, stop_at_s: float = float("inf")) -> None:
        self.now_s = 50.0
        self.stop_at_s = stop_at_s

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        assert seconds > 0
        self.now_s += seconds
        return self.now_s >= self.stop_at_s


def batch(topic: str, seconds: Sequence[float]) -> Batch:
    times = START_NS + np.array([round(s * NS_PER_S) for s in seconds], np.int64)
    return Batch(topic, len(times), {"ts_effective_ns": Column(times)})


STEPS = [
    StampedStep((batch(FUTURES_MBP10, [0, 0.1, 0.9]), batch(FUTURES_TRADES, [0.1, 0.5])), START_NS + NS_PER_S),
    StampedStep((batch(FUTURES_MBP10, [1.0, 3.0]),), START_NS + 4 * NS_PER_S + 1),
]


def run(speed: float, clock: Clock) -> list[tuple[float, StampedStep]]:
    """Each piece and the wall time, from the start, at which it left."""
    return [(clock.now_s - 50.0, step) for step in paced(STEPS, speed, SNAP_NS, clock, clock.wait)]


@pytest.mark.parametrize("speed", [0.5, 1.0, 10.0])
def test_a_record_leaves_when_its_time_has_come_and_not_much_later(speed: float) -> None:
    left: dict[tuple[str, int], float] = {}
    for wall_s, step in run(speed, Clock()):
        for part in step.batches:
            for ns in part["ts_effective_ns"].tolist():
                left[part.name, ns] = wall_s
    assert len(left) == 7
    for (_, ns), wall_s in left.items():
        due_s = (ns - START_NS) / NS_PER_S / speed
        assert due_s - 1e-6 <= wall_s <= due_s + 0.021


def test_in_a_pause_every_snap_boundary_is_promised_when_it_has_passed() -> None:
    promises = [(wall_s, step.watermark_ns) for wall_s, step in run(1.0, Clock()) if 1.0 < wall_s < 3.0]
    assert [(watermark_ns - START_NS) // SNAP_NS for _, watermark_ns in promises] == [5, 6, 7, 8, 9, 10, 11]
    for wall_s, watermark_ns in promises:
        assert wall_s >= (watermark_ns - START_NS) / NS_PER_S - 1e-6


def test_promises_never_fall_and_nothing_older_follows_one() -> None:
    pieces = [step for _, step in run(7.0, Clock())]
    assert pieces[-1] == StampedStep((), STEPS[-1].watermark_ns)
    for at, step in enumerate(pieces):
        for later in pieces[at + 1 :]:
            assert later.watermark_ns >= step.watermark_ns
            assert all(part["ts_effective_ns"][0] >= step.watermark_ns for part in later.batches)


def test_a_stop_ends_the_pieces_at_once() -> None:
    pieces = run(1.0, Clock(stop_at_s=50.3))
    assert sum(part.length for _, step in pieces for part in step.batches) == 3


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("1", 1.0), ("0.5", 0.5), ("60x", 60.0)])
def test_a_speed_is_max_or_a_multiple(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["0", "-1", "fast", "inf", "nan", ""])
def test_any_other_speed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="neither max nor a positive number"):
        parse_speed(text)
