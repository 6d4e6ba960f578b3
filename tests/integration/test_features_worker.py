"""The features worker against a real broker and registry: killed in mid-run, it ends with the same rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
from confluent_kafka import Consumer, Message

from common import kafka, schemas, topics
from common.avro import Codec
from common.config import load_config
from common.endpoints import Endpoints
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment
from infra.local import stack as local_stack
from processors.features.recovery import read_range
from producers.replay import replay
from producers.stream import stamped_batches
from tests.support.live_run import sample_files
from tests.support.waiting import wait_until

WAIT_S = 180.0


@contextmanager
def worker(namespace: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    env = child_environment(BREAKWATER_NAMESPACE=namespace, BREAKWATER_HOME=str(home))
    with (home / "features.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "processors.features"], cwd=PROJECT_ROOT, env=env, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def end(topic: str, client: Consumer | None = None) -> int:
    return kafka.end_offsets(topic, 0, client=client).end_offset


def committed(topic: str) -> list[Message]:
    consumer = kafka.consumer(enable_partition_eof=True)
    try:
        return read_range(consumer, topic, 0, 0, end(topic))
    finally:
        consumer.close()


def publishing(namespace: str, speed: str) -> subprocess.Popen[bytes]:
    """A producer of the sample session: an hour of the market, ``speed`` times as fast."""
    command = [sys.executable, "-m", "producers", "publish", "--namespace", namespace, "--speed", speed]
    for path in sample_files():
        command += ["--file", str(path)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, env=child_environment(), stderr=subprocess.DEVNULL)


def expected(schema_id: int) -> list[bytes]:
    """The rows of an uninterrupted run, from the engine alone."""
    config = load_config()
    codec = Codec(schemas.load(topics.FEATURES))
    steps = replay(stamped_batches(sample_files(), config), config)
    rows = (judged.features for judged in steps if judged.features.length)
    return [value for batch in rows for value in codec.encode(batch, schema_id).messages()]


def test_a_worker_killed_in_mid_run_ends_with_the_rows_of_an_uninterrupted_one(
    stack: Endpoints, namespace: str, home: Path
) -> None:
    kafka.ensure_topics(topics.specs(namespace))
    rows = topics.full_name(topics.FEATURES, namespace)
    with Registry(stack.registry_url) as registry:
        wanted = expected(registry.register(schemas.load(topics.FEATURES), namespace))
    watching = kafka.consumer()
    with publishing(namespace, "80") as producer:
        for _ in range(3):
            before = end(rows, watching)
            with worker(namespace, home) as process:
                wait_until("a transaction", home, lambda before=before: end(rows, watching) > before)
                process.send_signal(signal.SIGKILL)
                process.wait()
            assert 0 < len(committed(rows)) < len(wanted), "the kill came too late to prove anything"
        assert producer.wait(WAIT_S) == 0
    with worker(namespace, home) as process:
        wait_until("the last row", home, lambda: end(rows, watching) >= len(wanted) <= len(committed(rows)))
        assert ready(home)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    watching.close()
    assert [message.value() for message in committed(rows)] == wanted


def test_a_second_worker_takes_over_and_the_first_stops_with_an_error(
    stack: Endpoints, namespace: str, home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    kafka.ensure_topics(topics.specs(namespace))
    with worker(namespace, home) as first:
        wait_until("the first worker", home, (home / "run" / "features.json").exists)
        wait_until("its readiness", home, lambda: ready(home))
        with worker(namespace, other):
            wait_until("the second worker", other, lambda: (other / "run" / "features.json").exists() and ready(other))
            assert publishing(namespace, "max").wait(WAIT_S) == 0
            wait_until("the first worker's end", home, lambda: first.poll() is not None)
            assert first.returncode == 1
            assert "has taken over SPY" in (home / "features.log").read_text()


def test_a_broker_that_dies_in_mid_run_and_returns_costs_no_row_and_repeats_none(
    stack: Endpoints, own_broker: Path
) -> None:
    kafka.ensure_topics(topics.specs())
    with Registry(stack.registry_url) as registry:
        wanted = expected(registry.register(schemas.load(topics.FEATURES)))
    with publishing("", "200") as producer, worker("", own_broker) as process:
        wait_until("a transaction", own_broker, lambda: end(topics.FEATURES) > 0)
        broker = next(part for part in local_stack.status(own_broker) if part.name == "kafka")
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        time.sleep(2.0)
        local_stack.up(own_broker, parts=("kafka",))
        assert 0 < len(committed(topics.FEATURES)) < len(wanted), "the broker died too late to prove anything"
        assert producer.wait(WAIT_S) == 0
        wait_until("the last row", own_broker, lambda: end(topics.FEATURES) >= len(wanted))
        wait_until("its commit", own_broker, lambda: len(committed(topics.FEATURES)) >= len(wanted))
        assert process.poll() is None and ready(own_broker)
    assert [message.value() for message in committed(topics.FEATURES)] == wanted


def ready(home: Path) -> bool:
    facts = orjson.loads((home / "run" / "features.json").read_bytes())
    return httpx.get(f"{facts['health_url']}/health/ready").status_code == 200
