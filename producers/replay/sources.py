"""Where a replay's input comes from: files, topics, tables, or topics and past their retention the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from common.columns import Column
from common.config import EngineConfig
from common.errors import ConfigError, InputError
from common.recorded import END_NS, LakeReader, LogReader, Piece, Recorded, interleave
from common.times import shown_time
from common.topics import KEPT, full_name
from producers.dbn.days import files_of
from producers.replay.engine import INPUTS, from_steps
from producers.replay.files import engine_batches
from producers.replay.ranges import ALL, Place, Range


@dataclass(frozen=True, slots=True)
class Source:
    """A replay's input.

    ``stream``: the records, those before ``shown`` included that warm the state up. ``end_ns``: how far snaps are
    released after the last record; None is just past the snap that counts it. ``records``: how many come at most, None
    when unknown. ``places``: first and next offset by full topic name, for what is read from topics. ``ends``: by topic
    (without the namespace) the offset after the last record that is stored. ``namespace``: of the topics.
    """

    stream: Iterator[Recorded]
    shown: Range
    end_ns: int | None
    records: int | None
    places: dict[str, tuple[int, int]]
    ends: dict[str, int]
    namespace: str


def from_files(paths: Sequence[Path], shown: Range, config: EngineConfig) -> Source:
    """DBN and capture files, and folders of them. Raises InputError as `engine_batches`, from the stream."""
    return Source(from_steps(engine_batches(files_of(paths), config)), shown, None, None, {}, {}, "")


def with_records_inside(source: Source) -> Source:
    """The source; its stream raises InputError as soon as it is certain that no record lies in the range."""
    return replace(source, stream=_checked(source.stream, source.shown))


def _checked(stream: Iterator[Recorded], shown: Range) -> Iterator[Recorded]:
    seen: list[int] = []
    for recorded in stream:
        times = recorded.batch["ts_effective_ns"]
        begin, end = np.searchsorted(times, shown).tolist()
        if begin < end:
            yield recorded
            yield from stream
            return
        seen += times[[0, -1]].tolist() if len(times) else []
        if recorded.watermark_ns >= shown.until_ns:
            break
        yield recorded
    if seen:
        before = [ts_ns for ts_ns in seen if ts_ns < shown.from_ns]
        place = f"end before it at {shown_time(max(before))}" if before else f"begin at {shown_time(min(seen))}"
        raise InputError(f"the files hold nothing {shown}", hint=f"They {place} UTC.")


class Stored:
    """The inputs of one namespace and partition, in topics (``log``), in tables (``lake``), or in both.

    With both, a topic is read from the log as far back as it goes, and what is older from its table.
    """

    def __init__(self, log: LogReader | None, lake: LakeReader | None) -> None:
        self._log = log
        self._lake = lake
        self._namespace = (log or lake).namespace  # type: ignore[union-attr]

    def range_of(self, begin: Sequence[Place], end: Sequence[Place]) -> Range:
        """The range of effective time from the earliest record at ``begin`` to the earliest at ``end``.

        Records of one effective time are applied together, so no range ends between them. Raises InputError for an
        offset beyond the end.
        """
        from_ns = [self._time_at(place) for place in begin]
        if begin and all(ts_ns is None for ts_ns in from_ns):
            raise InputError(
                f"no record stands at or after {', '.join(f'{p.topic}:{p.partition}:{p.offset}' for p in begin)}",
                hint="./breakwater topics shows how far each topic goes.",
            )
        until_ns = [self._time_at(place) for place in end]
        return Range(
            min((ts_ns for ts_ns in from_ns if ts_ns is not None), default=ALL.from_ns),
            min((ts_ns for ts_ns in until_ns if ts_ns is not None), default=ALL.until_ns),
        )

    def source(self, shown: Range, *, whole: bool = False) -> Source:
        """The records of the range and those before it that warm the state up; all of them where ``whole``.

        What outlives every session (`common.topics.KEPT`) is read from its beginning and applies at the warm-up's.

        Raises InputError when nothing is stored, or not all of what the range needs.
        """
        inputs: dict[str, Iterator[Piece]] = {}
        warm_ns, until_ns = ALL if whole else Range(shown.warm_ns, shown.until_ns)
        places: dict[str, tuple[int, int]] = {}
        ends: dict[str, int] = {}
        records, more, exists = 0, False, False
        for topic in INPUTS:
            limit = END_NS
            from_ns = 0 if topic in KEPT else warm_ns
            parts: list[Iterator[Piece]] = []
            bounds = self._log.bounds(topic) if self._log is not None else None
            if self._log is not None and bounds is not None:
                exists = True
                begin = self._log.offset_at(topic, from_ns)
                end = bounds.end_offset if until_ns == END_NS else self._log.offset_at(topic, until_ns)
                more |= end < bounds.end_offset
                records += end - begin
                limit = bounds.begin_offset
                ends[topic] = end
                parts.append(self._log.pieces(topic, begin, end))
                if end > begin:
                    places[full_name(topic, self._namespace)] = (begin, end)
                if begin == bounds.begin_offset > 0:
                    self._check_older(topic, begin, shown, whole=whole)
            if self._lake is not None and limit > 0:
                ends.setdefault(topic, self._lake.end_offset(topic))
                found = self._lake.records(topic, from_ns, until_ns)
                exists |= found > 0
                records += found if limit == END_NS else 0
                more |= until_ns != END_NS and self._lake.continues(topic, until_ns)
                parts.insert(0, self._lake.pieces(topic, from_ns, until_ns, end_offset=limit))
            pieces = chain.from_iterable(parts)
            inputs[topic] = pieces if from_ns == warm_ns else _not_before(pieces, warm_ns)
        if not exists:
            raise InputError(
                f"nothing is stored in the {'namespace ' + self._namespace if self._namespace else 'live topics'}",
                hint="Give files with --file, or run ./breakwater demo first.",
            )
        return Source(interleave(inputs), shown, until_ns if more else None, records, places, ends, self._namespace)

    def check_inside(self, shown: Range) -> None:
        """Raise InputError that says what is stored when nothing of it lies in the range."""
        market = [topic for topic in INPUTS if topic not in KEPT]
        if shown == ALL or any(self._holds(topic, shown) for topic in market):
            return
        held = [ts_ns for topic in market for ts_ns in self._ends_of(topic)]
        if held:
            raise InputError(
                f"nothing is stored {shown}",
                hint=f"What is stored goes from {shown_time(min(held))} to {shown_time(max(held))} UTC.",
            )

    def _holds(self, topic: str, shown: Range) -> bool:
        if self._log is not None and self._log.offset_at(topic, shown.from_ns) < self._log.offset_at(
            topic, shown.until_ns
        ):
            return True
        return self._lake is not None and self._lake.records(topic, *shown) > 0

    def _ends_of(self, topic: str) -> list[int]:
        """The times of the first and of the last record, as far as the topic and its table have one."""
        found: list[int | None] = []
        bounds = None if self._log is None else self._log.bounds(topic)
        if self._log is not None and bounds is not None and bounds.begin_offset < bounds.end_offset:
            found += [self._log.time_at(topic, bounds.begin_offset), self._log.time_at(topic, bounds.end_offset - 1)]
        if self._lake is not None:
            found += [self._lake.time_at(topic, 0), self._lake.time_at(topic, self._lake.end_offset(topic) - 1)]
        return [ts_ns for ts_ns in found if ts_ns is not None]

    def _check_older(self, topic: str, begin: int, shown: Range, *, whole: bool) -> None:
        """What the range may need before the topic's first offset must be in its table."""
        committed = 0 if self._lake is None else self._lake.end_offset(topic)
        if committed >= begin or not (whole or shown.from_ns > 0):
            return
        first_ns = self._log.time_at(topic, begin) if self._log is not None else None
        if first_ns is None or (first_ns <= shown.warm_ns and not whole and topic not in KEPT):
            return
        needed = f"{shown_time(shown.warm_ns)} (the state at the range's begin)"
        if whole or topic in KEPT:
            needed = "the beginning"
        raise InputError(
            f"{topic} begins at {shown_time(first_ns)}, offset {begin}; records from {needed} on are needed, and the"
            f" table has only those before offset {committed}",
            hint="Begin later, or let the sink catch up (./breakwater sink).",
        )

    def _time_at(self, place: Place) -> int | None:
        bounds = None if self._log is None else self._log.bounds(place.topic)
        if self._log is not None and bounds is not None and place.offset >= bounds.begin_offset:
            if place.offset > bounds.end_offset:
                raise InputError(
                    f"{place.topic} ends at offset {bounds.end_offset}, before {place.offset}",
                    hint="./breakwater topics shows how far each topic goes.",
                )
            return self._log.time_at(place.topic, place.offset)
        if self._lake is None:
            raise ConfigError(f"{place.topic} is in no topic", hint="Read it from the tables: --iceberg.")
        return self._lake.time_at(place.topic, place.offset)


def _not_before(pieces: Iterator[Piece], begin_ns: int) -> Iterator[Piece]:
    """The records, those that applied earlier at ``begin_ns``: a replay does not walk through the time before it."""
    for piece in pieces:
        column = Column(np.maximum(piece.batch["ts_effective_ns"].astype(np.int64, copy=False), begin_ns))
        yield Piece(replace(piece.batch, columns={**piece.batch.columns, "ts_effective_ns": column}), piece.offsets)
