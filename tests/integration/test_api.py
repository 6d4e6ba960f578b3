"""The API as a process, on a real broker and registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.sync.client import connect

from api import models
from common import kafka, topics
from common.avro import Codec
from common.endpoints import Endpoints
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment
from tests.support.signal_rows import SCHEMA, signal_batch, snap_ns, snap_rows

PATIENCE_S = 60.0


class Signals:
    """Writes signals as the signals worker does."""

    def __init__(self, stack: Endpoints, namespace: str) -> None:
        self.topic = topics.full_name(topics.SIGNALS, namespace)
        kafka.ensure_topics([spec for spec in topics.specs(namespace) if spec.name == self.topic])
        with Registry(stack.registry_url) as registry:
            self._schema_id = registry.register(SCHEMA, namespace)
        self._producer = kafka.producer()

    def write(self, *numbers: int) -> None:
        rows = [row for number in numbers for row in snap_rows(number)]
        for value in Codec(SCHEMA).encode(signal_batch(rows), self._schema_id).messages():
            self._producer.produce(self.topic, value, partition=0)
        assert self._producer.flush(PATIENCE_S) == 0

    def write_junk(self) -> None:
        self._producer.produce(self.topic, b"not avro", partition=0)
        assert self._producer.flush(PATIENCE_S) == 0


def eventually(found: Any, what: str) -> Any:
    """The first true answer of ``found``."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S} s for {what}")


class Api:
    """A running API process."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path) -> None:
        self.process = process
        self.run_file = home / "run" / "api.json"
        facts = eventually(self._facts, "the API's run file")
        self.url: str = facts["url"]
        self.health_url: str = facts["health_url"]

    def _facts(self) -> Any:
        assert self.process.poll() is None, "the API ended"
        if not self.run_file.is_file():
            return None
        facts = json.loads(self.run_file.read_text(encoding="utf-8"))
        return facts if facts["pid"] == self.process.pid else None

    def levels(self, seq: int) -> models.Levels:
        """The snap of that sequence number, once it is the newest."""

        def newest() -> models.Levels | None:
            response = httpx.get(f"{self.url}/v1/levels")
            if response.status_code != 200:
                return None
            found = models.Levels.model_validate_json(response.content)
            return found if found.seq == seq else None

        found: models.Levels = eventually(newest, f"seq {seq}")
        return found


@contextmanager
def running(home: Path, namespace: str) -> Iterator[Api]:
    environment = child_environment(BREAKWATER_HOME=str(home), BREAKWATER_NAMESPACE=namespace)
    with (home / "api.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        yield Api(process, home)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_signals_in_the_log_reach_rest_and_socket_and_a_restart_keeps_their_numbers(
    stack: Endpoints, namespace: str, home: Path
) -> None:
    signals = Signals(stack, namespace)
    signals.write(0, 1)
    with running(home, namespace) as api:
        found = api.levels(5)
        assert found.ts * 1_000_000 == snap_ns(1)
        with connect(f"ws{api.url.removeprefix('http')}/ws/levels") as socket:
            assert orjson.loads(socket.recv())["seq"] == 5
            signals.write_junk()
            signals.write(2)
            signals.write(2, 3)  # published again, as after a crash of the worker
            frames = [orjson.loads(socket.recv()) for _ in range(2)]
        assert [(f["type"], f["prev_seq"], f["seq"]) for f in frames] == [("update", 5, 9), ("update", 9, 15)]
        history = httpx.get(f"{api.url}/v1/levels/VWAP/history")
        page = models.History.model_validate_json(history.content)
        assert [point.ts * 1_000_000 for point in page.points] == [snap_ns(n) for n in range(4)]
        ready = eventually(lambda: httpx.get(f"{api.health_url}/health/ready").is_success, "readiness")
        assert ready
        metrics = httpx.get(f"{api.health_url}/metrics").text
        assert "breakwater_api_snaps_total 4.0" in metrics
        assert "breakwater_api_bad_records_total 1.0" in metrics
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(PATIENCE_S) == 0
        assert not api.run_file.exists()

    with running(home, namespace) as api:
        assert api.levels(15).ts * 1_000_000 == snap_ns(3)
        with connect(f"ws{api.url.removeprefix('http')}/ws/levels?since_seq=9") as socket:
            resumed = orjson.loads(socket.recv())
        assert (resumed["type"], resumed["prev_seq"], resumed["seq"]) == ("update", 9, 15)
        health = models.HealthReport.model_validate_json(httpx.get(f"{api.url}/v1/health").content)
        assert health.parts["broker"].ok
        assert health.signals.latest_seq == 15
        api.process.kill()

    with running(home, namespace) as api:  # after a SIGKILL, beside a stale run file
        assert api.levels(15)


def test_a_topic_that_is_made_later_is_found(stack: Endpoints, namespace: str, home: Path) -> None:
    with running(home, namespace) as api:
        response = httpx.get(f"{api.url}/v1/levels")
        assert response.status_code == 503
        assert "no signal yet" in response.json()["detail"]
        Signals(stack, namespace).write(0)
        assert api.levels(2)


@pytest.mark.parametrize(
    ("changes", "says", "hint"),
    [
        ({"BREAKWATER_API_HOST": "192.0.2.1"}, "192.0.2.1", "BREAKWATER_API_HOST"),
        ({"BREAKWATER_COMPLEXES": "QQQ"}, "QQQ", "Known complexes"),
        ({"BREAKWATER_ENGINE_W_b": "-1"}, "W_b", "Correct the named keys"),
    ],
)
def test_an_api_that_cannot_begin_says_why(
    stack: Endpoints, home: Path, changes: dict[str, str], says: str, hint: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "api"],
        cwd=PROJECT_ROOT,
        env=child_environment(BREAKWATER_HOME=str(home), **changes),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1
    assert says in ended.stderr.decode()
    assert hint in ended.stderr.decode()
    assert b"Traceback" not in ended.stderr


def test_without_a_broker_the_api_says_where_it_looked(home: Path) -> None:
    environment = child_environment(BREAKWATER_HOME=str(home))
    for name in ("BREAKWATER_KAFKA_BOOTSTRAP", "BREAKWATER_REGISTRY_URL"):
        environment.pop(name, None)
    ended = subprocess.run(
        [sys.executable, "-m", "api"],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1
    assert "./breakwater up" in ended.stderr.decode()
    assert os.fspath(home) in ended.stderr.decode()
