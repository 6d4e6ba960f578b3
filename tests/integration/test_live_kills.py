"""Kill -9 of a live producer and of its broker, at random moments: what the spool held is in the log, once."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common import kafka, topics
from common.avro import Codec, decode_row
from common.endpoints import resolve
from common.errors import InputError
from common.registry import Registry
from common.schemas import load
from common.settings import PROJECT_ROOT, child_environment
from infra.local import stack
from infra.local.process import Process, spawn, stop
from producers.live.service import spool_folder
from producers.log_state import read_values
from producers.spool.frames import OUTER_BYTES, body_bytes, unpacked
from tests.support.counting_feed import STEP_NS
from tests.support.stack import environment

LIMIT_S = 120.0
SEED = 5
ROUNDS = ("producer", "broker", "both")


@pytest.fixture
def local(home: Path) -> Iterator[Path]:
    """A home with a broker of its own, which may be killed."""
    with environment(BREAKWATER_KAFKA_BOOTSTRAP=None, BREAKWATER_REGISTRY_URL=None):
        try:
            stack.up(home)
            yield home
        finally:
            stack.down(home)


def start(home: Path, life: int) -> Process:
    """The producer, listening to its vendor."""
    command = [sys.executable, "-m", "tests.support.counting_feed"]
    log = home / "logs" / f"producer-{life}.log"
    return spawn(command, log=log, cwd=PROJECT_ROOT, environment=child_environment())


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


def wait_for_end(process: Process) -> None:
    """Until the process is gone."""
    wait_for(lambda: not process.alive, "a process to end")


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


def numbers_and_beats() -> tuple[list[int], list[dict[str, Any]]]:
    """The numbers of the stored trades in log order, and the heartbeats about them."""
    with Registry(resolve().registry_url) as registry:
        decoded = Codec(load(topics.STOCKS_TRADES)).decode(read(topics.STOCKS_TRADES), registry.schema)
        assert not decoded.bad
        rows = [decode_row(load(topics.HEARTBEATS), value, registry.schema) for value in read(topics.HEARTBEATS)]
    return decoded.batch["seq"].tolist(), [row for row in rows if row["topic"] == topics.STOCKS_TRADES]


def test_what_the_spool_held_at_a_kill_is_in_the_log_once(local: Path) -> None:
    rng = random.Random(SEED)
    life = 0
    producer = start(local, life)
    kafka.ensure_topics(topics.specs())
    wait_for_trades(500)
    held: dict[int, bytes] = {}
    most = 0
    for victim in ROUNDS:
        before = stored()
        time.sleep(rng.uniform(0.2, 1.5))
        if victim != "producer":
            kill_broker(local)
            time.sleep(rng.uniform(2.0, 4.0))
        if victim != "broker":
            os.kill(producer.pid, signal.SIGKILL)
            wait_for_end(producer)
        here = spooled()
        most = max(most, len(here))
        held.update(here)
        if victim != "producer":
            stack.up(local)
        if victim != "broker":
            life += 1
            producer = start(local, life)
        wait_for_trades(before + 1_000)
        assert producer.alive, producer.log.read_text(encoding="utf-8")
    assert stop(producer), "the producer did not end by itself"
    assert not spooled()

    values = read(topics.STOCKS_TRADES)
    assert most > 500, "the spool held next to nothing: nothing was proved"
    assert all(values[offset] == value for offset, value in held.items())
    numbers, beats = numbers_and_beats()
    assert numbers == sorted(set(numbers))
    gaps = [(b["gap_begin_ns"], b["gap_end_ns"]) for b in beats if b["gap_begin_ns"] is not None]
    missing = set(range(numbers[0], numbers[-1])) - set(numbers)
    assert missing, "nothing was lost while nobody listened"
    assert all(any(begin <= n * STEP_NS <= end for begin, end in gaps) for n in missing)
    assert beats[-1]["state"] == "DISCONNECTED"
