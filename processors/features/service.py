"""The features worker as a process: what it waits for at the start, its health, its retries, and its end."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TypeVar

from common import endpoints, kafka, schemas, topics
from common.config import EngineConfig, load_config
from common.errors import BreakwaterError, UnavailableError
from common.registry import Registry
from common.sessions import cme_es_sessions
from common.settings import settings
from common.telemetry import Health, get_logger, serve_health, stop_requested
from processors.engine import features
from processors.engine.state import State
from processors.features.stepping import Engine
from processors.features.wire import OUTPUTS, Wire
from processors.features.worker import Tuning, Worker

log = get_logger("features.service")

SERVICE = "features"

POLL_S = 0.02
"""Longest wait for records; bounds the latency that a snap's release adds."""

RETRY_S = 0.5
"""Pause before what is not available is asked again."""

REMIND_S = 5.0

_T = TypeVar("_T")


def engine_of(complex_name: str, config: EngineConfig) -> Engine:
    """The real engine for one complex, with the calendar of its sessions."""
    sessions = cme_es_sessions()
    return Engine(
        initial_state=lambda: features.initial_state(config, sessions, complex_name),
        step=features.step,
        restore=lambda data: State.from_bytes(config, sessions, data),
    )


def serve() -> None:
    """Work until SIGTERM or Ctrl-C. Raises ConflictError when another worker took over, ConfigError, InvariantError."""
    config = load_config()
    stop = stop_requested()
    health = Health()
    for name in settings().complex_names:
        topics.partition_of(name)
        health.set(name, False, "starting")
    with serve_health(SERVICE, health, config_hash=config.hash):
        wire = _wait_for(_connect, health, stop)
        if wire is None:
            return
        run_id = uuid.uuid4().hex
        workers = {
            name: Worker(
                complex_name=name,
                clients=kafka,
                wire=wire,
                engine=engine_of(name, config),
                config=config,
                run_id=run_id,
                tuning=Tuning(source_timeout_s=settings().source_timeout_ms / 1000),
            )
            for name in settings().complex_names
        }
        run(workers, health, stop)


def run(workers: Mapping[str, Worker], health: Health, stop: threading.Event, retry_s: float = RETRY_S) -> None:
    """Poll every worker in turn until asked to stop; what passes is tried again by a recovery, all else is raised."""
    try:
        while not stop.is_set():
            for name, worker in workers.items():
                try:
                    if not worker.recovered:
                        worker.recover()
                    worker.poll(POLL_S)
                except UnavailableError as error:
                    log.warning("retrying", complex=name, error=str(error), hint=error.hint)
                    health.set(name, False, str(error))
                    stop.wait(retry_s)
                    continue
                except BreakwaterError as error:
                    log.error("stopped", complex=name, error=str(error), hint=error.hint)
                    health.set(name, False, str(error))
                    raise
                health.set(name, worker.caught_up, "" if worker.caught_up else "computing again what was published")
    finally:
        for worker in workers.values():
            worker.close()


def _connect() -> Wire:
    """Topics and schemas, made where missing. Raises UnavailableError."""
    namespace = settings().namespace
    kafka.ensure_topics(topics.specs(namespace))
    registry = Registry(endpoints.resolve().registry_url)
    return Wire(
        namespace, {name: registry.register(schemas.load(name), namespace) for name in OUTPUTS}, registry.schema
    )


def _wait_for(ask: Callable[[], _T], health: Health, stop: threading.Event) -> _T | None:
    """The answer as soon as there is one; None when asked to stop before."""
    reminded_s = -REMIND_S
    while not stop.is_set():
        try:
            answer = ask()
        except UnavailableError as error:
            health.set("log and registry", False, str(error))
            if time.monotonic() - reminded_s >= REMIND_S:
                reminded_s = time.monotonic()
                log.warning("waiting", error=str(error), hint=error.hint)
            stop.wait(RETRY_S)
            continue
        health.set("log and registry", True)
        return answer
    return None
