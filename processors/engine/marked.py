"""What a live run did with its inputs, done again from its markers (DESIGN §5).

An input that was set aside is not waited for, and what it brings late applies at the time that the others have reached
by then. That depends on when it arrived, so the merge alone cannot repeat it; the markers (``control.markers.v1``) can,
because the features worker keeps two rules:

- The first step after the inputs set aside have changed publishes a marker, whether it has rows or not.
- So does every step that takes a record of an input that is aside.

Hence between two markers nothing was taken of an input that was aside at the first of them. With F and U the marker's
``ts_from_ns`` and ``ts_until_ns``, its steps are repeated in two stages:

1. Up to F: the inputs that were waited for at the marker before. Nothing of those that were aside.
2. From F to U: the inputs waited for, which now include those that came back, and of those that are aside the records
   before the marker's next offset. Whatever should have been handed out before F applies at F.

Pure. Raises InvariantError when markers and records disagree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import InvariantError
from processors.engine.order import Events, Merger


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marker says about the merge; topic names are without the namespace.

    ``next_offsets``: per input the first record that was not handed out by ``until_ns``. ``set_aside``: the inputs that
    were not waited for from ``from_ns`` on.
    """

    from_ns: int
    until_ns: int
    next_offsets: Mapping[str, int]
    set_aside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Followed:
    """Events of a part of what a marker covers; ``marker`` is the marker when the part is its last, else None."""

    events: Events
    marker: Marker | None


def marker_of(record: Mapping[str, Any], namespace: str = "") -> Marker:
    """What a record of ``control.markers.v1`` says about the merge, its topics without the namespace.

    Raises InvariantError for a marker made before markers had ``ts_until_ns``.
    """
    from_ns, until_ns = record["ts_from_ns"], record["ts_until_ns"]
    if from_ns is None or until_ns is None:
        raise InvariantError(
            f"the marker of snap {record['ts_event_ns']} does not say which times it covers",
            hint="An older version wrote it: start in a new BREAKWATER_NAMESPACE or BREAKWATER_HOME.",
        )
    prefix = f"{namespace}." if namespace else ""
    names = [str(topic).removeprefix(prefix) for topic in record["input_topics"]]
    offsets = dict(zip(names, record["input_next_offsets"], strict=True))
    return Marker(from_ns, until_ns, offsets, tuple(record["set_aside"]))


def condensed(markers: Iterable[Marker]) -> list[Marker]:
    """The markers without those whose place is of no matter to the events' order: nothing changed which inputs were
    aside, and nothing was taken of them. The last one stays.
    """
    out: list[Marker] = []
    for marker in markers:
        if len(out) > 1 and _is_idle(out[-2], out[-1]):
            out.pop()
        out.append(marker)
    return out


def _is_idle(before: Marker, marker: Marker) -> bool:
    return before.set_aside == marker.set_aside and all(
        before.next_offsets[topic] == marker.next_offsets[topic] for topic in marker.set_aside
    )


class Follower:
    """Takes from a merger what the markers say, part by part, in the order in which the live run applied it.

    ``merger`` stands where the first marker's run began: a fresh one with all markers of a log, or one made from a
    checkpoint (with its ``set_aside`` and ``floor_ns``) with the markers since; markers of earlier places are passed
    over. The caller pushes records, says with `Merger.read_to` how far the log was read, and calls `pop` in turn. It
    needs no heartbeats: records up to the next offsets of the markers suffice, and more do no harm. When it is `done`,
    the merger stands where the live run stood.
    """

    def __init__(self, merger: Merger, markers: Iterable[Marker]) -> None:
        self._merger = merger
        self._markers = deque(marker for marker in markers if marker.until_ns >= merger.floor_ns)
        self._aside_before = frozenset(merger.set_aside)
        self._take_promises()

    @property
    def done(self) -> bool:
        """True when every marker has been followed to its end."""
        return not self._markers

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The inputs that must be read further before `pop` goes on."""
        if self.done:
            return ()
        merger, (_, aside) = self._merger, self._stage()
        promises_ns = merger.promises_ns
        return tuple(
            topic
            for topic in merger.inputs
            if (
                merger.position(topic) < aside[topic]
                if topic in aside
                else promises_ns[topic] <= merger.floor_ns < self._markers[0].until_ns
            )
        )

    def pop(self, limit_ns: int | None = None) -> Followed | None:
        """The next events, all below ``limit_ns`` when given; None when more records are needed, or none are.

        Every part moves the merger's `floor_ns` on or ends a marker; it may hold no events. Raises InvariantError that
        names topic and offset when the records are not those that the marker was made from.
        """
        if self.done:
            return None
        marker, merger = self._markers[0], self._merger
        until_ns, aside = self._stage()
        if any(merger.position(topic) < offset for topic, offset in aside.items()):
            return None
        is_last_stage = merger.floor_ns >= marker.from_ns
        floor_ns = merger.floor_ns
        events = merger.pop_marked(until_ns if limit_ns is None else min(until_ns, limit_ns), aside)
        if is_last_stage and merger.floor_ns >= marker.until_ns:
            self._check(marker)
            self._aside_before = frozenset(marker.set_aside)
            self._markers.popleft()
            self._take_promises()
            return Followed(events, marker)
        return Followed(events, None) if merger.floor_ns > floor_ns else None

    def finish(self) -> None:
        """Raise InvariantError unless every marker was followed: for when the log holds no more records."""
        for topic in self.waiting_for:
            raise InvariantError(
                f"{topic}: a marker was made from the records before offset "
                f"{self._markers[0].next_offsets[topic]}, the log ends at {self._merger.position(topic)}",
                hint="Records are missing: restore the topic, or start in a new namespace.",
            )

    def _stage(self) -> tuple[int, dict[str, int]]:
        """Where the current stage ends, and of each input that is aside in it the offset before which it is taken."""
        marker = self._markers[0]
        if self._merger.floor_ns < marker.from_ns:
            return marker.from_ns, dict.fromkeys(self._aside_before, 0)
        return marker.until_ns, {topic: marker.next_offsets.get(topic, 0) for topic in marker.set_aside}

    def _take_promises(self) -> None:
        """The marker is a promise: by the step's end everything before it had been read of the inputs waited for."""
        if self.done:
            return
        marker = self._markers[0]
        for topic in self._merger.inputs:
            offset = marker.next_offsets.get(topic, 0)
            if topic not in marker.set_aside:
                self._merger.promise(topic, offset, marker.until_ns)
            elif topic not in self._aside_before:
                self._merger.promise(topic, offset, marker.from_ns)

    def _check(self, marker: Marker) -> None:
        following = self._merger.next_offsets
        for topic, held in self._merger.held.items():
            offset, taken = marker.next_offsets.get(topic, 0), self._merger.last_taken(topic)
            if taken >= offset or (held and following[topic] < offset):
                raise InvariantError(
                    f"{topic} offset {taken if taken >= offset else following[topic]}: the marker until "
                    f"{marker.until_ns} has the next offset {offset}, which its effective time contradicts",
                    hint="The topic's records or its markers were changed after the run.",
                )
