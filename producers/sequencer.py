"""The order of a source's records and the time at which each applies (DESIGN 4.1).

A record is due at the greatest ``ts_event_ns`` of its topic in its own file up to and with it, plus the topic's
lateness, so that a file's order is never changed. Records of several files are merged by (due time, trades before book,
file order). ``ts_effective_ns`` is the greater of the due time and the floor, the last promise before this input; so it
never decreases within a topic, and a promise made for the next record's time never moves a later record. Promises are
about effective times: one number holds for all topics, however late each of them is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.columns import Batch, Column, concat
from common.errors import InputError
from common.topics import (
    FUTURES_DEFINITIONS,
    FUTURES_MBP10,
    FUTURES_STATUS,
    FUTURES_TRADES,
    OPTIONS_GREEKS,
    OPTIONS_QUOTES,
    OPTIONS_TRADES,
    STOCKS_QUOTES,
    STOCKS_TRADES,
)

_RANKED = (
    FUTURES_DEFINITIONS,
    FUTURES_STATUS,
    FUTURES_TRADES,
    FUTURES_MBP10,
    STOCKS_TRADES,
    STOCKS_QUOTES,
    OPTIONS_TRADES,
    OPTIONS_QUOTES,
    OPTIONS_GREEKS,
)
TOPIC_RANK = {topic: rank for rank, topic in enumerate(_RANKED)}
"""Contracts and halts come first, trades before the book changes and quotes that they cause."""


class Reader(Protocol):
    """A finite source of batches of one topic, in its own order; ``read`` raises InputError at damage.

    ``begin_ns``: no record is due before it, however old the event is that it tells of (0: there is no such time).
    """

    topic: str
    name: str
    begin_ns: int

    def read(self, count: int) -> Batch | None:
        """The next ``count`` records at most, None at the end."""


@dataclass(frozen=True, slots=True)
class Times:
    """What stamps and promises follow, in ns: ``lateness_ns`` by topic, ``floor_ns`` the last promise made before this
    input.
    """

    lateness_ns: Mapping[str, int]
    snap_interval_ns: int
    floor_ns: int = 0

    def end_ns(self, last_effective_ns: int) -> int:
        """The promise after the last record: just past the snap that still counts it, so that this snap is released."""
        snaps = -(-last_effective_ns // self.snap_interval_ns)
        return snaps * self.snap_interval_ns + 1


@dataclass(frozen=True, slots=True)
class StampedStep:
    """The next records of the merged source: at most one batch per topic, each in its partition's order.

    ``watermark_ns``: no later record of any topic has a smaller effective time.
    """

    batches: tuple[Batch, ...]
    watermark_ns: int


class _Head:
    """One reader and the records of it that are known but not yet merged."""

    def __init__(self, reader: Reader, lateness_ns: int) -> None:
        self.reader = reader
        self.batch: Batch | None = None
        self.due_ns: NDArray[np.int64] = np.zeros(0, np.int64)
        self.damage: InputError | None = None
        self._lateness_ns = lateness_ns
        self._bound_ns = reader.begin_ns

    @property
    def next_due_ns(self) -> int:
        """When the next record is due, or a bound of it where the next record is damaged."""
        return self._bound_ns if self.batch is None else int(self.due_ns[0])

    @property
    def last_due_ns(self) -> int:
        return int(self.due_ns[-1])

    def load(self, count: int) -> None:
        """Replace the merged chunk by the next one."""
        try:
            self.batch = self.reader.read(count)
        except InputError as error:
            self.batch, self.damage = None, error
        if self.batch is not None:
            due_ns = self.batch.columns["ts_event_ns"].values.astype(np.int64) + self._lateness_ns
            due_ns[0] = max(int(due_ns[0]), self._bound_ns)
            self.due_ns = np.maximum.accumulate(due_ns)
            self._bound_ns = self.last_due_ns

    def take(self, count: int) -> tuple[Batch, NDArray[np.int64]]:
        """Remove the next ``count`` records: their batch and due times."""
        assert self.batch is not None
        taken = self.batch.slice(0, count), self.due_ns[:count]
        self.batch, self.due_ns = self.batch.slice(count, self.batch.length), self.due_ns[count:]
        return taken


def sequence(readers: Sequence[Reader], times: Times, chunk_records: int) -> Iterator[StampedStep]:
    """Merge the readers and stamp every record; however large the chunks are, the records and stamps are the same.

    Raises InputError of a damaged reader after every record that certainly comes before the damage.
    """
    heads = [_Head(reader, times.lateness_ns[reader.topic]) for reader in readers]
    for head in heads:
        head.load(1)
        if head.damage is not None:
            raise head.damage
    heads = [head for head in heads if head.batch is not None]
    heads.sort(key=lambda head: (TOPIC_RANK[head.reader.topic], head.next_due_ns, head.reader.name))
    while heads:
        order, limit = min(enumerate(heads), key=lambda item: (item[1].last_due_ns, item[0]))
        limit_ns = limit.last_due_ns
        taken: dict[str, list[tuple[Batch, NDArray[np.int64]]]] = {}
        for position, head in enumerate(heads):
            count = int(np.searchsorted(head.due_ns, limit_ns, side="right" if position <= order else "left"))
            if count:
                taken.setdefault(head.reader.topic, []).append(head.take(count))
        limit.load(chunk_records)
        if limit.batch is None and limit.damage is None:
            heads.remove(limit)
        batches = tuple(_stamped(parts, times) for _, parts in sorted(taken.items()))
        yield StampedStep(batches, _promise(heads, batches, times))
        if limit.damage is not None:
            raise limit.damage


def _stamped(parts: list[tuple[Batch, NDArray[np.int64]]], times: Times) -> Batch:
    """One topic's records of a step in the order they are due, files in their order where that is equal."""
    batch = concat([batch for batch, _ in parts])
    due_ns = np.concatenate([due for _, due in parts])
    if len(parts) > 1:
        order = np.argsort(due_ns, kind="stable")
        batch, due_ns = batch.take(order), due_ns[order]
    effective_ns = np.maximum(due_ns, times.floor_ns)
    wished_ns = batch.columns["ts_event_ns"].values.astype(np.int64) + times.lateness_ns[batch.name]
    columns = {**batch.columns, "ts_effective_ns": Column(effective_ns), "is_late": Column(effective_ns > wished_ns)}
    return Batch(batch.name, batch.length, columns)


def _promise(heads: list[_Head], batches: tuple[Batch, ...], times: Times) -> int:
    if heads:
        return max(min(head.next_due_ns for head in heads), times.floor_ns)
    return times.end_ns(max(int(batch["ts_effective_ns"][-1]) for batch in batches))
