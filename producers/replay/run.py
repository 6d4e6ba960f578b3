"""A replay from its source to its outputs, paced when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from common.config import NS_PER_S, EngineConfig
from common.recorded import Recorded
from producers.replay.engine import Judged, judge
from producers.replay.follow import Markers, follow
from producers.replay.outputs import Output
from producers.replay.progress import Told
from producers.replay.ranges import Range
from producers.replay.sources import Source
from producers.replay.summary import Summary


def run(
    source: Source,
    config: EngineConfig,
    outputs: Sequence[Output],
    summary: Summary,
    *,
    markers: Markers | None = None,
    speed: float | None = None,
    progress: Told = lambda _records, _until_ns: None,
    clock_s: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Judge the source's records, show what lies in its range and count it in ``summary``.

    ``markers``: apply the source as the run did that wrote them (it must hold that run from its beginning), not as if
    every input had come in time. ``speed``: None as fast as possible, else snaps leave at that multiple of real time
    (the warm-up never waits).

    However it ends, the outputs are finished or abandoned; an error of any of them passes through.
    """
    began_s = clock_s()
    records = 0

    def counted() -> Iterator[Recorded]:
        nonlocal records
        for piece in source.stream:
            yield piece
            records += piece.batch.length

    try:
        if markers is None:
            applied = judge(counted(), config, source.end_ns)
        else:
            applied = follow(counted(), source.ends, markers, source.namespace, config)
        steps = _shown(applied, source.shown, summary)
        if speed is not None:
            steps = _paced(steps, speed, clock_s, wait)
        for judged in steps:
            for output in outputs:
                output.write(judged)
            summary.add(judged)
            progress(records, judged.until_ns)
    except BaseException:
        for output in outputs:
            output.abandon()
        raise
    finally:
        stream: Any = source.stream
        stream.close()
    for output in outputs:
        output.finish()
    summary.elapsed_s = clock_s() - began_s


def _shown(steps: Iterable[Judged], shown: Range, summary: Summary) -> Iterator[Judged]:
    """Only rows in the range; ends when it does, also where the input does not."""
    for judged in steps:
        summary.events.update(judged.events)
        yield judged.within(shown)
        if judged.until_ns >= shown.until_ns:
            return


def _paced(
    steps: Iterable[Judged], speed: float, clock_s: Callable[[], float], wait: Callable[[float], object]
) -> Iterator[Judged]:
    """Each snap not before its time, at that multiple of real time; the first one at once."""
    origin: tuple[float, int] | None = None
    for judged in steps:
        times = np.unique(judged.features["ts_event_ns"]).tolist()
        for ts_ns in times:
            origin = origin or (clock_s(), ts_ns)
            late_s = origin[0] + (ts_ns - origin[1]) / NS_PER_S / speed - clock_s()
            if late_s > 0:
                wait(late_s)
            snap = judged.within(Range(ts_ns, ts_ns + 1))
            yield Judged(snap.rows, judged.events, ts_ns + 1)
        if not times:
            yield judged
