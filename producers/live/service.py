"""A live producer as a process: clients, the feed's thread, health, and its end on a signal."""

from __future__ import annotations

import importlib
import threading
import time
import uuid
from pathlib import Path

from common import endpoints, kafka, topics
from common.config import EngineConfig, load_config
from common.errors import ConfigError
from common.registry import Registry
from common.settings import settings
from common.telemetry import Health, get_logger, serve_health, stop_requested
from producers.live import metrics
from producers.live.arrivals import Feed, Resume, Stopped
from producers.live.inbox import BoundedInbox
from producers.live.outlet import Outlet
from producers.live.pump import Pump
from producers.live.recovery import known_letter, recover
from producers.live.stamper import Rules, Stamper
from producers.sender import PRODUCER_OVERRIDES, Target
from producers.spool import Limits, Spool
from producers.stream import lateness_of

log = get_logger("producers.live")

FEEDS = {"databento": "producers.dbn.live:DatabentoFeed", "massive": "producers.massive.live:MassiveFeed"}
"""Where each vendor's feed is; imported only when it runs."""

LIVE_OVERRIDES = {**PRODUCER_OVERRIDES, "linger_ms": 1}
BUSY_WAIT_S = 0.001
IDLE_WAIT_S = 0.02
LOOK_S = 0.5
"""How often health is looked at."""

END_S = 10.0
"""How long an end waits for the feed, and again for the broker; what is not acknowledged stays in the spool."""


def feed_of(vendor: str) -> Feed:
    """The vendor's feed, made from the settings. Raises ConfigError for an unknown vendor or a missing key."""
    if vendor not in FEEDS:
        raise ConfigError(f"unknown vendor {vendor!r}", hint=f"Known vendors: {', '.join(FEEDS)}.")
    module, _, name = FEEDS[vendor].partition(":")
    feed: Feed = getattr(importlib.import_module(module), name).from_settings()
    return feed


def spool_folder(source: str, namespace: str) -> Path:
    """Where a source's spool lies."""
    return settings().home / "spool" / (namespace or "live") / source


def serve_feed(feed: Feed, complex_name: str, namespace: str | None) -> None:
    """Write the feed into the log until SIGTERM or Ctrl-C; raises what ends the feed, and as `Outlet.serve`."""
    chosen = settings().namespace if namespace is None else namespace
    config = load_config()
    stop = stop_requested()
    health = Health()
    health.set("log", False, "connecting")
    health.set("feed", False, "connecting")
    run_id = uuid.uuid4().hex
    with (
        serve_health(f"producer-{feed.source}", health, run_id=run_id),
        Registry(endpoints.resolve().registry_url) as registry,
    ):
        kafka.ensure_topics(topics.specs(chosen))
        ids = registry.ensure_all(chosen)
        target = Target(feed.source, complex_name, topics.partition_of(complex_name), chosen, run_id, None, ids)
        spool = Spool(spool_folder(feed.source, chosen), Limits(total_bytes=settings().spool_bytes))
        consumer = kafka.consumer(enable_partition_eof=True)
        try:
            stamper = Stamper(feed.topics, rules_of(feed, config))
            found = recover(consumer, feed.topics, chosen, target.partition, registry.schema, spool, stamper)
        finally:
            consumer.close()
        outlet = Outlet(
            kafka.producer(**LIVE_OVERRIDES),
            target,
            found.logged,
            found.stamped,
            spool,
            lambda value: known_letter(value, registry.schema, found.letters),
        )
        log.info("going_on", run_id=run_id, logged=dict(found.logged), spooled=dict(found.stamped))
        pump = Pump(feed.topics, target, stamper, outlet, found.letters)
        pump.warm_up()
        try:
            LiveRun(feed, pump, outlet, stamper, health, stop).run()
        finally:
            outlet.close()


def rules_of(feed: Feed, config: EngineConfig) -> Rules:
    """Stamping and promises of the feed under the configuration."""
    lateness_ns = {topic: lateness_of(topic, config) for topic in feed.topics}
    grace_ns = settings().idle_grace_ms * 1_000_000
    return Rules(lateness_ns, config.snap_interval_ns, grace_ns, feed.repeats_are_events)


class LiveRun:
    """The two threads of a live producer: the feed fills the inbox, this one empties it."""

    def __init__(
        self, feed: Feed, pump: Pump, outlet: Outlet, stamper: Stamper, health: Health, stop: threading.Event
    ) -> None:
        self._feed = feed
        self._pump = pump
        self._outlet = outlet
        self._stamper = stamper
        self._health = health
        self._stop = stop
        self._inbox = BoundedInbox()
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._looked_s = 0.0
        self._was_full = False

    def run(self) -> None:
        """Until `stop`, or until the feed ends: then raises its error."""
        resume = Resume(self._stamper.last_event_ns)
        thread = threading.Thread(target=self._feed_in, args=(resume,), name="feed", daemon=True)
        thread.start()
        while not self._stop.is_set() and not self._ended.is_set():
            self._turn()
        self._end()
        if self._error is not None:
            raise self._error

    def _feed_in(self, resume: Resume) -> None:
        try:
            self._feed.run(self._inbox, resume)
        except Stopped:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def _turn(self) -> None:
        wait_s = BUSY_WAIT_S if self._outlet.waiting else IDLE_WAIT_S
        if self._outlet.has_room:
            self._pump.take(self._inbox.take(wait_s), time.time_ns())
        else:
            time.sleep(wait_s)
        self._pump.serve(BUSY_WAIT_S if self._outlet.waiting else 0.0)
        self._look()

    def _end(self) -> None:
        """Let the feed end, write what it still brought, and say so."""
        self._feed.stop()
        deadline_s = time.monotonic() + END_S
        while time.monotonic() < deadline_s and not (self._ended.is_set() and self._inbox.empty):
            self._turn()
        self._inbox.close()
        self._pump.end()
        deadline_s = time.monotonic() + END_S
        while time.monotonic() < deadline_s and not self._outlet.empty:
            self._pump.serve(BUSY_WAIT_S)
        if not self._outlet.empty:
            log.warning("left_in_spool", hint="The broker did not take it; the next run sends it first.")

    def _look(self) -> None:
        now_s = time.monotonic()
        full = not self._outlet.has_room
        if full != self._was_full:
            self._was_full = full
            metrics.SPOOL_FULL.set(full)
            self._health.set("spool", not full, "full: the feed is held back" if full else "")
            if full:
                log.error("spool_full", hint="The feed is held back until the broker takes records again.")
            else:
                log.info("spool_has_room")
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        away = self._outlet.away
        behind = "the broker is away: spooling" if away else "sending what was spooled" if self._outlet.behind else ""
        self._health.set("log", not behind, behind)
        down = [topic for topic in self._pump.topics if self._stamper.state(topic) != "CONNECTED"]
        self._health.set("feed", not down, f"not connected: {', '.join(down)}" if down else "")


def serve_live(vendor: str, complex_name: str, namespace: str | None) -> None:
    """Run a vendor's feed. Raises ConfigError, and as `serve_feed`."""
    serve_feed(feed_of(vendor), complex_name, namespace)
