"""The signals worker's life: connect, start the app, watch it, stop it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

from common import endpoints, schemas, topics
from common.config import EngineConfig, load_config
from common.errors import BreakwaterError, UnavailableError
from common.kafka import client_config, ensure_topics, producer
from common.registry import Registry
from common.settings import settings
from common.telemetry import Health, configure_logging, get_logger, serve_health, stop_requested
from processors.signals.app import SignalsApp, Wiring, app_id, changelog_topic
from processors.signals.credentials import credentials
from processors.signals.partition import load_kernels
from processors.signals.probe import Probe
from processors.signals.transport import CommittedConsumer

log = get_logger("signals")

SERVICE = "signals"
POLL_S = 0.1
WATCH_INTERVAL_S = 1.0
STALL_S = 15.0
"""Input that lies unjudged for longer without any progress means that the worker hangs."""
REQUEST_TIMEOUT_S = 5.0
LOG_REPEAT_S = 10.0
STOP_TIMEOUT_S = 15.0


class _Seldom(logging.Filter):
    """Lets a line of aiokafka's through once in a while: without a broker it writes hundreds a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True for the first line of a kind, then at most every LOG_REPEAT_S."""
        if not record.name.startswith("aiokafka"):
            return True
        now_s = time.monotonic()
        if now_s - self._last_s.get(record.msg, -LOG_REPEAT_S) < LOG_REPEAT_S:
            return False
        self._last_s[record.msg] = now_s
        return True


def run() -> None:
    """Run until SIGTERM or SIGINT. Raises what stopped it otherwise."""
    configure_logging(SERVICE)
    for name in ("faust", "mode", "aiokafka", "httpx", CommittedConsumer.__module__):
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Seldom())
    stop = stop_requested()
    config = load_config()
    health = Health()
    health.set("faust", False, "starting")
    with serve_health(SERVICE, health, namespace=settings().namespace, config_hash=config.hash):
        wiring = _connect(config)
        load_kernels(config)
        asyncio.run(_serve(wiring, health, stop))


def _connect(config: EngineConfig) -> Wiring:
    namespace = settings().namespace
    where = endpoints.resolve()
    specs = topics.specs(namespace)
    changelog = topics.TopicSpec(changelog_topic(namespace), max(topics.COMPLEXES.values()) + 1, "compact")
    ensure_topics([*specs, changelog])
    data_dir = settings().home / "faust" / app_id(namespace)
    data_dir.mkdir(parents=True, exist_ok=True)
    registry = Registry(where.registry_url)
    return Wiring(
        bootstrap=where.kafka_bootstrap,
        credentials=credentials(client_config()),
        namespace=namespace,
        data_dir=data_dir,
        config=config,
        schema_ids={
            name: registry.register(schemas.load(name), namespace) for name in (topics.SIGNALS, topics.DEAD_LETTERS)
        },
        writer=registry.schema,
        producer=producer(linger_ms=0),
        first_committed=Probe(),
    )


async def _serve(wiring: Wiring, health: Health, stop: threading.Event) -> None:
    app = SignalsApp(wiring)
    starting = asyncio.create_task(app.faust.start())
    try:
        await _watch(app, starting, health, stop)
    finally:
        health.set("faust", False, "stopping")
        await _stop(app, starting)


async def _watch(app: SignalsApp, starting: asyncio.Task[None], health: Health, stop: threading.Event) -> None:
    looked_at = 0.0
    while not stop.is_set():
        if app.failure.done():
            raise app.failure.result()
        if starting.done() and starting.exception() is not None:
            raise starting.exception() or RuntimeError
        if app.faust.crashed:
            raise app.faust.crash_reason or UnavailableError("the Faust app crashed without a reason")
        now = time.monotonic()
        if now - looked_at >= WATCH_INTERVAL_S:
            looked_at = now
            await _look(app, health)
        await asyncio.sleep(POLL_S)


async def _look(app: SignalsApp, health: Health) -> None:
    """The watchdog: not ready while recovering, and when input lags and nothing moves."""
    if not app.ready or app.faust.rebalancing:
        health.set("faust", False, "recovering")
        return
    try:
        behind = app.waiting + await asyncio.wait_for(app.unread(), REQUEST_TIMEOUT_S)
    except Exception as error:  # whatever the client says of an absent broker
        health.set("faust", False, f"the broker does not answer: {error!r}")
        return
    if behind == 0:
        app.moved_at = time.monotonic()
    still_s = time.monotonic() - app.moved_at
    health.set("faust", still_s <= STALL_S, f"{behind} records behind, last progress {still_s:.0f} s ago")


async def _stop(app: SignalsApp, starting: asyncio.Task[None]) -> None:
    try:
        await asyncio.wait_for(app.faust.stop(), STOP_TIMEOUT_S)
    except TimeoutError:
        log.error("faust_did_not_stop", after_s=STOP_TIMEOUT_S)
    starting.cancel()


def main() -> None:
    """Run the worker; errors of ours end it with exit code 1 and one log line, others with a traceback."""
    try:
        run()
    except BreakwaterError as error:
        log.error("worker_stopped", error=str(error), hint=error.hint)
        raise SystemExit(1) from None
