"""Small scenes for one features worker: events and heartbeats at snap times, and what the worker made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from common import topics
from common.config import EngineConfig
from processors.features.stepping import Engine
from processors.features.worker import Tuning, Worker
from tests.support.event_batches import event_batch
from tests.support.features_feed import CONFIG, INTERVAL_NS, START_NS, heartbeat, wire
from tests.support.features_harness import SPY, Clock, new_log
from tests.support.memory_log import MemoryLog, Process
from tests.support.small_engine import small_engine


def at(snaps: float) -> int:
    return START_NS + int(snaps * INTERVAL_NS)


QUIET_SNAPS = 1e6


def es_log() -> MemoryLog:
    """A log in which every input but ES has promised to send nothing for long."""
    log = new_log()
    for topic in topics.ENGINE_INPUTS:
        if topic not in topics.ALWAYS_AWAITED:
            beat(log, topic, 0, QUIET_SNAPS)
    return log


def make(
    log: MemoryLog,
    process: Process | None = None,
    *,
    engine: Engine | None = None,
    config: EngineConfig = CONFIG,
    tuning: Tuning | None = None,
    clock: Clock | None = None,
) -> Worker:
    worker = Worker(
        complex_name=SPY,
        clients=process or log.process(),
        wire=wire(),
        engine=engine or small_engine(INTERVAL_NS),
        config=config,
        run_id="run-1",
        tuning=tuning or Tuning(checkpoint_interval_s=1e9),
        monotonic_s=clock or Clock(0.001),
        wall_ns=lambda: 42,
    )
    worker.recover()
    return worker


def write(log: MemoryLog, topic: str, snaps: Iterable[float]) -> None:
    for value in encoded(topic, [at(s) for s in snaps]):
        log.append(topic, value)


def encoded(topic: str, times: list[int]) -> list[bytes]:
    """Framed events at these effective times."""
    return wire().encode(event_batch(topic, times, None, [1] * len(times), [t % 1_000_003 for t in times]))


def beat(
    log: MemoryLog, topic: str, next_offset: int, snaps: float, state: str = "CONNECTED", input_id: str | None = None
) -> None:
    log.append(topics.HEARTBEATS, heartbeat(topic, next_offset, at(snaps) + 1, state, input_id=input_id))


def drain(worker: Worker) -> None:
    for _ in range(200):
        if not worker.poll(0) and worker.at_end:
            return
    raise AssertionError("the worker does not come to an end")


def rows(log: MemoryLog, name: str = topics.FEATURES) -> list[dict[str, Any]]:
    return [wire().decode_row(name, message.value()) for message in log.records(name)]


def snaps(log: MemoryLog) -> list[float]:
    return sorted({(row["ts_event_ns"] - START_NS) / INTERVAL_NS for row in rows(log)})
