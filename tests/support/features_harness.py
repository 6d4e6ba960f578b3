"""Runs the features worker on the in-memory log under a seeded schedule of crashes, and knows what must come out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from confluent_kafka import Message

from common import schemas, topics
from common.avro import encode_row
from common.config import EngineConfig
from common.errors import ConflictError, UnavailableError
from processors.engine.order import Merger
from processors.features.intake import Bounds
from processors.features.stepping import Engine, Limits, Stepper
from processors.features.wire import INPUTS, Wire
from processors.features.worker import Tuning, Worker
from tests.support.event_batches import event_batch
from tests.support.memory_log import Crash, Fault, MemoryLog, Process
from tests.support.small_engine import small_engine

CONFIG = EngineConfig()
INTERVAL_NS = CONFIG.snap_interval_ns
START_NS = 1_700_000_000_000_000_000 // INTERVAL_NS * INTERVAL_NS
SPY = "SPY"
_IDS = {name: number for number, name in enumerate(schemas.names(), start=1)}
_NAMES = {number: name for name, number in _IDS.items()}


def wire(namespace: str = "") -> Wire:
    """The real codecs; schema ids are places in the list of schemas."""
    return Wire(namespace, _IDS, lambda number: schemas.load(_NAMES.get(number, "unknown")))


def new_log(seed: int | None = None) -> MemoryLog:
    """A log with every topic of the platform."""
    log = MemoryLog(seed)
    for spec in topics.specs():
        log.create(spec.name, spec.partitions, spec.cleanup)
    return log


@dataclass(frozen=True, slots=True)
class Feed:
    """What the producers will write, in order (topic, value), and what must come of it."""

    records: tuple[tuple[str, bytes], ...]
    rows: tuple[bytes, ...]
    bad: frozenset[tuple[str, int]]


def heartbeat(
    topic: str, next_offset: int, ts_watermark_ns: int, state: str = "CONNECTED", partition: int = 0
) -> bytes:
    """A framed heartbeat."""
    row = {
        "ts_event_ns": ts_watermark_ns,
        "source": "sim",
        "topic": topic,
        "partition": partition,
        "next_offset": next_offset,
        "ts_watermark_ns": ts_watermark_ns,
        "state": state,
    }
    return encode_row(schemas.load(topics.HEARTBEATS), row, _IDS[topics.HEARTBEATS])


@cache
def make_feed(seed: int, events: int = 40, garbage: bool = True) -> Feed:
    """Two inputs with ties, quiet stretches, heartbeats and records that are not Avro."""
    rng = random.Random(seed)
    clocks = dict.fromkeys(INPUTS, START_NS)
    lengths = dict.fromkeys(INPUTS, 0)
    good: dict[str, list[tuple[int, int, int]]] = {name: [] for name in INPUTS}
    records: list[tuple[str, bytes]] = []
    bad: set[tuple[str, int]] = set()
    heartbeats = 0
    for number in range(events):
        name = rng.choice(INPUTS)
        clocks[name] += rng.choice((0, 0, 1, INTERVAL_NS // 7, INTERVAL_NS, 3 * INTERVAL_NS))
        if garbage and rng.random() < 0.08:
            bad.add((name, lengths[name]))
            records.append((name, rng.choice((b"", b"not avro", b"\0\0\0\0\x63zz"))))
        else:
            event_ns = clocks[name] - rng.choice((0, 0, 5))
            good[name].append((clocks[name], event_ns, number))
            records.append((name, _encoded(name, clocks[name], event_ns, number)))
        lengths[name] += 1
        if rng.random() < 0.15:
            quiet = rng.choice(INPUTS)
            boundary = max(clocks.values()) // INTERVAL_NS * INTERVAL_NS + rng.choice((0, 1))
            clocks[quiet] = max(clocks[quiet], boundary)
            records.append((topics.HEARTBEATS, heartbeat(quiet, lengths[quiet], clocks[quiet])))
            heartbeats += 1
        if garbage and rng.random() < 0.02:
            bad.add((topics.HEARTBEATS, heartbeats))
            records.append((topics.HEARTBEATS, b"not avro"))
            heartbeats += 1
    end_ns = max(clocks.values()) // INTERVAL_NS * INTERVAL_NS + 2 * INTERVAL_NS + 1
    records += [(topics.HEARTBEATS, heartbeat(name, lengths[name], end_ns, "ENDED")) for name in INPUTS]
    return Feed(tuple(records), tuple(_reference(good, end_ns)), frozenset(bad))


def _encoded(name: str, effective_ns: int, event_ns: int, event_id: int) -> bytes:
    return Wire("", _IDS, lambda _: schemas.load(name)).encode(
        event_batch(name, [effective_ns], [event_ns], [7], [event_id])
    )[0]


def _reference(good: dict[str, list[tuple[int, int, int]]], end_ns: int) -> list[bytes]:
    """The engine on everything at once, without a log."""
    merger = Merger(INPUTS)
    for name, rows in good.items():
        if rows:
            effective, event, ids = zip(*rows, strict=True)
            merger.push(
                name, event_batch(name, effective, event, [7] * len(rows), ids), np.arange(len(rows), dtype=np.int64)
            )
        merger.promise(name, len(rows), end_ns)
    return published_by(small_engine(INTERVAL_NS), merger)


def published_by(engine: Engine, merger: Merger) -> list[bytes]:
    """The rows of everything that the merger can hand out."""
    steps = Stepper(engine, CONFIG, engine.initial_state(), merger).steps()
    return [value for step in steps if step.rows.length for value in wire().encode(step.rows)]


class Clock:
    """Seconds that pass with every look."""

    def __init__(self, step_s: float) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def new_worker(process: Process, rng: random.Random, engine: Engine, scale: int) -> Worker:
    """A worker with small random bounds (times ``scale``), so that every path is taken on little data."""
    pause = rng.choice((3, 10, 1000)) * scale
    return Worker(
        complex_name=SPY,
        clients=process,
        wire=wire(),
        engine=engine,
        config=CONFIG,
        run_id="run",
        tuning=Tuning(
            limits=Limits(rng.choice((1, 3, 400)) * scale, rng.choice((2, 20_000)) * scale),
            bounds=Bounds(rng.choice((2, 7, 1000)) * scale, pause, pause // 2),
            checkpoint_interval_s=rng.choice((0.5, 3, 100)),
        ),
        monotonic_s=Clock(0.05),
        wall_ns=lambda: START_NS,
    )


SMALL_ENGINE = small_engine(INTERVAL_NS)


def run_schedule(seed: int, feed: Feed, faults: int = 6, engine: Engine = SMALL_ENGINE, scale: int = 1) -> MemoryLog:
    """Feed the log while workers crash, are fenced, lose answers and are replaced, until everything is published.

    ``scale``: how much more of everything a step may take.
    """
    rng = random.Random(seed)
    log = new_log(seed)
    for _ in range(faults):
        log.faults[rng.randint(1, 250)] = rng.choice(list(Fault))
    left = list(feed.records)
    worker: Worker | None = None
    zombies: list[Worker] = []
    for _ in range(5_000):
        for topic, value in left[: (count := rng.choice((0, 0, 1, 5, 30, 200)) * scale)]:
            log.append(topic, value)
        del left[:count]
        luck = rng.random()
        if luck < 0.02:
            log.compact(topics.CHECKPOINTS)
        elif luck < 0.03:
            log.expire_transactions()
        elif luck < 0.05 and worker is not None:
            zombies.append(worker)
            worker = None
        elif luck < 0.07 and worker is not None:
            worker = _survives(worker, Worker.close) and None
        if zombies and rng.random() < 0.3:
            zombie = rng.choice(zombies)
            if not zombie.recovered or not _survives(zombie, lambda one: one.poll(0)):
                zombies.remove(zombie)
        worker = worker or new_worker(log.process(), rng, engine, scale)
        alive = _survives(worker, _turn)
        worker = worker if alive else None
        if worker is not None and not left and worker.at_end and not log.faults:
            return log
        if not left and rng.random() < 0.01:
            log.faults.clear()
    raise AssertionError(f"seed {seed}: not through after 5,000 turns")


def _turn(worker: Worker) -> None:
    if not worker.recovered:
        worker.recover()
    worker.poll(0)


def _survives(worker: Worker, act: object) -> bool:
    """False when the worker's process is gone or it had to stop."""
    try:
        act(worker)  # type: ignore[operator]
    except (Crash, ConflictError):
        return False
    except UnavailableError:
        pass
    return True


def assert_published_once(log: MemoryLog, feed: Feed) -> None:
    """The committed rows are the engine's, byte for byte; markers and dead letters agree with them."""
    rows = [message.value() for message in log.records(topics.FEATURES)]
    assert rows == list(feed.rows)
    markers = [_row(topics.MARKERS, message) for message in log.records(topics.MARKERS)]
    assert sum(marker["rows"] for marker in markers) == len(rows)
    times = wire().decode(topics.FEATURES, rows).batch["ts_event_ns"].tolist()
    at, last_ns = 0, 0
    for marker in markers:
        mine = times[at : at + marker["rows"]]
        at += marker["rows"]
        assert marker["snaps"] == len(set(mine))
        assert marker["ts_first_snap_ns"] == (mine[0] if mine else None)
        assert marker["ts_event_ns"] == (mine[-1] if mine else last_ns)
        assert not mine or mine[0] > last_ns
        last_ns = marker["ts_event_ns"]
    for before, after in pairwise(markers):
        assert all(a <= b for a, b in zip(before["input_next_offsets"], after["input_next_offsets"], strict=True))
    letters = [_row(topics.DEAD_LETTERS, message) for message in log.records(topics.DEAD_LETTERS)]
    places = [(letter["topic"], letter["offset"]) for letter in letters]
    assert len(places) == len(set(places))
    assert set(places) == feed.bad


def _row(name: str, message: Message) -> dict:
    return wire().decode_row(name, message.value())
