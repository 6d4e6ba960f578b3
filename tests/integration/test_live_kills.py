"""Kill -9 of a live producer, its broker, the sink and silver at random moments: what the spool held is in the log
once, and each event of the log is in the tables once.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from common import iceberg, kafka, topics
from common.avro import Codec, decode_row
from common.columns import to_arrow
from common.endpoints import resolve
from common.errors import InputError
from common.registry import Registry
from common.schemas import load
from common.settings import PROJECT_ROOT, child_environment
from infra.local import stack
from infra.local.process import Process, spawn, stop
from lakehouse.read import committed_offsets
from lakehouse.silver.pipeline import silver_table
from lakehouse.tables import HOUR_NS
from producers.live.service import spool_folder
from producers.log_state import read_values
from producers.spool.frames import OUTER_BYTES, body_bytes, unpacked
from tests.support.counting_feed import time_of
from tests.support.silver_lake import content
from tests.support.stack import environment

LIMIT_S = 300.0
SEED = 5
ROUNDS = ("producer", "broker", "all")
SILVER = silver_table(topics.STOCKS_TRADES)
SERVICES = {
    "producer": ["-m", "tests.support.counting_feed"],
    "sink": ["-m", "lakehouse"],
    "silver": ["-m", "lakehouse.silver"],
}


@pytest.fixture
def local(home: Path) -> Iterator[Path]:
    """A home with a broker of its own, which may be killed."""
    with environment(BREAKWATER_KAFKA_BOOTSTRAP=None, BREAKWATER_REGISTRY_URL=None):
        try:
            stack.up(home)
            yield home
        finally:
            stack.down(home)


class Running:
    """The services of a home, each of which may be killed and started again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._origin_ns = time.time_ns()
        self._lives: dict[str, list[Process]] = {name: [] for name in SERVICES}

    def __getitem__(self, name: str) -> Process:
        return self._lives[name][-1]

    def start(self, name: str) -> None:
        """Another life of the service."""
        arguments = [str(self._origin_ns)] if name == "producer" else []
        log = self._home / "logs" / f"{name}-{len(self._lives[name])}.log"
        command = [sys.executable, *SERVICES[name], *arguments]
        self._lives[name].append(spawn(command, log=log, cwd=PROJECT_ROOT, environment=child_environment()))

    def kill(self, name: str) -> None:
        """SIGKILL it."""
        os.kill(self[name].pid, signal.SIGKILL)
        wait_for(lambda: not self[name].alive, "a process to end")

    def revive(self) -> None:
        """Start again what has ended: a table's service does when its broker is away for long."""
        for name in SERVICES:
            if not self[name].alive:
                self.start(name)

    def close(self) -> None:
        """End them all."""
        for lives in self._lives.values():
            for process in lives:
                stop(process)


@pytest.fixture
def running(local: Path) -> Iterator[Running]:
    """The services, started."""
    services = Running(local)
    kafka.ensure_topics(topics.specs())
    try:
        for name in SERVICES:
            services.start(name)
        yield services
    finally:
        services.close()


def spooled() -> dict[int, bytes]:
    """What stands in the spool, by its offset in the log."""
    out = {}
    for path in sorted(spool_folder("massive", "").glob("*.spool")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            try:
                length, checksum = body_bytes(content[at : at + OUTER_BYTES])
                _, frame = unpacked(content[at + OUTER_BYTES : at + OUTER_BYTES + length], checksum)
            except InputError:
                break
            assert frame.topic == topics.STOCKS_TRADES
            out.update({frame.first_offset + i: value for i, value in enumerate(frame.values)})
            at += OUTER_BYTES + length
    return out


def wait_for(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < deadline_s, f"still waiting for {what}"
        time.sleep(0.1)


def wait_for_trades(count: int) -> None:
    """Until more than so many are stored."""
    wait_for(lambda: stored() > count, f"trade {count}")


def kill_broker(home: Path) -> None:
    """SIGKILL the broker of this home."""
    (pid,) = [part.pid for part in stack.status(home) if part.name == "kafka"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def read(topic: str) -> list[bytes]:
    """The topic's records."""
    consumer = kafka.consumer(enable_partition_eof=True)
    try:
        return [value for _, value in read_values(consumer, topic, 0)]
    finally:
        consumer.close()


def stored() -> int:
    """Records of the topic in the log."""
    return kafka.end_offsets(topics.STOCKS_TRADES, 0).end_offset


def records_and_beats() -> tuple[pa.Table, list[dict[str, Any]]]:
    """The stored trades in log order, and the heartbeats about them."""
    record = load(topics.STOCKS_TRADES)
    with Registry(resolve().registry_url) as registry:
        decoded = Codec(record).decode(read(topics.STOCKS_TRADES), registry.schema)
        assert not decoded.bad
        rows = [decode_row(load(topics.HEARTBEATS), value, registry.schema) for value in read(topics.HEARTBEATS)]
    trades = pa.Table.from_batches([to_arrow(decoded.batch, record.arrow, record.symbols)])
    return trades, [row for row in rows if row["topic"] == topics.STOCKS_TRADES]


def is_stored(topic: str) -> bool:
    """Whether the topic's table has all that the log holds."""
    done = committed_offsets(iceberg.TABLES[topic]).get((topic, 0), 0)
    return done >= kafka.end_offsets(topic, 0).end_offset


def silver_rows() -> int:
    """Rows of the computed table."""
    return 0 if iceberg.load_table(SILVER) is None else content(SILVER).num_rows


def test_each_event_is_in_the_log_and_in_silver_once_whatever_was_killed(local: Path, running: Running) -> None:
    rng = random.Random(SEED)
    wait_for_trades(500)
    held: dict[int, bytes] = {}
    most = 0
    for victim in ROUNDS:
        time.sleep(rng.uniform(0.2, 1.5))
        before = stored()
        if victim == "all":
            wait_for(lambda: silver_rows() > 0, "the first hour of silver")
            running.kill("silver")
            running.kill("sink")
        if victim != "producer":
            kill_broker(local)
            time.sleep(rng.uniform(2.0, 4.0))
        if victim != "broker":
            running.kill("producer")
        here = spooled()
        most = max(most, len(here))
        held.update(here)
        if victim != "producer":
            stack.up(local)
        running.revive()
        wait_for_trades(max([before, *here]) + 1_000)
        assert running["producer"].alive, running["producer"].log.read_text(encoding="utf-8")
    killed_until = stored()
    wait_for(lambda: silver_rows() >= killed_until, "silver to have what came before, and its hour to be over")
    assert stop(running["producer"]), "the producer did not end by itself"
    assert not spooled()

    values = read(topics.STOCKS_TRADES)
    assert most > 500, "the spool held next to nothing: nothing was proved"
    assert all(values[offset] == value for offset, value in held.items())
    trades, beats = records_and_beats()
    numbers = trades["seq"].to_pylist()
    assert numbers == sorted(set(numbers))
    gaps = [(b["gap_begin_ns"], b["gap_end_ns"]) for b in beats if b["gap_begin_ns"] is not None]
    missing = set(range(numbers[0], numbers[-1])) - set(numbers)
    assert missing, "nothing was lost while nobody listened"
    assert all(any(begin <= time_of(n) <= end for begin, end in gaps) for n in missing)
    assert beats[-1]["state"] == "DISCONNECTED"

    wait_for(lambda: is_stored(topics.STOCKS_TRADES), "the last rows")
    bronze = iceberg.scan(iceberg.TABLES[topics.STOCKS_TRADES], columns=("_offset",))["_offset"]
    assert sorted(bronze.to_pylist()) == list(range(len(values)))
    silver = content(SILVER)
    closed = pc.less_equal(pc.divide(trades["ts_event_ns"], HOUR_NS), pc.max(silver["ts_event_ns"]).as_py() // HOUR_NS)
    assert silver.num_rows >= killed_until
    assert silver.select(trades.column_names).cast(trades.schema).equals(trades.filter(closed))
