"""From the acknowledgement of an event to the snapshot that shows its row; sink and maintenance are processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, Message

from common import iceberg, kafka, schemas, topics
from common.avro import Codec
from common.columns import Batch, Column, repeated_string
from common.errors import UnavailableError
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment, settings
from infra.local.commands import service_status
from lakehouse import read
from lakehouse.maintenance.upkeep import count_files
from tests.benchmark.books import OPEN_NS, books

TICK_S = 0.05
SHARES = {topics.FUTURES_MBP10: 0.75, topics.FUTURES_TRADES: 0.15, topics.SIGNALS: 0.10}
"""Of the events of a second, how many each topic gets."""
SAMPLED = 10
"""One event in so many is timed."""
WAIT_S = 180.0
COUNT_S = 1.0
CARE = ("-m", "lakehouse.maintenance", "--every", "10")


def plain(topic: str, rows: int, first: int) -> Batch:
    """Records of any topic: numbers count on from ``first``, enums and texts have one value, nullables are absent."""
    count = np.arange(first, first + rows)
    columns: dict[str, Column] = {}
    for field in schemas.load(topic).fields:
        present = np.zeros(rows, np.bool_) if field.nullable else None
        if field.kind == "string":
            text = repeated_string("" if field.nullable else "STRIKE_480", rows)
            columns[field.name] = Column(text.values, present, text.offsets)
        elif field.kind == "enum":
            columns[field.name] = Column(np.zeros(rows, np.int32), present)
        else:
            columns[field.name] = Column(count.astype(field.dtype), present)
    columns["ts_event_ns"] = Column(OPEN_NS + count * 1_000)
    return Batch(topic, rows, columns)


class Acknowledged:
    """When the broker took the sampled events of each topic: (offset, moment)."""

    def __init__(self, names: Sequence[str]) -> None:
        self.moments: dict[str, list[tuple[int, float]]] = {name: [] for name in names}

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise UnavailableError(f"the broker did not take an event: {error.str()}")
        self.moments[str(message.topic())].append((int(message.offset() or 0), time.monotonic()))


class Watcher:
    """A reader of the tables: which offset each shows, from when on."""

    def __init__(self, tables: dict[str, str]) -> None:
        self._tables = tables
        self._stop = threading.Event()
        self.seen: dict[str, list[tuple[int, float]]] = {name: [] for name in tables}
        self.most_files = self.most_snapshots = 0
        self._thread = threading.Thread(target=self._watch, name="watcher")

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        counted_s = 0.0
        while not self._stop.wait(TICK_S):
            for name, table in self._tables.items():
                end = read.committed_offsets(table).get((name, 0), 0)
                if end and (not self.seen[name] or end > self.seen[name][-1][0]):
                    self.seen[name].append((end, time.monotonic()))
            if time.monotonic() - counted_s >= COUNT_S:
                counted_s = time.monotonic()
                self._count()

    def _count(self) -> None:
        """All events are of one or two hours, so a table's files are those of an hour, or a few more."""
        for name in self._tables.values():
            if (table := iceberg.load_table(name)) is not None:
                self.most_files = max(self.most_files, count_files(table))
                self.most_snapshots = max(self.most_snapshots, len(table.metadata.snapshots))

    def reaches(self, ends: dict[str, int]) -> bool:
        """True when the tables show everything below these offsets."""
        return all(self.seen[name] and self.seen[name][-1][0] >= end for name, end in ends.items())


@contextmanager
def service(name: str, *command: str, **environment: str) -> Iterator[None]:
    """A service's process, ready when the block begins."""
    log, run_file = settings().home / f"{name}.log", settings().home / "run" / f"{name}.json"
    run_file.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=PROJECT_ROOT,
            env=child_environment(**environment),
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + WAIT_S
        while service_status(run_file)["state"] != "ready":
            if process.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(f"{name} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)


def measure(registry: Registry, namespace: str, events_per_s: int, seconds: float) -> dict[str, Any]:
    """Percentiles of the age at which rows become visible, in seconds, and what the tables hold afterwards."""
    kafka.ensure_topics(topics.specs(namespace))
    registry.ensure_all(namespace)
    names = {topics.full_name(topic, namespace): topic for topic in SHARES}
    ids = {name: registry.register(schemas.load(topic), namespace) for name, topic in names.items()}
    acknowledged, producer = Acknowledged(list(names)), kafka.producer()
    ends = dict.fromkeys(names, 0)
    book = books(20_000, 5)
    encoded = {
        name: Codec(schemas.load(topic)).encode(book, ids[name]).messages()
        for name, topic in names.items()
        if topic == topics.FUTURES_MBP10
    }
    codecs = {name: Codec(schemas.load(topic)) for name, topic in names.items()}
    tables = {name: iceberg.TABLES[topic] for name, topic in names.items()}
    sink = {"BREAKWATER_NAMESPACE": namespace, "BREAKWATER_SINK_MEMBER": "bench"}
    with (
        service("sink", "-m", "lakehouse", **sink),
        service("maintenance", *CARE, BREAKWATER_HEALTH_PORT="0"),
        Watcher(tables) as watcher,
    ):
        began = time.monotonic()
        for tick in range(int(seconds / TICK_S)):
            for name, topic in names.items():
                rows = int(events_per_s * TICK_S * SHARES[topic])
                if name in encoded:
                    start = ends[name] % (len(encoded[name]) - rows)
                    values = encoded[name][start : start + rows]
                else:
                    values = codecs[name].encode(plain(topic, rows, ends[name]), ids[name]).messages()
                for place, value in enumerate(values):
                    report = {"on_delivery": acknowledged} if place % SAMPLED == 0 else {}
                    producer.produce(name, value=value, partition=0, **report)
                ends[name] += rows
            producer.poll(0)
            time.sleep(max(0.0, began + (tick + 1) * TICK_S - time.monotonic()))
        took_s = time.monotonic() - began
        producer.flush()
        deadline = time.monotonic() + WAIT_S
        while not watcher.reaches(ends):
            if time.monotonic() > deadline:
                raise UnavailableError(f"the tables stand at {watcher.seen}, the topics end at {ends}")
            time.sleep(TICK_S)
    return _result(acknowledged, watcher, tables, ends, took_s)


def _result(
    acknowledged: Acknowledged, watcher: Watcher, tables: dict[str, str], ends: dict[str, int], took_s: float
) -> dict[str, Any]:
    ages = []
    for name, moments in acknowledged.moments.items():
        shown = np.array([end for end, _ in watcher.seen[name]])
        since = np.array([moment for _, moment in watcher.seen[name]])
        offsets = np.array([offset for offset, _ in moments])
        ages.append(since[np.searchsorted(shown, offsets, side="right")] - np.array([at for _, at in moments]))
    every = np.concatenate(ages)
    stored = {name: read.table_rows(table) for name, table in tables.items()}
    if stored != ends:
        raise AssertionError(f"the tables hold {stored}, the topics {ends}")
    return {
        "events": sum(ends.values()),
        "events_per_s": round(sum(ends.values()) / took_s),
        "freshness_median_s": round(float(np.median(every)), 3),
        "freshness_p95_s": round(float(np.quantile(every, 0.95)), 3),
        "freshness_max_s": round(float(every.max()), 3),
        "most_files": watcher.most_files,
        "most_snapshots": watcher.most_snapshots,
    }
