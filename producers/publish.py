"""One run of a finite input, files or a stored range: look where the log stands, publish what is missing, end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

import confluent_kafka as ck

from common.config import EngineConfig
from common.errors import BreakwaterError, InputError
from common.schemas import RecordSchema, load
from common.telemetry import get_logger
from common.topics import DEAD_LETTERS, HEARTBEATS, full_name
from producers.dbn import CHUNK_RECORDS
from producers.letters.aside import SetAside, log_only
from producers.letters.letter import KnownLetters, Letter, read_letters
from producers.live.arrivals import Bad
from producers.log_state import Beat, read_beats, read_tail
from producers.pacing import paced
from producers.publisher import Publisher
from producers.resume import Plan, plan, remaining
from producers.sender import Target
from producers.stream import StampedStep, check_file, input_id, stamped_batches, topics_of

log = get_logger("producers")

SOURCE = "files"
"""Who promises in the heartbeats: a merged input speaks for the feeds of all its files."""

Progress = Callable[[Mapping[str, int], int], None]
"""Told the acknowledged records per topic and the event time reached, now and then."""


class Schemas(Protocol):
    """What is needed of the registry (:class:`common.registry.Registry`)."""

    def schema(self, schema_id: int) -> RecordSchema:
        """The schema of an id."""


@dataclass(frozen=True, slots=True)
class Log:
    """The log's clients, and how schemas are named in it."""

    producer: ck.Producer
    consumer: ck.Consumer
    registry: Schemas
    schema_ids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: the input's records in the log per topic, those that this run added, and how it ended."""

    input_id: str
    records: Mapping[str, int]
    added: Mapping[str, int]
    complete: bool
    elapsed_s: float


def total(outcomes: Sequence[Outcome]) -> Outcome:
    """Several inputs' outcomes as one, with the last one's identity."""
    if len(outcomes) == 1:
        return outcomes[0]
    records: dict[str, int] = {}
    added: dict[str, int] = {}
    for outcome in outcomes:
        for counts, sums in ((outcome.records, records), (outcome.added, added)):
            for topic, count in counts.items():
                sums[topic] = sums.get(topic, 0) + count
    complete = all(outcome.complete for outcome in outcomes)
    return Outcome(outcomes[-1].input_id, records, added, complete, sum(outcome.elapsed_s for outcome in outcomes))


@dataclass(frozen=True, slots=True)
class Input:
    """A finite input: equal identities mean equal records.

    ``source``: who promises in the heartbeats, about ``topics``. ``steps(floor_ns, set_aside)``: its stream from the
    start, with no stamp below ``floor_ns``; what cannot be used is handed to ``set_aside``.
    """

    identity: str
    source: str
    topics: tuple[str, ...]
    steps: Callable[[int, SetAside], Iterator[StampedStep]]


@dataclass(frozen=True, slots=True)
class Job:
    """What to publish, where, and how fast (``speed`` None: as fast as the log takes it).

    ``paths``: files, none where another `Input` is given. ``chunk_records``: records of a file that are read, encoded
    and sent together; it changes nothing that is published.
    """

    paths: tuple[Path, ...]
    complex_name: str
    partition: int
    namespace: str
    run_id: str
    speed: float | None = None
    chunk_records: int = CHUNK_RECORDS


def publish_files(
    job: Job, config: EngineConfig, clients: Log, stop: Event, progress: Progress | None = None
) -> Outcome:
    """Publish the job's files; see `publish_input`."""

    def steps(floor_ns: int, set_aside: SetAside) -> Iterator[StampedStep]:
        return stamped_batches(
            job.paths, config, floor_ns=floor_ns, chunk_records=job.chunk_records, set_aside=set_aside
        )

    given = Input(input_id(job.paths), SOURCE, topics_of(job.paths), steps)
    return publish_input(given, job, config, clients, stop, progress)


def publish_input(
    given: Input, job: Job, config: EngineConfig, clients: Log, stop: Event, progress: Progress | None = None
) -> Outcome:
    """Publish the input, going on where an earlier run stopped; nothing when all of it is there already.

    ``stop`` ends the run early and cleanly. Raises InputError (after what was read before the damage is acknowledged),
    UnavailableError, ConflictError, InvariantError.
    """
    begun_s = time.monotonic()
    identity = given.identity
    decided = _decide(given, job, config, clients)
    if decided.done:
        records = _ended_records(job, clients, identity)
        log.info("already_published", input_id=identity, **records)
        return Outcome(identity, records, dict.fromkeys(given.topics, 0), True, time.monotonic() - begun_s)
    target = Target(
        given.source, job.complex_name, job.partition, job.namespace, job.run_id, identity, clients.schema_ids
    )
    publisher = Publisher(clients.producer, target, decided.next_offsets, decided.published, config.snap_interval_ns)
    aside = _letters(job, clients, publisher)
    log.info("publishing", input_id=identity, run_id=job.run_id, published_before=dict(decided.published))
    watermark_ns = decided.floor_ns
    try:
        publisher.beat("CONNECTED", decided.floor_ns)
        publisher.drain()
        for step in _steps(given, job, config, decided, stop, aside):
            publisher.publish(step)
            watermark_ns = step.watermark_ns
            if progress is not None:
                progress(publisher.records, watermark_ns)
            if stop.is_set():
                break
        complete = not stop.is_set()
        publisher.drain()
        publisher.beat("ENDED" if complete else "DISCONNECTED", watermark_ns)
        publisher.drain()
    except InputError:
        publisher.drain()
        publisher.beat("DISCONNECTED", watermark_ns)
        publisher.drain()
        raise
    except BreakwaterError:
        publisher.abandon()
        raise
    added = {topic: count - decided.published[topic] for topic, count in publisher.records.items()}
    outcome = Outcome(identity, publisher.records, added, complete, time.monotonic() - begun_s)
    log.info("published", input_id=identity, complete=complete, **outcome.records)
    return outcome


def _letters(job: Job, clients: Log, publisher: Publisher) -> SetAside:
    """What cannot be used goes to the dead letters, unless an earlier run wrote it there."""
    known = KnownLetters()
    name = full_name(DEAD_LETTERS, job.namespace)
    for _, letter in read_letters(clients.consumer, name, job.partition, clients.registry.schema):
        known.add(letter)

    def set_aside(source: str, bad: Bad) -> None:
        letter = Letter(time.time_ns(), bad.topic, source, bad.place, bad.error, bad.value)
        if known.add(letter):
            log_only(source, bad)
            publisher.set_aside(letter.encoded(clients.schema_ids))

    return set_aside


def _decide(given: Input, job: Job, config: EngineConfig, clients: Log) -> Plan:
    beats = _beats(job, clients)
    tails = {
        topic: read_tail(
            clients.consumer, full_name(topic, job.namespace), job.partition, load(topic), clients.registry.schema
        )
        for topic in given.topics
    }
    return plan(given.identity, beats, tails, given.steps(0, log_only), config.snap_interval_ns)


def _beats(job: Job, clients: Log) -> list[Beat]:
    """The heartbeats, their topics by the schemas' names."""
    prefix = full_name("", job.namespace)
    heartbeats = full_name(HEARTBEATS, job.namespace)
    beats = read_beats(clients.consumer, heartbeats, job.partition, clients.registry.schema)
    return [
        Beat(b.topic.removeprefix(prefix), b.next_offset, b.ts_watermark_ns, b.ended, b.input_id, b.input_records)
        for b in beats
    ]


def _ended_records(job: Job, clients: Log, identity: str) -> dict[str, int]:
    return {b.topic: b.input_records for b in _beats(job, clients) if b.ended and b.input_id == identity}


def _steps(
    given: Input, job: Job, config: EngineConfig, decided: Plan, stop: Event, set_aside: SetAside
) -> Iterator[StampedStep]:
    """What is left to publish, at the job's speed; steps that an earlier run published whole are left out."""
    steps = remaining(given.steps(decided.floor_ns, set_aside), decided.published)
    if job.speed is None:
        yield from steps
    else:
        yield from paced(steps, job.speed, config.snap_interval_ns, time.monotonic, stop.wait)


def files_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The input files, each opened once to see that it can be read. Raises InputError."""
    if not paths:
        raise InputError("no input file is given", hint="Name DBN files and captures with --file.")
    for path in paths:
        check_file(path)
    return tuple(paths)
