"""The whole platform under kill -9: services die in mid-run, the tables are those of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from common import endpoints, iceberg, kafka, topics
from common.config import load_config
from common.digest import SignalsDigest, signals_digest
from common.registry import Registry
from common.settings import settings
from infra.local.facts import Facts, open_facts
from infra.local.progress import Silent
from infra.local.services import Services
from lakehouse.read import signals, table_rows
from producers.replay import signal_tables
from producers.stream import input_id
from tests.support.stack import environment

ES = settings().sample_data / "es"
FILES = [ES / "esh4-20231225.mbp-10.dbn.zst", ES / "esh4-20231225.trades.dbn.zst"]
SPEED = "60"
"""An hour of data in a minute: long enough to be killed in the middle."""
WORKERS = ("features", "signals", "sink")
LIMIT_S = 400.0
POLL_S = 0.1
SEED = 20231225
KILLS = 5
"""Every service dies at least once, and two of them once more, each when a share of its rows is out."""
EARLIEST, LATEST = 0.05, 0.6


@pytest.fixture
def services(namespace: str, home: Path) -> Iterator[Services]:
    """All services of a home and namespace of their own, listening."""
    with environment(BREAKWATER_NAMESPACE=namespace):
        kafka.ensure_topics(topics.specs(namespace))
        with Registry(endpoints.resolve().registry_url) as registry:
            registry.ensure_all(namespace)
        running = Services(home, Silent())
        try:
            for name in WORKERS:
                running.start(name)
            running.wait_until_listening()
            yield running
        finally:
            running.stop()


def wait_for(services: Services, facts: Facts, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not done():
        services.check()
        facts.update(POLL_S)
        if time.monotonic() > deadline:
            raise AssertionError(f"still waiting for {facts.reached().waiting_for}")


def kill(services: Services, home: Path, name: str) -> None:
    """SIGKILL the service and start it again."""
    running = json.loads((home / "services.json").read_text(encoding="utf-8"))
    os.kill(running[name]["pid"], signal.SIGKILL)
    services.start(name)


def kills() -> list[tuple[float, str]]:
    """Who dies after which share of its rows."""
    rng = random.Random(SEED)
    names = [*WORKERS, *rng.sample(WORKERS, KILLS - len(WORKERS))]
    return sorted((rng.uniform(EARLIEST, LATEST), name) for name in names)


def expected() -> tuple[str, int]:
    digest = SignalsDigest()
    for table in signal_tables(FILES, load_config()):
        digest.update(table)
    return digest.hexdigest(), digest.rows


def test_services_killed_in_mid_run_leave_the_same_tables_and_digest(services: Services, home: Path) -> None:
    digest, rows = expected()
    with open_facts(settings().namespace, topics.partition_of("SPY"), input_id(FILES)) as facts:
        run_with_kills(services, facts, home, rows)
    assert table_rows(iceberg.TABLES[topics.FUTURES_MBP10]) == 43_717
    assert table_rows(iceberg.TABLES[topics.FUTURES_TRADES]) == 2_973
    for topic in (topics.FUTURES_MBP10, topics.FUTURES_TRADES):
        offsets = iceberg.scan(iceberg.TABLES[topic], columns=("_offset",))["_offset"]
        assert len(pc.unique(offsets)) == len(offsets)
    judged = pa.concat_tables(signals())
    assert judged.num_rows == rows
    assert table_rows(iceberg.TABLES[topics.FEATURES]) == rows
    assert signals_digest(judged) == digest


def run_with_kills(services: Services, facts: Facts, home: Path, rows: int) -> None:
    def published(topic: str) -> int:
        last = facts.last_record(topic)
        return 0 if last is None else last.next_offset

    def stored() -> int:
        name = iceberg.TABLES[topics.SIGNALS]
        return table_rows(name) if iceberg.load_table(name) else 0

    services.start("producer", ["publish", "--complex", "SPY", "--speed", SPEED, *(f"--file={path}" for path in FILES)])
    progress: dict[str, Callable[[], int]] = {
        "features": lambda: published(topics.FEATURES),
        "signals": lambda: published(topics.SIGNALS),
        "sink": stored,
    }
    pending = kills()

    def strike() -> bool:
        """Kill who is due; true when all kills are done. No service waits for the share of another."""
        for share, name in [(s, n) for s, n in pending if progress[n]() > s * rows]:
            pending.remove((share, name))
            kill(services, home, name)
            assert progress[name]() < rows, f"{name} had finished before it was killed: choose a lower SPEED"
        return not pending

    wait_for(services, facts, strike)
    wait_for(services, facts, lambda: facts.reached().waiting_for is None)
