"""The engine over a stream of recorded input: events in, rows of whole snaps out, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from common import schemas, topics
from common.columns import Batch, to_arrow
from common.config import EngineConfig
from common.recorded import END_NS, Recorded
from common.sessions import cme_es_sessions
from processors.engine import features, signals
from processors.engine.order import KINDS, NO_PROMISE_NS, Events, Merger
from producers.replay.files import engine_batches
from producers.replay.ranges import Range
from producers.stream import StampedStep

INPUTS = tuple(topic for topic in topics.ENGINE_INPUTS if topic in KINDS)
"""What the engine reads of a complex, in rank order."""

STEP_SNAPS = 1_000
"""Snaps that one step releases at most."""

QUIET_STEP_SNAPS = 512 * STEP_SNAPS
"""The same while nothing happens: between sessions that lie years apart a short step costs more than its snaps."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one step gave, in the order of time; ``until_ns``: everything before it has been decided.

    ``rows``: by topic (without the namespace) rows of levels.features.v1, levels.signals.v1, levels.outcomes.v1 and
    options.flow.v1. ``events``: records applied, by topic.
    """

    rows: dict[str, Batch]
    events: Counter[str]
    until_ns: int

    @property
    def features(self) -> Batch:
        """Rows of levels.features.v1."""
        return self.rows[topics.FEATURES]

    @property
    def signals(self) -> Batch:
        """Rows of levels.signals.v1."""
        return self.rows[topics.SIGNALS]

    def within(self, shown: Range) -> Judged:
        """The rows of snaps in the range."""
        return Judged({name: _cut(batch, shown) for name, batch in self.rows.items()}, self.events, self.until_ns)


def _cut(batch: Batch, shown: Range) -> Batch:
    times = batch["ts_event_ns"].astype(np.int64, copy=False)
    first, last = np.searchsorted(times, [shown.from_ns, shown.until_ns]).tolist()
    return batch if (first, last) == (0, batch.length) else batch.slice(first, last)


def table_of(batch: Batch) -> pa.Table:
    """Rows as Arrow, with the columns of their schema."""
    record = schemas.load(batch.name)
    return pa.Table.from_batches([to_arrow(batch, record.arrow, record.symbols)])


class Engine:
    """Both stages with their state: fresh, then moved on by every `step`."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._features = features.initial_state(config, cme_es_sessions())
        self._signals = signals.initial_state()
        self._step_snaps = STEP_SNAPS
        self.until_ns = NO_PROMISE_NS

    def step(self, events: Events) -> Judged:
        """Apply the events and decide every snap before their ``until_ns``."""
        self.until_ns = events.until_ns
        rows = features.step(self._features, events, events.until_ns)
        is_quiet = len(events) == 0 and rows.features.length == 0
        self._step_snaps = min(2 * self._step_snaps, QUIET_STEP_SNAPS) if is_quiet else STEP_SNAPS
        out = {
            topics.FEATURES: rows.features,
            topics.SIGNALS: signals.step(self._config, self._signals, rows.features),
            topics.OUTCOMES: rows.outcomes,
            topics.OPTIONS_FLOW: rows.flow,
        }
        return Judged(out, Counter({name: batch.length for name, batch in events.batches.items()}), self.until_ns)

    def limit_ns(self, merger: Merger) -> int | None:
        """As far as the next step may go; None while no event has been seen.

        That is `STEP_SNAPS`, and more after steps without events and rows, but then not beyond the next event.
        """
        interval_ns = self._config.snap_interval_ns
        start_ns = self.until_ns
        # Before the first record nothing is decided, however far from it the promises begin.
        if start_ns <= 0:
            first_ns = merger.first_effective_ns
            if first_ns is None:
                return None
            start_ns = first_ns
        limit_ns = (start_ns // interval_ns + self._step_snaps) * interval_ns + 1
        first_ns = merger.first_effective_ns
        if self._step_snaps == STEP_SNAPS or first_ns is None:
            return limit_ns
        return min(limit_ns, max(first_ns, (start_ns // interval_ns + STEP_SNAPS) * interval_ns + 1))


def judge(stream: Iterable[Recorded], config: EngineConfig, end_ns: int | None = None) -> Iterator[Judged]:
    """Apply the stream to a fresh engine.

    Nothing is awaited and nothing set aside: an input that has ended promises everything. ``end_ns``: how far the last
    piece may release snaps; None is just past the snap that still counts the last record.
    """
    merger = Merger(INPUTS)
    engine = Engine(config)
    interval_ns = config.snap_interval_ns
    last_ns = 0
    for piece in stream:
        if piece.batch.length:
            merger.push(piece.topic, piece.batch, piece.offsets)
            if piece.topic not in topics.KEPT:
                last_ns = max(last_ns, int(piece.batch["ts_effective_ns"][-1]))
        promise_ns = piece.watermark_ns
        if promise_ns == END_NS:
            promise_ns = -(-last_ns // interval_ns) * interval_ns + 1 if end_ns is None else end_ns
        for topic in INPUTS:
            merger.promise(topic, merger.position(topic), promise_ns)
        while merger.until_ns > engine.until_ns:
            yield engine.step(merger.pop(engine.limit_ns(merger)))


def from_steps(steps: Iterable[StampedStep]) -> Iterator[Recorded]:
    """Stamped batches as recorded input; each topic's records get consecutive offsets, as in a fresh log."""
    offsets: Counter[str] = Counter()
    watermark_ns = NO_PROMISE_NS
    for step in steps:
        for number, batch in enumerate(step.batches, start=1):
            first = offsets[batch.name]
            offsets[batch.name] += batch.length
            # The step's promise holds for what follows all of its batches.
            if number == len(step.batches):
                watermark_ns = step.watermark_ns
            yield Recorded(batch.name, batch, np.arange(first, first + batch.length, dtype=np.int64), watermark_ns)


def replay(steps: Iterable[StampedStep], config: EngineConfig) -> Iterator[Judged]:
    """The rows of all steps, as a live run over the same records publishes them."""
    return judge(from_steps(steps), config)


def signal_tables(paths: Sequence[Path], config: EngineConfig) -> Iterator[pa.Table]:
    """The signals of files as Arrow, step by step, in the order of the digest."""
    for judged in replay(engine_batches(paths, config), config):
        yield table_of(judged.signals)
