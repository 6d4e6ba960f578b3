"""Levels set while the market runs: they appear live, go when they are removed, and verify and replay find the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from common import endpoints, kafka, topics
from common.columns import string_list
from common.endpoints import Endpoints
from common.errors import BreakwaterError, InputError
from common.recorded import LogReader
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment
from infra.local.facts import Facts, open_facts
from infra.local.progress import Silent
from infra.local.services import Services
from producers import hotzones
from producers.stream import input_id
from tests.support.live_run import LiveRun, sample_files
from tests.support.stack import environment

pytestmark = pytest.mark.timeout(1800)

LIMIT_S = 1500.0
"""How long the session may take; a loaded machine compiles the engine for minutes."""

SPEED = "400"
PRICE, LEVEL = "480.93", "HOTZONE_480.93"
"""Near to spot from the sample's first quarter of an hour on."""

ASKED_AFTER, THERE_FOR = 15_000, 3_000
"""Books in the log when the level is set, and from then until it is removed; the session has 43,717."""


def asked(*arguments: str) -> str:
    """What ``breakwater hotzone`` says, in this process; raises as it does."""
    result = CliRunner().invoke(hotzones.app, arguments, catch_exceptions=True)
    if isinstance(result.exception, BreakwaterError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@contextmanager
def publishing() -> Iterator[subprocess.Popen[bytes]]:
    """A producer of the sample session."""
    command = [sys.executable, "-m", "producers", "publish", "--speed", SPEED]
    process = subprocess.Popen(
        [*command, *(f"--file={path}" for path in sample_files())],
        cwd=PROJECT_ROOT,
        env=child_environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def held_up(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The market stands still while the block runs, however long that takes."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


class Topics:
    """What a run's topics hold."""

    def __init__(self, run: LiveRun, log: LogReader) -> None:
        self._run = run
        self._log = log
        self._read = 0
        self._times: list[int] = []

    def end(self, topic: str) -> int:
        """The offset after the last committed record."""
        return kafka.end_offsets(f"{self._run.namespace}.{topic}", 0).end_offset

    def rows(self, topic: str) -> list[tuple[int, dict[str, Any]]]:
        """Offset and fields of the records of a low-rate topic."""
        return list(self._log.rows(topic, 0, self.end(topic)))

    def level_times(self) -> list[int]:
        """The snaps (ns) that have a signal of the level."""
        end = self.end(topics.SIGNALS)
        for piece in self._log.pieces(topics.SIGNALS, self._read, end) if end > self._read else ():
            names = np.array(string_list(piece.batch.columns["level_id"]), object)
            self._times += piece.batch["ts_event_ns"][names == LEVEL].tolist()
        self._read = end
        return self._times

    def steps(self) -> list[tuple[int, Mapping[str, Any]]]:
        """The features worker's markers, each with how many offsets of the requests it covers."""
        name = f"{self._run.namespace}.{topics.REQUESTS}"
        return [
            (dict(zip(row["input_topics"], row["input_next_offsets"], strict=True))[name], row)
            for _, row in self.rows(topics.MARKERS)
        ]


@contextmanager
def held_by(run: LiveRun) -> Iterator[Topics]:
    """A reader of the run's topics."""
    with Registry(endpoints.resolve().registry_url) as registry:
        log = LogReader(kafka.consumer, registry.schema, run.namespace, 0)
        try:
            yield Topics(run, log)
        finally:
            log.close()


@dataclass
class Patience:
    """Waits for what must come, while the services live."""

    services: Services
    deadline_s: float

    def until(self, what: str, true: Callable[[], bool]) -> None:
        while not true():
            self.services.check()
            assert time.monotonic() < self.deadline_s, what
            time.sleep(0.2)


@pytest.fixture(scope="module")
def run(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    """The sample session with a level set in its middle and removed again some time later; no other request comes."""
    home = tmp_path_factory.mktemp("hotzones") / "home"
    home.mkdir()
    made = LiveRun(f"test.{uuid.uuid4().hex[:12]}", home)
    with environment(BREAKWATER_NAMESPACE=made.namespace, BREAKWATER_HOME=str(home)):
        kafka.ensure_topics(topics.specs(made.namespace))
        with Registry(endpoints.resolve().registry_url) as registry:
            registry.ensure_all(made.namespace)
        services = Services(home, Silent())
        try:
            for name in ("features", "signals", "sink"):
                services.start(name)
            services.wait_until_listening()
            with pytest.raises(InputError, match="the log holds no market yet"):
                asked("add", PRICE)
            with (
                open_facts(made.namespace, topics.partition_of("SPY"), input_id(sample_files())) as facts,
                held_by(made) as held,
            ):
                _ask_and_remove(held, facts, Patience(services, time.monotonic() + LIMIT_S))
        finally:
            services.stop()
        yield made


def _ask_and_remove(held: Topics, facts: Facts, patience: Patience) -> None:
    with publishing() as market:
        patience.until("half the market", lambda: held.end(topics.FUTURES_MBP10) > ASKED_AFTER)
        with held_up(market):
            patience.until("rows", lambda: held.end(topics.SIGNALS) > 5_000)
            assert asked("add", PRICE, "--by", "desk") == f"set: {PRICE}\n"
            assert asked("list") == f"{PRICE}\n"
            assert asked("add", PRICE).startswith("nothing to do")
            assert held.level_times() == []
            set_at = held.end(topics.FUTURES_MBP10)
        patience.until("some more of it", lambda: held.end(topics.FUTURES_MBP10) > set_at + THERE_FOR)
        with held_up(market):
            patience.until("the level", lambda: bool(held.level_times()))
            assert asked("remove", PRICE) == f"removed: {PRICE}\n"

        def through() -> bool:
            facts.update(0.1)
            return facts.reached().waiting_for is None

        patience.until("the end of the session", through)


def test_a_level_is_there_from_its_request_to_its_removal(run: LiveRun) -> None:
    with held_by(run) as held:
        found, steps, times = held.rows(topics.REQUESTS), held.steps(), held.level_times()
    requests = [row for _, row in found]
    assert [(row["kind"], row["price"], row["requester"]) for row in requests] == [
        ("HOTZONE_ADD", 480.93, "desk"),
        ("HOTZONE_REMOVE", 480.93, None),
    ]
    assert times == sorted(set(times)) and len(times) > 1
    begins, ends = (next(marker for covered, marker in steps if covered > offset) for offset, _ in found)
    assert requests[0]["ts_effective_ns"] <= begins["ts_from_ns"] <= times[0]
    assert times[-1] <= ends["ts_from_ns"] <= steps[-1][1]["ts_event_ns"]
    assert run.command("hotzone", "list").out == ""


def test_verify_finds_the_same_from_topics_and_from_tables(run: LiveRun) -> None:
    for where in ((), ("--iceberg",)):
        verdict = run.json("verify", *where)
        assert verdict["equal"]
        assert verdict["published_digest"] == verdict["computed_digest"]
        assert verdict["events"][topics.REQUESTS] == 2


def test_replays_give_the_same_signals(run: LiveRun) -> None:
    """The requests came while the market stood still, so a replay by time places them where the live run did."""
    published = run.json("verify")["published_digest"]
    for arguments in ((), ("--iceberg",), ("--as-live",)):
        assert run.json("replay", *arguments)["signals_digest"] == published
    assert run.json("replay", "--diff", "live")["diff"]["levels"] == []


def test_removing_what_is_not_set_says_so(run: LiveRun) -> None:
    ended = run.command("hotzone", "remove", "481.11")
    assert ended.code == 1
    assert "481.11 is not set" in ended.err
    assert "Traceback" not in ended.err
