"""The Faust worker against a real broker and registry: killed in mid-run, fed with garbage, told to stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import TopicPartition

from common import kafka, schemas, topics
from common.avro.codec import Codec
from common.avro.rows import decode_row
from common.config import load_config
from common.endpoints import Endpoints
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment
from processors.engine import signals
from tests.support.feature_rows import feature_batch, random_snaps
from tests.support.signals_crashes import once

WAIT_S = 120.0
Snaps = list[list[dict[str, Any]]]


class Topics:
    """The topics of one namespace, from the side of the worker's neighbours."""

    def __init__(self, namespace: str, registry: Registry) -> None:
        self.namespace = namespace
        self.registry = registry
        self.ids = registry.ensure_all(namespace)
        kafka.ensure_topics(topics.specs(namespace))
        self.transactions = kafka.transactional_producer(f"features-{namespace}")
        self.transactions.init_transactions()

    def name(self, topic: str) -> str:
        return topics.full_name(topic, self.namespace)

    def encode(self, snaps: Snaps) -> list[bytes]:
        codec = Codec(schemas.load(topics.FEATURES))
        return codec.encode(feature_batch([r for snap in snaps for r in snap]), self.ids[topics.FEATURES]).messages()

    def write(self, values: Sequence[bytes], *, commit: bool = True) -> None:
        """One transaction of feature rows, committed or aborted."""
        self.transactions.begin_transaction()
        rows = [{"value": value, "key": b"SPY"} for value in values]
        assert self.transactions.produce_batch(self.name(topics.FEATURES), rows, 0) == len(rows)
        if commit:
            self.transactions.commit_transaction()
        else:
            self.transactions.flush()
            self.transactions.abort_transaction()

    def write_snaps(self, snaps: Snaps, per_transaction: int = 40) -> None:
        for start in range(0, len(snaps), per_transaction):
            self.write(self.encode(snaps[start : start + per_transaction]))

    def write_plain(self, value: bytes) -> None:
        producer = kafka.producer()
        producer.produce(self.name(topics.FEATURES), value, b"SPY", 0)
        assert producer.flush(30) == 0

    def end(self, topic: str) -> int:
        return kafka.end_offsets(self.name(topic), 0).end_offset

    def read(self, topic: str) -> list[bytes]:
        """All committed records of a topic's partition."""
        consumer = kafka.consumer()
        try:
            end = kafka.end_offsets(self.name(topic), 0, client=consumer).end_offset
            at = TopicPartition(self.name(topic), 0, 0)
            consumer.assign([at])
            values: list[bytes] = []
            while end and consumer.position([at])[0].offset < end:
                for message in consumer.consume(10_000, 0.2):
                    assert message.error() is None
                    values.append(message.value() or b"")
            return values
        finally:
            consumer.close()

    def expected(self, snaps: Snaps) -> list[bytes]:
        """What the engine alone makes of the snaps, in the worker's encoding."""
        rows = feature_batch([row for snap in snaps for row in snap])
        out = signals.step(load_config(), signals.initial_state(), rows)
        return Codec(schemas.load(topics.SIGNALS)).encode(out, self.ids[topics.SIGNALS]).messages()

    def signals(self) -> list[bytes]:
        return once(self.read(topics.SIGNALS))


class Worker:
    """A worker process of one home."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path) -> None:
        self.process = process
        self.home = home

    @property
    def log(self) -> str:
        return (self.home / "signals.log").read_text()

    def wait_until(self, what: str, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not true():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{what}: exit {self.process.poll()}\n{self.log[-4000:]}")
            time.sleep(0.02)

    def health(self) -> dict[str, Any]:
        facts = json.loads((self.home / "run" / "signals.json").read_text())
        answer: dict[str, Any] = httpx.get(f"{facts['health_url']}/health/ready", timeout=30).json()
        return answer

    def detail(self) -> str:
        return str(self.health()["parts"]["faust"]["detail"])

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextmanager
def worker(namespace: str, home: Path) -> Iterator[Worker]:
    env = child_environment(BREAKWATER_NAMESPACE=namespace, BREAKWATER_HOME=str(home))
    with (home / "signals.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "processors.signals"], cwd=PROJECT_ROOT, env=env, stdout=output, stderr=output
        )
        try:
            yield Worker(process, home)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def log(stack: Endpoints, namespace: str) -> Iterator[Topics]:
    with Registry(stack.registry_url) as registry:
        yield Topics(namespace, registry)


def test_a_worker_killed_in_mid_run_sends_the_same_signals_and_none_is_missing(log: Topics, home: Path) -> None:
    snaps = random_snaps(11, 6000)
    log.write_snaps(snaps)
    expected = log.expected(snaps)
    for part in (0.0, 0.3, 0.6):
        with worker(log.namespace, home) as running:
            already = log.end(topics.SIGNALS)
            target = max(already, int(part * len(expected)))
            running.wait_until("signals before the kill", lambda t=target: log.end(topics.SIGNALS) > t)
            assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    with worker(log.namespace, home) as running:
        running.wait_until("as many signals", lambda: log.end(topics.SIGNALS) >= len(expected))
        running.wait_until("nothing behind", lambda: running.detail().startswith("0 records behind"))
        assert log.signals() == expected
        assert '"why": "resumed"' in running.log


def test_garbage_is_set_aside_and_uncommitted_rows_are_never_judged(log: Topics, home: Path) -> None:
    snaps = random_snaps(12, 60)
    log.write_snaps(snaps[:20])
    log.write(log.encode(random_snaps(13, 5)), commit=False)
    with worker(log.namespace, home) as running:
        running.wait_until("the first signals", lambda: len(log.signals()) == len(log.expected(snaps[:20])))
        log.write_plain(b"this is not Avro")
        log.write_snaps(snaps[20:40])
        log.write_plain(b"\0\0\0\0\1 nor is this")
        log.write_snaps(snaps[40:])
        expected = log.expected(snaps)
        running.wait_until("all signals", lambda: len(log.signals()) == len(expected))
        running.wait_until("readiness", lambda: bool(running.health()["ready"]))
        assert running.stop(signal.SIGTERM) == 0
    assert log.signals() == expected
    schema = schemas.load(topics.DEAD_LETTERS)
    letters = [decode_row(schema, value, log.registry.schema) for value in log.read(topics.DEAD_LETTERS)]
    assert [letter["value"] for letter in letters] == [b"this is not Avro", b"\0\0\0\0\1 nor is this"]
    assert {(letter["topic"], letter["partition"], letter["component"]) for letter in letters} == {
        (log.name(topics.FEATURES), 0, "signals")
    }


def test_a_hole_in_a_snap_stops_the_worker_with_an_error(log: Topics, home: Path) -> None:
    snaps = random_snaps(14, 20)
    log.write_snaps(snaps[:10])
    whole = log.encode(snaps[10:])
    log.write([*whole[:1], *whole[2:]])
    with worker(log.namespace, home) as running:
        assert running.process.wait(WAIT_S) == 1
        assert "a row before it is missing" in running.log
    assert set(log.signals()) <= set(log.expected(snaps[:10]))
