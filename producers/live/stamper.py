"""What every live record gets before it goes into the log: its id, the time at which it applies, and the gap before it.

As for files (:mod:`producers.sequencer`), one record after the other: a record is due at its ``ts_event_ns`` plus the
topic's lateness, and applies at the greatest of that, the topic's last stamp and its last promise (DESIGN 4.1). Pure:
time comes with the arrivals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from common.columns import Batch, Column
from producers.event_ids import EventIds, RecentIds, first_ids
from producers.live.arrivals import ConnectionState, Records


@dataclass(frozen=True, slots=True)
class Rules:
    """``lateness_ns`` by topic; promises while idle are ``grace_ns`` behind the source's clock, at snap boundaries.

    ``repeats_are_events``: see :class:`producers.live.arrivals.Feed`.
    """

    lateness_ns: Mapping[str, int]
    snap_interval_ns: int
    grace_ns: int
    repeats_are_events: bool


@dataclass(slots=True)
class _Topic:
    """Where one topic stands, ns since the epoch. ``gap_begin_ns``: a gap that no record carries yet."""

    lateness_ns: int
    stamped_ns: int = 0
    promised_ns: int = 0
    clock_ns: int = 0
    event_ns: int = 0
    gap_begin_ns: int | None = None
    state: ConnectionState = "DISCONNECTED"
    ids: EventIds = field(default_factory=EventIds)


class Stamper:
    """Stamps one feed's records, and knows which promises its clock allows."""

    def __init__(self, topics: tuple[str, ...], rules: Rules) -> None:
        self._rules = rules
        self._topics = {topic: _Topic(rules.lateness_ns[topic]) for topic in topics}
        self._recent = RecentIds()

    # What the log holds already

    def restore(self, batch: Batch) -> None:
        """These records are in the log, or will be before anything else."""
        topic = self._topics[batch.name]
        if batch.length:
            self._recent.notice(batch["event_id"].astype(np.int64))
            topic.stamped_ns = max(topic.stamped_ns, int(batch["ts_effective_ns"][-1]))
            topic.event_ns = max(topic.event_ns, int(batch["ts_event_ns"].max()))

    def restore_promise(self, topic: str, promised_ns: int) -> None:
        """That much was promised about the topic before."""
        self._topics[topic].promised_ns = max(self._topics[topic].promised_ns, promised_ns)

    @property
    def last_event_ns(self) -> dict[str, int]:
        """Newest event of each topic, 0 of an empty one."""
        return {name: topic.event_ns for name, topic in self._topics.items()}

    # Arrivals

    def connection(self, topic: str, state: ConnectionState) -> None:
        """The topic's connection is in this state from now on.

        A new connection numbers identical records from the beginning, as its replay starts at the first record of a
        ``ts_event``.
        """
        at = self._topics[topic]
        if state == "DISCONNECTED" or (state == "CATCHING_UP" and at.state == "CONNECTED"):
            at.ids = EventIds()
            at.clock_ns = 0
        at.state = state

    def gap(self, topic: str, begin_ns: int) -> None:
        """The next record of the topic carries the gap; of several the earliest beginning."""
        at = self._topics[topic]
        at.gap_begin_ns = begin_ns if at.gap_begin_ns is None else min(at.gap_begin_ns, begin_ns)

    def clock(self, topic: str, ts_ns: int) -> None:
        """The source's clock has reached this time."""
        self._topics[topic].clock_ns = max(self._topics[topic].clock_ns, ts_ns)

    def stamp(self, records: Records) -> Batch:
        """The records that are new, ready for the log; duplicates are left out."""
        batch = records.batch
        at = self._topics[batch.name]
        repeats = self._rules.repeats_are_events
        ids = at.ids.assign(records.hashes) if repeats else first_ids(records.hashes)
        fresh = self._recent.notice(ids)
        if not fresh.all():
            kept = np.flatnonzero(fresh)
            batch, ids = batch.take(kept), ids[kept]
        if batch.length == 0:
            return batch
        event_ns = batch["ts_event_ns"].astype(np.int64)
        due_ns = event_ns + at.lateness_ns
        effective_ns = np.maximum(np.maximum.accumulate(due_ns), max(at.stamped_ns, at.promised_ns))
        at.stamped_ns = int(effective_ns[-1])
        at.event_ns = max(at.event_ns, int(event_ns.max()))
        columns = {
            **batch.columns,
            "event_id": Column(ids),
            "ts_effective_ns": Column(effective_ns),
            "is_late": Column(effective_ns > due_ns),
            "gap_begin_ns": self._gap_column(at, batch.length),
        }
        return Batch(batch.name, batch.length, columns)

    @staticmethod
    def _gap_column(at: _Topic, length: int) -> Column:
        values, valid = np.zeros(length, np.int64), np.zeros(length, np.bool_)
        if at.gap_begin_ns is not None:
            values[0], valid[0] = at.gap_begin_ns, True
            at.gap_begin_ns = None
        return Column(values, valid)

    # Promises

    def promised_ns(self, topic: str) -> int:
        """The last promise about the topic, or what its last record implies."""
        at = self._topics[topic]
        return max(at.promised_ns, at.stamped_ns)

    def state(self, topic: str) -> ConnectionState:
        """The state of the topic's connection."""
        return self._topics[topic].state

    def promise(self, topic: str) -> int | None:
        """A new promise, binding from now on, when the source's clock has passed another snap boundary; else None."""
        at = self._topics[topic]
        if at.state != "CONNECTED":
            return None
        interval_ns = self._rules.snap_interval_ns
        boundary_ns = (at.clock_ns - self._rules.grace_ns) // interval_ns * interval_ns
        if boundary_ns <= at.promised_ns:
            return None
        at.promised_ns = max(boundary_ns, at.stamped_ns)
        return at.promised_ns
