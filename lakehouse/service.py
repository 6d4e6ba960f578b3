"""The sink as a service: a thread per topic, what it waits for at the start, its health, and its end.

Each topic has a consumer, a table and a thread of its own, so that a slow commit of one does not age the others; what
they have read and not committed shares one room. Several processes share the work by a consumer group per topic. The
first error that a thread cannot bear ends the whole service with that error; a restart goes on from the tables.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import KafkaException

from common import endpoints, iceberg, kafka, schemas, topics
from common.errors import UnavailableError
from common.registry import Registry
from common.settings import settings
from common.telemetry import Health, get_logger, serve_health, stop_requested
from lakehouse import metrics
from lakehouse.commits import Patience, Source
from lakehouse.dead_letters import DeadLetters
from lakehouse.records import Decoder
from lakehouse.room import Room
from lakehouse.sink import Limits, TopicSink
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_tables

log = get_logger("lakehouse.service")

SERVICE = "sink"
POLL_S = 0.1
WAIT_S = 0.25
REMIND_S = 5.0
LAG_EVERY_S = 1.0

SNAP_TOPICS = (topics.FEATURES, topics.SIGNALS)
"""Their partitions hold snaps in the order (ts_event_ns, snap_row); a crash upstream may send rows again."""

FRESH_S = 1.0
OTHERS_S = 10.0
"""Age at which a batch is committed: futures and signals are asked for at once, the rest is for later (DESIGN 6)."""

ROOM_BYTES = 384 * 1024 * 1024
"""Rows that all topics may hold uncommitted; three topics can fill a batch each."""
QUEUE_KBYTES = 16_384
"""Messages that each topic's consumer fetches ahead."""

SESSION_MS = 10_000
"""A sink that is not heard of for so long is taken for dead, and the others get its partitions."""
HEARTBEAT_MS = 1_000

_T = TypeVar("_T")


def limits(topic: str) -> Limits:
    """When batches of the topic are committed."""
    return Limits(age_s=FRESH_S if topic.startswith("futures.") or topic == topics.SIGNALS else OTHERS_S)


def group_consumer(topic: str) -> Any:
    """The consumer of a topic (its full name), a member of the group of sinks under this process's name."""
    return kafka.consumer(
        group_id=f"breakwater.sink.{topic}",
        group_instance_id=settings().sink_member or socket.gethostname(),
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        enable_partition_eof=True,
        queued_max_messages_kbytes=QUEUE_KBYTES,
    )


class Sinks:
    """All sinks of one process."""

    def __init__(self, stop: threading.Event, health: Health) -> None:
        self._stop = stop
        self._health = health
        self._namespace = settings().namespace
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._errors: list[BaseException] = []

    def run(self) -> None:
        """Until asked to stop; commits what was read before it returns. Raises the first error that ended a sink."""
        for table in iceberg.TABLES.values():
            self._health.set(table, False, "starting")
        registry = Registry(endpoints.resolve().registry_url)
        admin = kafka.admin()
        counts = self._wait("topics", lambda: self._partitions(admin))
        letters_id = self._wait(
            "schema registry", lambda: registry.register(schemas.load(topics.DEAD_LETTERS), self._namespace)
        )
        if counts is None or letters_id is None:
            return
        letters_topic = topics.full_name(topics.DEAD_LETTERS, self._namespace)
        letters = DeadLetters(kafka.producer(), letters_topic, letters_id, partitions=counts[letters_topic])
        names = {topic: topics.full_name(topic, self._namespace) for topic in iceberg.TABLES}
        # Schemas before threads: an incompatible one is refused before anything is read or written.
        catalog = iceberg.open_catalog()
        ensure_tables(catalog, {iceberg.TABLES[topic]: (name, schemas.load(topic)) for topic, name in names.items()})
        room = Room(ROOM_BYTES)
        sinks = [
            TopicSink(
                topic=name,
                table=iceberg.TABLES[topic],
                consumer=group_consumer(name),
                store=IcebergStore(catalog, iceberg.TABLES[topic], name),
                decoder=Decoder(schemas.load(topic), registry.schema),
                dead_letters=letters,
                source=partial(self._source, admin, name),
                owner=self._owner,
                repeats=topic in SNAP_TOPICS,
                patience=Patience(self._pause, partial(self._failed, iceberg.TABLES[topic])),
                room=room,
                limits=limits(topic),
            )
            for topic, name in names.items()
        ]
        # What is loaded by now stays: looking at it again at every collection costs a third of the sink's rate.
        gc.collect()
        gc.freeze()
        # A context each: what the log lines of this process carry (service) is kept in it.
        threads = [
            threading.Thread(target=copy_context().run, args=(self._serve, sink), name=sink.table) for sink in sinks
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(WAIT_S)
        if self._errors:
            raise self._errors[0]

    def _serve(self, sink: TopicSink) -> None:
        try:
            sink.start()
            log.info("sink_started", table=sink.table, topic=sink.topic)
            looked_s = 0.0
            while not self._stop.is_set():
                sink.step(POLL_S)
                if time.monotonic() - looked_s >= LAG_EVERY_S:
                    looked_s = time.monotonic()
                    self._look(sink)
            sink.commit()
            log.info("sink_stopped", table=sink.table)
        except BaseException as error:
            self._health.set(sink.table, False, str(error))
            if not (self._stop.is_set() and isinstance(error, UnavailableError)):
                log.error("sink_failed", table=sink.table, error=repr(error))
                self._errors.append(error)
            else:
                log.warning("sink_stopped_uncommitted", table=sink.table, error=str(error))
            self._stop.set()
        finally:
            sink.close()

    def _look(self, sink: TopicSink) -> None:
        """Lag and health; a broker that is away is no reason to stop, the log goes on when it is back."""
        try:
            lag = sink.lag()
        except UnavailableError as error:
            self._health.set(sink.table, False, str(error))
            return
        metrics.LAG.labels(sink.table).set(lag)
        if not sink.joined:
            self._health.set(sink.table, False, "joining the group of sinks")
        else:
            mine = f"lag {lag} records" if sink.partitions else "other sinks have all partitions"
            self._health.set(sink.table, True, mine)

    def _wait(self, what: str, ask: Callable[[], _T]) -> _T | None:
        """The answer, as soon as there is one; None when asked to stop before."""
        reminded_s = -REMIND_S
        while not self._stop.is_set():
            try:
                answer = ask()
                self._health.set(what, True)
                return answer
            except (UnavailableError, KafkaException) as error:
                self._health.set(what, False, str(error))
                if time.monotonic() - reminded_s >= REMIND_S:
                    reminded_s = time.monotonic()
                    log.warning("waiting", for_=what, detail=str(error), hint=getattr(error, "hint", None))
            self._stop.wait(WAIT_S)
        return None

    def _partitions(self, admin: Any) -> dict[str, int]:
        """Partition counts by full topic name. Raises UnavailableError while a topic is missing."""
        wanted = [topics.full_name(topic, self._namespace) for topic in (*iceberg.TABLES, topics.DEAD_LETTERS)]
        found = admin.list_topics(timeout=kafka.REQUEST_TIMEOUT_S).topics
        missing = [name for name in wanted if name not in found or not found[name].partitions]
        if missing:
            raise UnavailableError(
                f"these topics do not exist yet: {', '.join(missing)}",
                hint="A producer makes them at its start; so does ./breakwater demo.",
            )
        return {name: len(found[name].partitions) for name in wanted}

    def _source(self, admin: Any, name: str) -> Source:
        return Source(kafka.cluster_id(admin), kafka.topic_ids([name], client=admin)[name])

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise UnavailableError("asked to stop between two attempts; what was read is read again at the next start")

    def _failed(self, table: str, error: Exception) -> None:
        metrics.FAILURES.labels(table).inc()
        self._health.set(table, False, repr(error))


def serve() -> None:
    """Run the sink until SIGTERM or SIGINT. Raises the error that ended it, if one did."""
    stop = stop_requested()
    health = Health()
    with serve_health(SERVICE, health):
        Sinks(stop, health).run()
