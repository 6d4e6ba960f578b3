"""The order of a source's records and the time at which each applies (DESIGN 4.1).

A record's key is the greatest ``ts_event_ns`` of its own file up to and with it, so that a file's order is never
changed. Records of several files are merged by (key, trades before book, file order). ``ts_effective_ns`` is the
greatest of the key plus the lateness and the floor, the last promise before this input; so it never decreases within a
topic, and a promise made for the next record's time never moves a later record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.columns import Batch, Column, concat
from common.errors import InputError
from common.topics import FUTURES_MBP10, FUTURES_TRADES

TOPIC_RANK = {FUTURES_TRADES: 0, FUTURES_MBP10: 1}
"""Trades come before the book changes that they cause."""


class Reader(Protocol):
    """A finite source of batches of one topic, in its own order; ``read`` raises InputError at damage."""

    topic: str
    name: str

    def read(self, count: int) -> Batch | None:
        """The next ``count`` records at most, None at the end."""


@dataclass(frozen=True, slots=True)
class Times:
    """What stamps and promises follow: all in ns. ``floor_ns`` is the last promise made before this input."""

    lateness_ns: int
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

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.batch: Batch | None = None
        self.keys: NDArray[np.int64] = np.zeros(0, np.int64)
        self.damage: InputError | None = None
        self._last_key_ns = 0

    @property
    def next_key_ns(self) -> int:
        """Key of the next record, or a bound of it where the next record is damaged."""
        return self._last_key_ns if self.batch is None else int(self.keys[0])

    @property
    def last_key_ns(self) -> int:
        return int(self.keys[-1])

    def load(self, count: int) -> None:
        """Replace the merged chunk by the next one."""
        try:
            self.batch = self.reader.read(count)
        except InputError as error:
            self.batch, self.damage = None, error
        if self.batch is not None:
            ts_event_ns = self.batch.columns["ts_event_ns"].values.astype(np.int64, copy=True)
            ts_event_ns[0] = max(int(ts_event_ns[0]), self._last_key_ns)
            self.keys = np.maximum.accumulate(ts_event_ns)
            self._last_key_ns = self.last_key_ns

    def take(self, count: int) -> tuple[Batch, NDArray[np.int64]]:
        """Remove the next ``count`` records: their batch and keys."""
        assert self.batch is not None
        taken = self.batch.slice(0, count), self.keys[:count]
        self.batch, self.keys = self.batch.slice(count, self.batch.length), self.keys[count:]
        return taken


def sequence(readers: Sequence[Reader], times: Times, chunk_records: int) -> Iterator[StampedStep]:
    """Merge the readers and stamp every record; however large the chunks are, the records and stamps are the same.

    Raises InputError of a damaged reader after every record that certainly comes before the damage.
    """
    heads = [_Head(reader) for reader in readers]
    for head in heads:
        head.load(1)
        if head.damage is not None:
            raise head.damage
    heads = [head for head in heads if head.batch is not None]
    heads.sort(key=lambda head: (TOPIC_RANK[head.reader.topic], head.next_key_ns, head.reader.name))
    while heads:
        order, limit = min(enumerate(heads), key=lambda item: (item[1].last_key_ns, item[0]))
        limit_ns = limit.last_key_ns
        taken: dict[str, list[tuple[Batch, NDArray[np.int64]]]] = {}
        for position, head in enumerate(heads):
            count = int(np.searchsorted(head.keys, limit_ns, side="right" if position <= order else "left"))
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
    """One topic's records of a step in key order, files in their order where keys are equal, with effective times."""
    batch = concat([batch for batch, _ in parts])
    keys = np.concatenate([keys for _, keys in parts])
    if len(parts) > 1:
        order = np.argsort(keys, kind="stable")
        batch, keys = batch.take(order), keys[order]
    effective_ns = np.maximum(keys + times.lateness_ns, times.floor_ns)
    due_ns = batch.columns["ts_event_ns"].values.astype(np.int64) + times.lateness_ns
    columns = {**batch.columns, "ts_effective_ns": Column(effective_ns), "is_late": Column(effective_ns > due_ns)}
    return Batch(batch.name, batch.length, columns)


def _promise(heads: list[_Head], batches: tuple[Batch, ...], times: Times) -> int:
    if heads:
        return max(min(head.next_key_ns for head in heads) + times.lateness_ns, times.floor_ns)
    return times.end_ns(max(int(batch["ts_effective_ns"][-1]) for batch in batches))
