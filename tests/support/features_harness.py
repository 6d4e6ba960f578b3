"""Runs the features worker on the in-memory log under a seeded schedule of crashes, and knows what must come out."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from common import topics
from common.errors import ConflictError, UnavailableError
from processors.engine.marked import Follower, marker_of
from processors.engine.order import Merger
from processors.features.intake import Bounds
from processors.features.stepping import Engine, Limits
from processors.features.wire import INPUTS
from processors.features.worker import Tuning, Worker
from tests.support.features_feed import CONFIG, ROW_TOPICS, SMALL_ENGINE, START_NS, Feed, Sent, encoded_rows, wire
from tests.support.memory_log import Crash, Fault, MemoryLog, Process

SPY = "SPY"
TURNS = 5_000
IDLE_TURNS = 10
"""After so many turns without any progress nothing is left: the log in memory hands out at random."""
NEVER_S = 1e9


def new_log(seed: int | None = None) -> MemoryLog:
    """A log with every topic of the platform."""
    log = MemoryLog(seed)
    for spec in topics.specs():
        log.create(spec.name, spec.partitions, spec.cleanup)
    return log


class Clock:
    """Seconds that pass with every look."""

    def __init__(self, step_s: float) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def new_worker(
    process: Process, rng: random.Random, engine: Engine, scale: int, source_timeout_s: float = NEVER_S
) -> Worker:
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
            source_timeout_s=source_timeout_s,
        ),
        monotonic_s=Clock(0.05),
        wall_ns=lambda: START_NS,
    )


class Delivery:
    """Writes a feed bit by bit, in its order or, with ``stalls``, each input at its own pace, some of them not at all
    for a while.
    """

    def __init__(self, rng: random.Random, feed: Feed, scale: int, stalls: bool) -> None:
        self._rng = rng
        self._scale = scale
        self._queues: dict[str, deque[Sent]] = {}
        for sent in feed.records:
            self._queues.setdefault(sent.about if stalls else "", deque()).append(sent)
        self._stalled: set[str] = set()

    @property
    def done(self) -> bool:
        return not any(self._queues.values())

    def write(self, log: MemoryLog) -> None:
        """Append what this turn brings."""
        for name, queue in self._queues.items():
            if name and self._rng.random() < 0.04:
                self._stalled ^= {name}
            if name in self._stalled:
                continue
            for _ in range(min(len(queue), self._rng.choice((0, 0, 1, 5, 30, 200)) * self._scale)):
                sent = queue.popleft()
                log.append(sent.topic, sent.value)
                if name and self._rng.random() < 0.3 / self._scale:
                    break


def run_schedule(
    seed: int, feed: Feed, faults: int = 6, engine: Engine = SMALL_ENGINE, scale: int = 1, stalls: bool = False
) -> MemoryLog:
    """Feed the log while workers crash, are fenced, lose answers and are replaced, until everything is published.

    ``scale``: how much more of everything a step may take. ``stalls``: inputs stall and are set aside.
    """
    rng = random.Random(seed)
    log = new_log(seed)
    for _ in range(faults):
        log.faults[rng.randint(1, 250)] = rng.choice(list(Fault))
    delivery = Delivery(rng, feed, scale, stalls)
    worker: Worker | None = None
    zombies: list[Worker] = []
    idle = 0
    for _ in range(TURNS):
        delivery.write(log)
        luck = rng.random()
        if luck < 0.02:
            log.compact(topics.CHECKPOINTS)
        elif luck < 0.03:
            log.expire_transactions()
        elif luck < 0.05 and worker is not None:
            zombies.append(worker)
            worker = None
        elif luck < 0.07 and worker is not None:
            _survives(worker, Worker.close)
            worker = None
        if zombies and rng.random() < 0.3:
            zombie = rng.choice(zombies)
            if not zombie.recovered or not _survives(zombie, lambda one: one.poll(0)):
                zombies.remove(zombie)
        if worker is None:
            timeout_s = rng.choice((0.1, 0.5, 3.0)) if stalls else NEVER_S
            worker = new_worker(log.process(), rng, engine, scale, timeout_s)
        moved: list[bool] = []
        if not _survives(worker, lambda one: moved.append(_turn(one))):  # noqa: B023
            worker = None
        idle = idle + 1 if moved == [False] and delivery.done and worker.at_end and worker.caught_up else 0
        if idle == IDLE_TURNS and not log.faults:
            return log
        if delivery.done and rng.random() < 0.01:
            log.faults.clear()
    raise AssertionError(f"seed {seed}: not through after {TURNS} turns")


def _turn(worker: Worker) -> bool:
    if not worker.recovered:
        worker.recover()
    return worker.poll(0)


def _survives(worker: Worker, act: Callable[[Worker], Any]) -> bool:
    """False when the worker's process is gone or it had to stop."""
    try:
        act(worker)
    except (Crash, ConflictError):
        return False
    except UnavailableError:
        pass
    return True


def values(log: MemoryLog, topic: str) -> list[bytes | None]:
    """The committed records."""
    return [message.value() for message in log.records(topic)]


def decoded(log: MemoryLog, topic: str) -> list[dict[str, Any]]:
    """The committed records of a low-rate topic."""
    return [wire().decode_row(topic, value) for value in values(log, topic)]


def assert_published_once(log: MemoryLog, feed: Feed) -> None:
    """The committed rows are the engine's, byte for byte; markers and dead letters agree with them."""
    for topic in ROW_TOPICS:
        assert values(log, topic) == list(feed.rows[topic]), topic
    _assert_markers_cover_the_rows(log)
    assert _dead_letters(log) == feed.bad


def assert_follows_from_markers(log: MemoryLog, feed: Feed, engine: Engine = SMALL_ENGINE) -> int:
    """What was committed is what following the markers gives, step by step, byte for byte, and it covers every record
    once and every snap; returns how many records came late.
    """
    _assert_markers_cover_the_rows(log)
    merger = Merger(INPUTS)
    markers = decoded(log, topics.MARKERS)
    follower = Follower(merger, [marker_of(marker) for marker in markers])
    good, bad = 0, set()
    for name in (*INPUTS, topics.HEARTBEATS):
        found = wire().decode(name, values(log, name))
        bad |= {(name, letter.index) for letter in found.bad}
        if name in INPUTS:
            good += found.batch.length
            merger.push(name, found.batch, np.asarray(found.index, np.int64))
            merger.read_to(name, len(values(log, name)))
    covered = dict(zip(markers[-1]["input_topics"], markers[-1]["input_next_offsets"], strict=True))
    assert _dead_letters(log) == {(name, offset) for name, offset in bad if offset < covered[name]}
    state = engine.initial_state()
    left = {topic: values(log, topic) for topic in ROW_TOPICS}
    rows: dict[str, list[bytes]] = {topic: [] for topic in ROW_TOPICS}
    events = late = 0
    while (part := follower.pop()) is not None:
        events += len(part.events)
        late += part.events.late
        for topic, got in encoded_rows(engine.step(state, part.events, part.events.until_ns)).items():
            rows[topic] += got
        if part.marker is not None:
            marker = markers.pop(0)
            for topic, field in ROW_TOPICS.items():
                assert rows[topic] == left[topic][: marker[field]], (topic, marker)
                del left[topic][: marker[field]]
                rows[topic] = []
    follower.finish()
    for name in INPUTS:
        # What came late after the last step waits for a later one.
        merger.promise(name, merger.position(name), feed.end_ns + 1)
    rest = merger.pop()
    assert events + len(rest) == good
    assert not any(encoded_rows(engine.step(state, rest, rest.until_ns)).values()), "a snap was not published"
    return late


def _assert_markers_cover_the_rows(log: MemoryLog) -> None:
    markers = decoded(log, topics.MARKERS)
    times = {
        topic: wire().decode(topic, values(log, topic)).batch["ts_event_ns"].tolist() if values(log, topic) else []
        for topic in ROW_TOPICS
    }
    last_ns = 0
    for marker in markers:
        mine: set[int] = set()
        for topic, field in ROW_TOPICS.items():
            mine |= set(times[topic][: marker[field]])
            del times[topic][: marker[field]]
        assert marker["snaps"] == len(mine)
        assert marker["ts_first_snap_ns"] == (min(mine) if mine else None)
        assert marker["ts_event_ns"] == (max(mine) if mine else last_ns)
        assert all(max(last_ns + 1, marker["ts_from_ns"]) <= time < marker["ts_until_ns"] for time in mine)
        last_ns = marker["ts_event_ns"]
    assert not any(times.values())
    for before, after in pairwise(markers):
        assert before["ts_until_ns"] <= after["ts_from_ns"] <= after["ts_until_ns"]
        assert all(a <= b for a, b in zip(before["input_next_offsets"], after["input_next_offsets"], strict=True))


def _dead_letters(log: MemoryLog) -> set[tuple[str, int]]:
    places = [(letter["topic"], letter["offset"]) for letter in decoded(log, topics.DEAD_LETTERS)]
    assert len(places) == len(set(places)), "a record was set aside twice"
    return set(places)
