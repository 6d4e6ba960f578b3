"""A live run of the merge without a log: random deliveries, decisions and crashes, and the markers that it leaves.

It keeps the rules of :mod:`processors.engine.marked`, as the features worker does, so that following its markers can be
compared with what it did.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from common import topics
from processors.engine.marked import Marker
from processors.engine.order import KINDS, NO_PROMISE_NS, Events, Merger
from tests.support.event_batches import event_batch

TOPIC_OF_KIND = {kind: topic for topic, kind in KINDS.items()}

Applied = tuple[str, int, int]
"""Topic, offset, and the effective time at which the record was applied."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an input; its offset is its event id too."""

    offset: int
    effective_ns: int
    event_ns: int
    seq: int | None


def random_inputs(rng: random.Random, names: tuple[str, ...], records: int = 12) -> dict[str, list[Record]]:
    """For each input records in partition order, with ties, gaps in the offsets and late event times."""
    out: dict[str, list[Record]] = {}
    for name in names:
        effective_ns, offset = 100, -1
        rows = []
        for _ in range(rng.randint(0, records)):
            effective_ns += rng.choice((0, 0, 1, 2, 9))
            offset += rng.choice((1, 1, 1, 3))
            rows.append(Record(offset, effective_ns, effective_ns - rng.choice((0, 0, 4)), rng.choice((None, 1, 2))))
        out[name] = rows
    return out


def push(merger: Merger, name: str, records: list[Record]) -> None:
    """Push the records of one input as one batch."""
    batch = event_batch(
        name,
        [r.effective_ns for r in records],
        [r.event_ns for r in records],
        [r.seq for r in records],
        [r.offset for r in records],
    )
    merger.push(name, batch, np.array([r.offset for r in records], np.int64))


def applied(events: Events) -> list[Applied]:
    """What the events are, in their order."""
    out = []
    for kind, index in zip(events.kind.tolist(), events.index.tolist(), strict=True):
        batch = events.batches[TOPIC_OF_KIND[kind]]
        out.append((batch.name, int(batch["event_id"][index]), int(batch["ts_effective_ns"][index])))
    return out


@dataclass
class LiveRun:
    """``records`` of each input arrive and are merged; ``applied`` is what the committed markers cover, in order."""

    rng: random.Random
    records: dict[str, list[Record]]
    applied: list[Applied] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)
    late: int = 0

    def __post_init__(self) -> None:
        self._start(Merger(list(self.records)))

    def _start(self, merger: Merger) -> None:
        self.merger = merger
        self._left = {
            name: [r for r in rows if r.offset >= merger.position(name)] for name, rows in self.records.items()
        }
        self._uncommitted: list[Applied] = []
        self._marked = merger.set_aside

    def turns(self, count: int) -> None:
        """Random turns, then everything that is left, so that the last marker covers all."""
        for _ in range(count):
            actions = (self._deliver, self._es_goes_on, self._promise, self._step, self._step, self._decide)
            self.rng.choice(actions)()
            if self.rng.random() < 0.06:
                self._crash()
        while any(self._left.values()):
            self._deliver()
        for name, rows in self.records.items():
            end = rows[-1].offset + 1 if rows else 0
            self.merger.promise(name, end, 10_000)
        self._step(whole=True)
        self._mark(self.merger.floor_ns)

    def _deliver(self) -> None:
        name = self.rng.choice(list(self._left))
        count = self.rng.randint(1, 6)
        part, self._left[name] = self._left[name][:count], self._left[name][count:]
        if part:
            push(self.merger, name, part)

    def _promise(self) -> None:
        name = self.rng.choice(list(self._left))
        left = self._left[name]
        before = max(self.merger.promises_ns[name], 90)
        self.merger.promise(
            name, self.merger.position(name), self.rng.randint(before, left[0].effective_ns if left else before + 20)
        )

    def _es_goes_on(self) -> None:
        for name in topics.ALWAYS_AWAITED:
            part, self._left[name] = self._left[name][:2], self._left[name][2:]
            if part:
                push(self.merger, name, part)
            else:
                self.merger.promise(name, self.merger.position(name), self.merger.promises_ns[name] + 5)

    def _decide(self) -> None:
        for name in self.records:
            if name not in topics.ALWAYS_AWAITED and self.rng.random() < 0.7:
                self.merger.put_aside(name)

    def _step(self, whole: bool = False) -> None:
        from_ns = self.merger.floor_ns
        limit_ns = None if whole or self.rng.random() < 0.5 else max(from_ns, 95) + self.rng.randint(1, 12)
        if self.merger.until_ns <= from_ns:
            return
        events = self.merger.pop(limit_ns)
        self.late += events.late
        self._uncommitted += applied(events)
        changed = self.merger.set_aside != self._marked
        if events.aside or changed or self.rng.random() < 0.3:
            self._mark(from_ns)

    def _mark(self, from_ns: int) -> None:
        self.markers.append(Marker(from_ns, self.merger.floor_ns, self.merger.next_offsets, self.merger.set_aside))
        self.applied += self._uncommitted
        self._uncommitted = []
        self._marked = self.merger.set_aside

    def _crash(self) -> None:
        """What no marker covers is lost; go on where the last marker stands."""
        if not self.markers:
            self._start(Merger(list(self.records)))
            return
        last = self.markers[-1]
        promises_ns = {name: NO_PROMISE_NS if name in last.set_aside else last.until_ns for name in self.records}
        self._start(Merger(list(self.records), last.next_offsets, promises_ns, last.set_aside, last.until_ns))
