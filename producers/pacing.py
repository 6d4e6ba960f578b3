"""Event time at a multiple of real time: steps are cut so that each record leaves when its time has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from common.config import NS_PER_S
from common.errors import ConfigError
from producers.sequencer import StampedStep

TICK_S = 0.02
"""Least wait: records due within it leave together."""

WAIT_MAX_S = 1.0
"""Longest wait at a stretch, so that time goes on visibly in a quiet market at a low speed."""


def parse_speed(text: str) -> float | None:
    """``max`` is None; else a positive multiple of real time. Raises ConfigError."""
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = -1.0
    if not 0 < speed < float("inf"):
        raise ConfigError(f"speed {text!r} is neither max nor a positive number", hint="Try --speed max or --speed 10.")
    return speed


def paced(
    steps: Iterable[StampedStep],
    speed: float,
    snap_interval_ns: int,
    clock_s: Callable[[], float],
    wait: Callable[[float], bool],
) -> Iterator[StampedStep]:
    """The same records, each not before its time; steps without records carry a promise at every snap boundary.

    The first record's time is now. ``clock_s`` is monotonic; ``wait(seconds)`` waits and says whether to stop, which
    ends the iteration.
    """
    origin_ns: int | None = None
    origin_s = clock_s()
    promised_ns = 0
    watermark_ns = 0
    for step in steps:
        watermark_ns = step.watermark_ns
        times = [batch.columns["ts_effective_ns"].values for batch in step.batches]
        done = [0] * len(times)
        while any(count < len(effective_ns) for count, effective_ns in zip(done, times, strict=True)):
            if origin_ns is None:
                origin_ns = min(int(effective_ns[0]) for effective_ns in times)
            now_ns = origin_ns + round((clock_s() - origin_s) * speed * NS_PER_S)
            batches = []
            next_ns = watermark_ns
            for i, (batch, effective_ns) in enumerate(zip(step.batches, times, strict=True)):
                due = int(np.searchsorted(effective_ns, now_ns, side="right"))
                if due > done[i]:
                    batches.append(batch.slice(done[i], due))
                    done[i] = due
                if due < len(effective_ns):
                    next_ns = min(next_ns, int(effective_ns[due]))
            boundary_ns = now_ns // snap_interval_ns * snap_interval_ns
            promise_ns = max(promised_ns, min(next_ns, boundary_ns))
            if batches or promise_ns > promised_ns:
                promised_ns = promise_ns
                yield StampedStep(tuple(batches), promise_ns)
            due_ns = min(next_ns, boundary_ns + snap_interval_ns)
            if wait(min(max((due_ns - now_ns) / NS_PER_S / speed, TICK_S), WAIT_MAX_S)):
                return
    yield StampedStep((), watermark_ns)
