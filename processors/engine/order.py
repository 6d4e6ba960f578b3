"""The order in which the engine applies events: a k-way merge of partitions that each are monotone in effective time.

Enters: decoded batches of each input in partition order, and promises. Leaves: :class:`Events`, all that lies
strictly below the smallest promise, in the order (ts_effective_ns, ts_event_ns, venue rank, seq, definition before
status before trade before book, quote and greeks, input, offset). However the inputs are cut into batches, the
concatenation of what leaves is the same. Raises InvariantError when an input breaks its own promise: then what has been
published can no longer be repeated, and the worker stops.

An input can be set aside: then the others do not wait for it, and what it brings late applies at the time that the
others have reached (DESIGN §5). Which step that was depends on when it arrived, so it is written down in a marker and
repeated from there (:mod:`processors.engine.marked`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common import topics
from common.columns import Batch, Column, concat
from common.errors import InvariantError
from processors.engine.merging import Runs, merged

BOOK = 0
TRADE = 1
REQUEST = 2
STATUS = 3
DEFINITION = 4
STOCK_QUOTE = 5
STOCK_TRADE = 6
OPTION_QUOTE = 7
OPTION_TRADE = 8
GREEKS = 9

KINDS: dict[str, int] = {
    topics.FUTURES_MBP10: BOOK,
    topics.FUTURES_TRADES: TRADE,
    topics.REQUESTS: REQUEST,
    topics.FUTURES_STATUS: STATUS,
    topics.FUTURES_DEFINITIONS: DEFINITION,
    topics.STOCKS_QUOTES: STOCK_QUOTE,
    topics.STOCKS_TRADES: STOCK_TRADE,
    topics.OPTIONS_QUOTES: OPTION_QUOTE,
    topics.OPTIONS_TRADES: OPTION_TRADE,
    topics.OPTIONS_GREEKS: GREEKS,
}
"""Kind of event that an input carries."""

_VENUES = {"futures": 0, "stocks": 1, "options": 2, "control": 9}
VENUE_RANKS: dict[str, int] = {topic: _VENUES[topic.partition(".")[0]] for topic in KINDS}
"""At equal times a smaller rank goes first: futures lead, what people ask comes last."""

_KIND_ORDER = np.array([3, 2, 4, 1, 0, 3, 2, 3, 2, 3], np.int64)
"""Place of each kind among events equal up to seq: definition, status, trade, then book, quote and greeks. The trade
explains the change of the book, so it goes before it.
"""

NO_PROMISE_NS = -(2**63)
"""Promise of an input of which nothing is known."""

_NO_BOUND = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Events:
    """Events in the order of their application.

    ``batches``: per topic (without the namespace) the records, in partition order; topics without records are absent.
    ``kind``: int8[n], one of the kinds above. ``index``: int64[n], the record's place in the batch of its kind's topic.
    ``effective_ns``: int64[n], never falling.
    ``until_ns``: everything with a smaller effective time has been handed out, now or before.
    ``late``: records whose effective time was raised, because their input was aside when it was time for them.
    ``aside``: records of inputs that are aside.
    """

    batches: Mapping[str, Batch]
    kind: NDArray[np.int8]
    index: NDArray[np.int64]
    effective_ns: NDArray[np.int64]
    until_ns: int
    late: int = 0
    aside: int = 0

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
        self.last_taken = -1
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

    def take(self, until_ns: int, before: int) -> Batch | None:
        """Remove and return what lies strictly below ``until_ns`` and the offset ``before``: whole batches and a view
        of the last.
        """
        parts: list[tuple[Batch, NDArray[np.int64]]] = []
        while self.held:
            batch, offsets = self.held[0]
            count = int(np.searchsorted(batch["ts_effective_ns"], until_ns, side="left"))
            count = min(count, int(np.searchsorted(offsets, before, side="left")))
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
        self.last_taken = int(parts[-1][1][-1])
        return taken


class Merger:
    """Merges one partition of each of ``inputs`` (names without the namespace).

    ``start`` gives the offset each input is read from (0 where absent), ``promises_ns`` what was promised before that,
    ``set_aside`` the inputs that are not waited for and ``floor_ns`` the time before which everything has been handed
    out (after a restart).
    """

    def __init__(
        self,
        inputs: Sequence[str],
        start: Mapping[str, int] | None = None,
        promises_ns: Mapping[str, int] | None = None,
        set_aside: Collection[str] = (),
        floor_ns: int = NO_PROMISE_NS,
    ) -> None:
        self._inputs = {
            topic: _Input(topic, (start or {}).get(topic, 0), (promises_ns or {}).get(topic, NO_PROMISE_NS))
            for topic in inputs
        }
        self._floor_ns = floor_ns
        self._aside: frozenset[str] = frozenset()
        for topic in set_aside:
            self.put_aside(topic)

    def push(self, topic: str, batch: Batch, offsets: NDArray[np.int64]) -> None:
        """Add records in partition order. Raises InvariantError when an offset or an effective time goes backwards."""
        self._inputs[topic].push(batch, offsets)

    def promise(self, topic: str, next_offset: int, ts_watermark_ns: int) -> None:
        """No record at or after ``next_offset`` has a smaller effective time; counts once all before it were read."""
        known = self._inputs[topic]
        known.pending.append((next_offset, ts_watermark_ns))
        known.resolve(known.position)

    def read_to(self, topic: str, next_offset: int) -> None:
        """Everything before ``next_offset`` was read: what is missing are control markers and dead letters."""
        self._inputs[topic].resolve(next_offset)

    def put_aside(self, topic: str) -> None:
        """Do not wait for the input any more, until its own promise is beyond what was handed out by then.

        Raises InvariantError for an input that is always waited for.
        """
        if topic in topics.ALWAYS_AWAITED or topic not in self._inputs:
            raise InvariantError(f"{topic} cannot be set aside", hint="Without ES nothing is published.")
        self._aside |= {topic}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs, in rank order."""
        return tuple(self._inputs)

    @property
    def set_aside(self) -> tuple[str, ...]:
        """The inputs that the last `pop` did not wait for and those put aside since, sorted."""
        return tuple(sorted(self._aside))

    @property
    def awaited(self) -> tuple[str, ...]:
        """The inputs that the next `pop` waits for, in rank order."""
        return tuple(t for t, known in self._inputs.items() if t not in self._aside or self._returns(known))

    def position(self, topic: str) -> int:
        """The offset up to which the input has been read."""
        return self._inputs[topic].position

    def last_taken(self, topic: str) -> int:
        """The offset of the last record handed out, -1 before the first."""
        return self._inputs[topic].last_taken

    @property
    def floor_ns(self) -> int:
        """Everything below it has been handed out, except what inputs that are aside bring late."""
        return self._floor_ns

    @property
    def until_ns(self) -> int:
        """The smallest promise of the inputs waited for: everything below it can be handed out."""
        return min((self._inputs[topic].promise_ns for topic in self.awaited), default=self._floor_ns)

    @property
    def holding_back(self) -> tuple[str, ...]:
        """The inputs waited for that have promised least: without them nothing more can be handed out."""
        until_ns = self.until_ns
        return tuple(topic for topic in self.awaited if self._inputs[topic].promise_ns == until_ns)

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
        """Hand out everything strictly below the smallest promise (and below ``limit_ns``), merged.

        An input aside whose own promise is beyond what was handed out before is waited for again from here on. What an
        input brings that should have been handed out before applies now, at `floor_ns` as it was.
        """
        until_ns = self.until_ns if limit_ns is None else min(self.until_ns, limit_ns)
        self._aside -= {*self.awaited}
        return self._hand_out(until_ns, dict.fromkeys(self._aside, _NO_BOUND))

    def pop_marked(self, until_ns: int, aside: Mapping[str, int]) -> Events:
        """As `pop` up to ``until_ns``, but with exactly these inputs aside, and of each of them only the records before
        the given offset: what a live run handed out whose marker says so.
        """
        self._aside = frozenset(aside)
        promises_ns = [known.promise_ns for topic, known in self._inputs.items() if topic not in aside]
        return self._hand_out(min(until_ns, min(promises_ns, default=self._floor_ns)), aside)

    def _returns(self, known: _Input) -> bool:
        return known.promise_ns > self._floor_ns

    def _hand_out(self, until_ns: int, aside: Mapping[str, int]) -> Events:
        floor_ns = self._floor_ns
        self._floor_ns = max(floor_ns, until_ns)
        batches: dict[str, Batch] = {}
        late = 0
        for topic, known in self._inputs.items():
            taken = known.take(until_ns, aside.get(topic, _NO_BOUND)) if until_ns > floor_ns else None
            if taken is not None:
                batches[topic], raised = _raised(taken, floor_ns)
                late += raised
        of_aside = sum(batch.length for topic, batch in batches.items() if topic in aside)
        return Events(batches, *_ordered(batches), self._floor_ns, late, of_aside)


def _ordered(batches: Mapping[str, Batch]) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
    """kind, index and effective time of the records in the order of their application; ``batches`` in rank order."""
    if not batches:
        return np.zeros(0, np.int8), np.zeros(0, np.int64), np.zeros(0, np.int64)
    counts = [batch.length for batch in batches.values()]
    kinds = np.array([KINDS[topic] for topic in batches], np.int8)
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])

    def column(name: str) -> NDArray[np.int64]:
        parts = [batch.columns[name].filled(-1, np.int64) for batch in batches.values()]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    runs = Runs(
        column("ts_effective_ns"),
        column("ts_event_ns"),
        column("seq"),
        starts,
        np.array([VENUE_RANKS[topic] for topic in batches], np.int64),
        # ranks break the ties of one kind's place
        _KIND_ORDER[kinds] * len(KINDS) + np.arange(len(kinds)),
    )
    return merged(runs, kinds)


def _raised(batch: Batch, floor_ns: int) -> tuple[Batch, int]:
    """The batch with no effective time below ``floor_ns``, and how many were."""
    effective_ns = batch["ts_effective_ns"]
    late = int(np.searchsorted(effective_ns, floor_ns, side="left"))
    if late == 0:
        return batch, 0
    column = Column(np.maximum(effective_ns, floor_ns).astype(np.int64, copy=False))
    return replace(batch, columns={**batch.columns, "ts_effective_ns": column}), late
