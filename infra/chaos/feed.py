"""What the sinks are fed while they are killed: trades with bad records among them, signals with rows sent again."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from common import kafka, schemas, topics
from common.avro import encode_row
from common.errors import UnavailableError
from common.registry import Registry
from common.topics import TopicSpec

FED = (topics.FUTURES_TRADES, topics.SIGNALS)
PARTITIONS = 3
"""Of the fed topics; the others have one."""
HOUR_NS = 3_600_000_000_000
START_NS = 1_703_509_200_000_000_000
EVERY_S = 0.05
ROWS = 20
"""Trades, and snaps' rows, that are sent each time."""
BAD = b"\x00 no record"
FLUSH_S = 180.0


def specs(namespace: str) -> list[TopicSpec]:
    """The topics as they are made here."""
    fed = {topics.full_name(topic, namespace) for topic in FED}
    return [
        TopicSpec(s.name, PARTITIONS if s.name in fed else s.partitions, s.cleanup) for s in topics.specs(namespace)
    ]


class Feed:
    """Sends until it is ended. The topics afterwards say what was sent."""

    def __init__(self, registry: Registry, namespace: str, seed: int) -> None:
        self._ids = {topic: registry.register(schemas.load(topic), namespace) for topic in FED}
        self._names = {topic: topics.full_name(topic, namespace) for topic in FED}
        self._blank = {topic: blank(topic) for topic in FED}
        self._random = np.random.default_rng(seed)
        self._producer = kafka.producer()
        self._ended = threading.Event()
        self._snap = 0
        self._trades = 0
        self._thread = threading.Thread(target=self._run, name="feed")

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def end(self) -> None:
        """Stop, and wait until the broker has everything. Raises UnavailableError when it does not take it."""
        self._ended.set()
        self._thread.join()
        if self._producer.flush(FLUSH_S):
            raise UnavailableError("the broker does not take the rest of the feed", hint="Look at the broker's log.")

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            for _ in range(ROWS):
                self._trade()
            for partition in range(PARTITIONS):
                self._snap_rows(partition)
            self._producer.poll(0)

    def _trade(self) -> None:
        self._trades += 1
        # Two in a hundred are late, by an hour and more: their file is another one.
        late = HOUR_NS if self._random.random() < 0.02 else 0
        times = dict.fromkeys(("ts_event_ns", "ts_recv_ns", "ts_effective_ns"), START_NS + self._trades * 10**8 - late)
        fields = {"event_id": self._trades, "price": 4800 + self._trades % 400 / 4, "size": 1 + self._trades % 7}
        record = {**self._blank[topics.FUTURES_TRADES], **times, **fields}
        bad = self._random.random() < 0.005
        self._send(topics.FUTURES_TRADES, int(self._random.integers(PARTITIONS)), None if bad else record)

    def _snap_rows(self, partition: int) -> None:
        """A snap of a few levels; sometimes the last ones once more, as after a crash of the worker before."""
        self._snap += 1
        again = int(self._random.integers(1, 4)) if self._random.random() < 0.05 else 0
        for number in range(max(1, self._snap - again * PARTITIONS), self._snap + 1, PARTITIONS):
            for row in range(3):
                place = {"ts_event_ns": START_NS + number * 25 * 10**7, "snap_row": row, "snap_rows": 3}
                record = {**self._blank[topics.SIGNALS], **place, "level_id": f"STRIKE_{480 + row}"}
                self._send(topics.SIGNALS, partition, record)

    def _send(self, topic: str, partition: int, record: dict[str, Any] | None) -> None:
        value = BAD if record is None else encode_row(schemas.load(topic), record, self._ids[topic])
        while True:
            try:
                self._producer.produce(self._names[topic], value=value, partition=partition)
                return
            except BufferError:
                self._producer.poll(0.5)
                time.sleep(EVERY_S)


def blank(topic: str) -> dict[str, Any]:
    """A record of the topic with nothing in it."""
    kinds: dict[str, Any] = {"string": "", "boolean": False, "double": 0.0, "bytes": b"", "array": []}
    return {
        field.name: None if field.nullable else field.symbols[0] if field.symbols else kinds.get(field.kind, 0)
        for field in schemas.load(topic).fields
    }
