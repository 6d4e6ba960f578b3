"""The live producer of Databento as a process, between the gateway and a real broker: stored + lost in gaps = sent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.avro import Codec, decode_row
from common.endpoints import resolve
from common.registry import Registry
from common.schemas import load
from common.settings import child_environment
from common.topics import DEAD_LETTERS, HEARTBEATS, full_name
from producers.dbn.session import Session
from tests.support.databento_broadcast import Broadcast, Fault
from tests.support.databento_gateway import TEST_KEY, LiveGateway
from tests.support.databento_market import assert_accounted, schedule, write_market
from tests.support.told import files_with, told
from tests.support.topic_rows import values_of

LIMIT_S = 400.0
RECORDS = 2400


def stored(namespace: str) -> tuple[dict[str, NDArray[np.int64]], dict[str, list[int]]]:
    """The event ids of each topic, and the effective times."""
    ids, effective = {}, {}
    with Registry(resolve().registry_url) as registry:
        for topic in Session.topics:
            batch = Codec(load(topic)).decode(values_of(topic, namespace), registry.schema).batch
            ids[topic] = batch["event_id"].astype(np.int64)
            effective[topic] = batch["ts_effective_ns"].tolist()
    return ids, effective


def beats(namespace: str) -> list[dict[str, Any]]:
    with Registry(resolve().registry_url) as registry:
        raws = values_of(HEARTBEATS, namespace)
        return [decode_row(load(HEARTBEATS), value, registry.schema) for value in raws]


def gaps(namespace: str) -> dict[str, list[tuple[int, int]]]:
    out: dict[str, list[tuple[int, int]]] = {topic: [] for topic in Session.topics}
    for row in beats(namespace):
        if row["gap_begin_ns"] is not None:
            out[row["topic"].removeprefix(f"{namespace}.")].append((row["gap_begin_ns"], row["gap_end_ns"]))
    return out


def is_through(namespace: str, gateway: LiveGateway) -> bool:
    """Everything was published, and every topic is promised to be complete up to its end."""
    if not gateway.ended:
        return False
    last_ns = gateway.broadcast.entries[-1].at_ns
    promised: dict[str, int] = {}
    for row in beats(namespace):
        promised[row["topic"]] = row["ts_watermark_ns"] if row["state"] == "CONNECTED" else 0
    return all(promised.get(full_name(topic, namespace), 0) > last_ns for topic in Session.topics)


@contextmanager
def producer(
    namespace: str, home: Path, gateway: LiveGateway, key: str = TEST_KEY
) -> Iterator[subprocess.Popen[bytes]]:
    """The live producer as a process; its log is ``<home>/live.log``."""
    env = child_environment(
        BREAKWATER_DATABENTO_KEY=key,
        BREAKWATER_DATABENTO_GATEWAY=f"127.0.0.1:{gateway.port}",
        BREAKWATER_HOME=str(home),
        BREAKWATER_LOG_LEVEL="DEBUG",
    )
    command = [sys.executable, "-m", "producers", "live", "databento", "--namespace", namespace]
    with (home / "live.log").open("ab") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not done():
        assert process.poll() is None, "the producer ended"
        assert time.monotonic() < deadline_s, "the producer does not come to its end"
        time.sleep(0.1)


def ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code after SIGTERM."""
    process.send_signal(signal.SIGTERM)
    return process.wait(LIMIT_S)


def assert_in_order(effective: dict[str, list[int]]) -> None:
    for topic, times_ns in effective.items():
        assert times_ns == sorted(times_ns), topic


def assert_key_is_nowhere(namespace: str, home: Path, key: str) -> None:
    """In no file of the home (logs, manifests, spool, run files) and in no record that says what happened."""
    assert (home / "live.log").stat().st_size
    assert not files_with(home, key)
    assert not [
        raw for topic in (DEAD_LETTERS, HEARTBEATS) for raw in values_of(topic, namespace) if key.encode() in raw
    ]


def test_through_faults_every_record_is_stored_once_and_in_order_or_lies_in_a_gap(
    namespace: str, home: Path, tmp_path: Path
) -> None:
    total = 0
    for seed in range(2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        faults = [*schedule(seed, RECORDS, count=4), Fault(RECORDS - 40, "lose", count=15)]
        name, place = f"{namespace}.{seed}", folder / "home"
        place.mkdir()
        with (
            LiveGateway(Broadcast.of(write_market(folder, seed), faults), faults=faults, heartbeat_s=0.05) as gateway,
            producer(name, place, gateway) as process,
        ):
            wait_for(process, lambda name=name, gateway=gateway: is_through(name, gateway))  # type: ignore[misc]
            said = told(process, place / "run" / "producer-databento.json")
            assert ended(process) == 0
        assert TEST_KEY.encode() not in said
        ids, effective = stored(name)
        total += sum(assert_accounted(gateway.broadcast, ids, gaps(name)).values())
        assert_in_order(effective)
        assert_key_is_nowhere(name, place, TEST_KEY)
    assert total >= 30


def test_a_producer_that_is_killed_goes_on_where_it_was_and_stores_nothing_twice(
    namespace: str, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "market"
    folder.mkdir()
    broadcast = Broadcast.of(write_market(folder, seed=5))
    span_s = (broadcast.entries[-1].at_ns - broadcast.entries[0].at_ns) / 1e9
    with LiveGateway(broadcast, speed=span_s / 12, heartbeat_s=0.05) as gateway:
        for share in (0.3, 0.6):
            with producer(namespace, home, gateway) as process:
                wait_for(process, lambda share=share: gateway.position() > share * len(broadcast.entries))  # type: ignore[misc]
                os.kill(process.pid, signal.SIGKILL)
        with producer(namespace, home, gateway) as process:
            wait_for(process, lambda: is_through(namespace, gateway))
            assert ended(process) == 0
    ids, effective = stored(namespace)
    assert set(assert_accounted(broadcast, ids, gaps(namespace)).values()) == {0}
    assert_in_order(effective)


def test_a_refused_key_ends_the_process_with_a_hint_and_is_in_no_log(
    namespace: str, home: Path, tmp_path: Path
) -> None:
    wrong = "db-not-the-key-of-the-gateway-xy"
    folder = tmp_path / "market"
    folder.mkdir()
    with (
        LiveGateway(Broadcast.of(write_market(folder, seed=1))) as gateway,
        producer(namespace, home, gateway, key=wrong) as process,
    ):
        assert process.wait(LIMIT_S) == 1
    said = (home / "live.log").read_text(encoding="utf-8")
    assert "refuses the key" in said
    assert "BREAKWATER_DATABENTO_KEY" in said
    assert_key_is_nowhere(namespace, home, wrong)
