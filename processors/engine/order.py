"""The order in which the engine applies events: a k-way merge of partitions that each are monotone in effective time.

Enters: decoded batches of each input in partition order, and promises. Leaves: :class:`Events`, all that lies
strictly below the smallest promise, in the order (ts_effective_ns, ts_event_ns, venue rank, seq, trade before book,
input, offset). However the inputs are cut into batches, the concatenation of what leaves is the same. Raises
InvariantError when an input breaks its own promise: then what has been published can no longer be repeated, and the
worker stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common import topics
from common.columns import Batch, concat
from common.errors import InvariantError

BOOK = 0
TRADE = 1
REQUEST = 2

KINDS: dict[str, int] = {topics.FUTURES_MBP10: BOOK, topics.FUTURES_TRADES: TRADE, topics.REQUESTS: REQUEST}
"""Kind of event that an input carries."""

VENUE_RANKS: dict[str, int] = {topics.FUTURES_MBP10: 0, topics.FUTURES_TRADES: 0, topics.REQUESTS: 9}
"""At equal times a smaller rank goes first: futures lead, what people ask comes last."""

_KIND_ORDER = np.array([1, 0, 2], np.int8)
"""Place of each kind among events equal up to seq: the trade explains the book change, so it goes before it."""

NO_PROMISE_NS = -(2**63)
"""Promise of an input of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events in the order of their application.

    ``batches``: per topic (without the namespace) the records, in partition order; topics without records are absent.
    ``kind``: int8[n], BOOK, TRADE or REQUEST. ``index``: int64[n], the record's place in the batch of its kind's topic.
    ``until_ns``: everything with a smaller effective time has been handed out, now or before.
    """

    batches: Mapping[str, Batch]
    kind: NDArray[np.int8]
    index: NDArray[np.int64]
    until_ns: int

    def __len__(self) -> int:
        return len(self.kind)


class _Input:
    """What is known and held of one topic-partition."""

    def __init__(self, topic: str, position: int, promise_ns: int) -> None:
        self.topic = topic
        self.position = position
        self.promise_ns = promise_ns
        self.held: list[tuple[Batch, NDArray[np.int64]]] = []
        self.held_records = 0
        self.pending: list[tuple[int, int]] = []

    @property
    def next_offset(self) -> int:
        return int(self.held[0][1][0]) if self.held else self.position

    @property
    def resume_promise_ns(self) -> int:
        """What is promised of the records from ``next_offset`` on."""
        first_ns = self.first_effective_ns
        return self.promise_ns if first_ns is None else first_ns

    @property
    def first_effective_ns(self) -> int | None:
        return int(self.held[0][0]["ts_effective_ns"][0]) if self.held else None

    def push(self, batch: Batch, offsets: NDArray[np.int64]) -> None:
        if batch.length == 0:
            return
        effective_ns = batch["ts_effective_ns"].astype(np.int64, copy=False)
        if int(offsets[0]) < self.position or bool(np.any(np.diff(offsets) <= 0)):
            raise InvariantError(
                f"{self.topic}: offsets {int(offsets[0])}..{int(offsets[-1])} do not follow position {self.position}"
            )
        self.resolve(int(offsets[0]))
        before = np.concatenate([np.array([self.promise_ns], np.int64), effective_ns[:-1]])
        broken = np.flatnonzero(effective_ns < before)
        if len(broken):
            at = int(broken[0])
            raise InvariantError(
                f"{self.topic} offset {int(offsets[at])}: ts_effective_ns {int(effective_ns[at])} is below the promise "
                f"{int(before[at])}",
                hint="A producer broke the partition's order; replay its source into a new namespace.",
            )
        self.held.append((batch, offsets))
        self.held_records += batch.length
        self.promise_ns = int(effective_ns[-1])
        self.resolve(int(offsets[-1]) + 1)

    def resolve(self, position: int) -> None:
        """Everything before ``position`` is here: the promises about what follows it count now."""
        self.position = max(self.position, position)
        due = [ts for offset, ts in self.pending if offset <= self.position]
        if due:
            self.pending = [item for item in self.pending if item[0] > self.position]
            self.promise_ns = max(self.promise_ns, *due)

    def take(self, until_ns: int) -> tuple[Batch, NDArray[np.int64]] | None:
        """Remove and return what lies strictly below ``until_ns``: whole batches and a view of the last."""
        parts: list[tuple[Batch, NDArray[np.int64]]] = []
        while self.held:
            batch, offsets = self.held[0]
            count = int(np.searchsorted(batch["ts_effective_ns"], until_ns, side="left"))
            if count == batch.length:
                parts.append(self.held.pop(0))
                continue
            if count:
                parts.append((batch.slice(0, count), offsets[:count]))
                self.held[0] = (batch.slice(count, batch.length), offsets[count:])
            break
        if not parts:
            return None
        taken = concat([batch for batch, _ in parts])
        self.held_records -= taken.length
        return taken, np.concatenate([offsets for _, offsets in parts])


class Merger:
    """Merges one partition of each of ``topics`` (names without the namespace).

    ``start`` gives the offset each input is read from (0 where absent), ``promises_ns`` what was promised before that
    (after a restart).
    """

    def __init__(
        self,
        inputs: Sequence[str],
        start: Mapping[str, int] | None = None,
        promises_ns: Mapping[str, int] | None = None,
    ) -> None:
        self._inputs = {
            topic: _Input(topic, (start or {}).get(topic, 0), (promises_ns or {}).get(topic, NO_PROMISE_NS))
            for topic in inputs
        }
        self._until_ns = NO_PROMISE_NS

    def push(self, topic: str, batch: Batch, offsets: NDArray[np.int64]) -> None:
        """Add records in partition order. Raises InvariantError when an offset or an effective time goes backwards."""
        self._inputs[topic].push(batch, offsets)

    def promise(self, topic: str, next_offset: int, ts_watermark_ns: int) -> None:
        """No record at or after ``next_offset`` has a smaller effective time; counts once all before it were read."""
        known = self._inputs[topic]
        known.pending.append((next_offset, ts_watermark_ns))
        known.resolve(known.position)

    def read_to(self, topic: str, next_offset: int) -> None:
        """Everything before ``next_offset`` was read: what is missing are control markers and records set aside."""
        self._inputs[topic].resolve(next_offset)

    def position(self, topic: str) -> int:
        """The offset up to which the input has been read."""
        return self._inputs[topic].position

    @property
    def until_ns(self) -> int:
        """The smallest promise: everything below it can be handed out."""
        return min(known.promise_ns for known in self._inputs.values())

    @property
    def promises_ns(self) -> dict[str, int]:
        """What each input has promised, NO_PROMISE_NS where nothing."""
        return {topic: known.promise_ns for topic, known in self._inputs.items()}

    @property
    def resume_promises_ns(self) -> dict[str, int]:
        """Promises that hold from `next_offsets` on: what a merger that starts there is given."""
        return {topic: known.resume_promise_ns for topic, known in self._inputs.items()}

    @property
    def next_offsets(self) -> dict[str, int]:
        """Per input the offset of the first record not yet handed out: reading on from there loses nothing."""
        return {topic: known.next_offset for topic, known in self._inputs.items()}

    @property
    def held(self) -> dict[str, int]:
        """Records held of each input."""
        return {topic: known.held_records for topic, known in self._inputs.items()}

    @property
    def first_effective_ns(self) -> int | None:
        """The smallest effective time held, None when nothing is."""
        firsts = [known.first_effective_ns for known in self._inputs.values()]
        return min((first for first in firsts if first is not None), default=None)

    def pop(self, limit_ns: int | None = None) -> Events:
        """Hand out everything strictly below the smallest promise (and below ``limit_ns``), merged."""
        until_ns = self.until_ns if limit_ns is None else min(self.until_ns, limit_ns)
        self._until_ns = max(self._until_ns, until_ns)
        batches: dict[str, Batch] = {}
        keys: list[tuple[NDArray[np.int64], ...]] = []
        for rank, (topic, known) in enumerate(self._inputs.items()):
            taken = known.take(self._until_ns)
            if taken is not None:
                batches[topic] = taken[0]
                keys.append(_keys(topic, rank, *taken))
        if not keys:
            return Events({}, np.zeros(0, np.int8), np.zeros(0, np.int64), self._until_ns)
        kind, index, *sort_keys = (np.concatenate(column) for column in zip(*keys, strict=True))
        order = np.lexsort(sort_keys)
        return Events(batches, kind[order].astype(np.int8), index[order], self._until_ns)


def _keys(topic: str, rank: int, batch: Batch, offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """kind and index of each record, then its sort keys, the most significant last (as np.lexsort wants them)."""
    kind = KINDS[topic]
    seq = batch.columns["seq"]
    sequence = seq.values.astype(np.int64, copy=False)
    if seq.valid is not None:
        sequence = np.where(seq.valid, sequence, -1)

    def same(value: int) -> NDArray[np.int64]:
        return np.full(batch.length, value, np.int64)

    return (
        same(kind),
        np.arange(batch.length, dtype=np.int64),
        offsets,
        same(rank),
        same(int(_KIND_ORDER[kind])),
        sequence,
        same(VENUE_RANKS[topic]),
        batch["ts_event_ns"].astype(np.int64, copy=False),
        batch["ts_effective_ns"].astype(np.int64, copy=False),
    )
