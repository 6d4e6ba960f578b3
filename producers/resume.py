"""Where a run of a finite input begins: at its start, after a crash in its middle, or nowhere when all is there. Pure.

A topic's last record is looked up in the input's own stream, by id and time. So a run goes on where a crashed one
ended, also when a damaged file was replaced by a whole one, and never writes a record twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from common.errors import InputError, InvariantError
from producers.log_state import Beat, Tail
from producers.sequencer import StampedStep

ELSEWHERE = "Use another --home or --namespace, or give the later files only."


@dataclass(frozen=True, slots=True)
class Plan:
    """How to go on. ``published``: records of the input in the log, per topic; ``next_offsets``: where the next go.

    ``floor_ns``: the last promise before this input, which its stamps respect. ``done``: everything is there, ENDED
    included.
    """

    done: bool
    floor_ns: int
    published: Mapping[str, int]
    next_offsets: Mapping[str, int]


@dataclass(slots=True)
class _Search:
    """Looks for topics' last records in a stream: the number of records up to and with each."""

    wanted: dict[str, Tail]
    found: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def look(self, step: StampedStep) -> None:
        for batch in step.batches:
            tail = self.wanted.get(batch.name)
            seen = self.seen.get(batch.name, 0)
            self.seen[batch.name] = seen + batch.length
            if tail is None or batch.name in self.found:
                continue
            same = (batch["event_id"] == tail.event_id) & (batch["ts_event_ns"] == tail.ts_event_ns)
            hits = np.flatnonzero(same)
            if len(hits):
                self.found[batch.name] = seen + int(hits[0]) + 1

    @property
    def over(self) -> bool:
        return len(self.found) == len(self.wanted)


def plan(
    identity: str, beats: Sequence[Beat], tails: Mapping[str, Tail], steps: Iterable[StampedStep], snap_interval_ns: int
) -> Plan:
    """Decide where the input ``identity`` goes on.

    ``beats``: all heartbeats, oldest first; ``tails``: the end of each topic, by the schema's name, and
    ``beats`` name topics likewise; ``steps``: the input's stream from its start, with a floor of 0 (read as far as
    needed). Raises InputError when a topic holds events that are later than the input's first and not of it,
    InvariantError when records of the input are missing in the log or stand there twice.
    """
    next_offsets = {topic: tail.end_offset for topic, tail in tails.items()}
    mine = [beat for beat in beats if beat.input_id == identity]
    first_mine = next((i for i, beat in enumerate(beats) if beat.input_id == identity), len(beats))
    floor_ns = max((beat.ts_watermark_ns for beat in beats[:first_mine]), default=0)
    if set(tails) <= {beat.topic for beat in mine if beat.ended}:
        return Plan(True, floor_ns, dict.fromkeys(tails, 0), next_offsets)
    search = _Search({topic: tail for topic, tail in tails.items() if tail.event_id is not None})
    first_ns: int | None = None
    for step in steps:
        if first_ns is None:
            first_ns = min(int(batch["ts_effective_ns"][0]) for batch in step.batches)
            if all(tail.ts_effective_ns < first_ns for tail in search.wanted.values()):
                break
        search.look(step)
        if search.over:
            break
    if first_ns is not None:
        _refuse_overlap(search, first_ns, floor_ns - snap_interval_ns)
    published = {topic: search.found.get(topic, 0) for topic in tails}
    _check_offsets(mine, published, next_offsets)
    return Plan(False, floor_ns, published, next_offsets)


def _refuse_overlap(search: _Search, first_ns: int, promised_ns: int) -> None:
    for topic, tail in search.wanted.items():
        if topic not in search.found and tail.ts_effective_ns >= first_ns:
            raise InputError(
                f"{topic} already holds events up to {utc(tail.ts_effective_ns)} that are not of this input,"
                f" which begins earlier, at {utc(first_ns)}",
                hint=ELSEWHERE,
            )
    if not search.found and promised_ns > first_ns:
        raise InputError(
            f"the log is promised to be complete up to {utc(promised_ns)}, and this input begins earlier,"
            f" at {utc(first_ns)}",
            hint=ELSEWHERE,
        )


def _check_offsets(mine: Sequence[Beat], published: Mapping[str, int], next_offsets: Mapping[str, int]) -> None:
    """The input's records stand in each topic without gap or double, counted from its newest heartbeat on."""
    newest = {beat.topic: beat for beat in mine}
    for topic, count in published.items():
        beat = newest.get(topic)
        if beat is None:
            continue
        there = beat.input_records + next_offsets[topic] - beat.next_offset
        if there != count:
            raise InvariantError(
                f"{topic}: by its offsets {there} records of this input are there, but the last of them is its record"
                f" number {count}",
                hint="Something else wrote into this topic, or records were lost; publish into another --namespace.",
            )


def remaining(steps: Iterable[StampedStep], published: Mapping[str, int]) -> Iterator[StampedStep]:
    """The steps without the records that are published already.

    Steps left empty are dropped, but the last watermark always comes.
    """
    left = dict(published)
    dropped: StampedStep | None = None
    for step in steps:
        batches = []
        for batch in step.batches:
            skip = min(left.get(batch.name, 0), batch.length)
            left[batch.name] = left.get(batch.name, 0) - skip
            if skip < batch.length:
                batches.append(batch.slice(skip, batch.length) if skip else batch)
        dropped = None if batches else StampedStep((), step.watermark_ns)
        if batches:
            yield StampedStep(tuple(batches), step.watermark_ns)
    if dropped is not None:
        yield dropped


def utc(ns: int) -> str:
    """The time as people read it."""
    return f"{dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC):%Y-%m-%d %H:%M:%S}.{ns % 1_000_000_000:09d} UTC"
