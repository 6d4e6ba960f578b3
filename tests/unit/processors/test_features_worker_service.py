"""The process around the workers: it retries what passes, stops at what does not, and leaves a checkpoint."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from common import topics
from common.errors import ConfigError, ConflictError
from common.telemetry import Health
from processors.features import __main__ as main
from processors.features import service
from processors.features.worker import Worker
from tests.support.features_feed import SMALL_ENGINE, make_feed
from tests.support.features_harness import SPY, new_log, new_worker
from tests.support.memory_log import MemoryLog

FEED = make_feed(1)


class Pauses(threading.Event):
    """A stop event that runs ``act`` at every pause instead of waiting."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act

    def wait(self, timeout: float | None = None) -> bool:
        self._act()
        return self.is_set()


class Watching(Health):
    """A health that asks ``look`` after every change."""

    def __init__(self, look: Callable[[Health], None]) -> None:
        super().__init__()
        self._look = look

    def set(self, name: str, ok: bool, detail: str = "") -> None:
        super().set(name, ok, detail)
        self._look(self)


def filled_log() -> MemoryLog:
    log = new_log()
    for sent in FEED.records:
        log.append(sent.topic, sent.value)
    return log


def worker_of(log: MemoryLog) -> Worker:
    return new_worker(log.process(), random.Random(1), SMALL_ENGINE, 100)


def stop_when_all_is_published(log: MemoryLog, stop: threading.Event) -> Callable[[Health], None]:
    def look(_: Health) -> None:
        if len(log.records(topics.FEATURES)) == len(FEED.rows[topics.FEATURES]):
            stop.set()

    return look


def test_asked_to_stop_it_leaves_a_checkpoint_and_returns() -> None:
    log, stop = filled_log(), threading.Event()
    health = Watching(stop_when_all_is_published(log, stop))
    service.run({SPY: worker_of(log)}, health, stop)
    assert health.ready
    assert log.records(topics.CHECKPOINTS)
    assert [message.value() for message in log.records(topics.FEATURES)] == list(FEED.rows[topics.FEATURES])


def test_a_broker_that_is_away_is_waited_for_and_not_ready_is_said() -> None:
    log = filled_log()
    log.down = True
    told: list[bool] = []

    def come_back() -> None:
        told.append(health.ready)
        log.down = False

    stop = Pauses(come_back)
    health = Watching(stop_when_all_is_published(log, stop))
    service.run({SPY: worker_of(log)}, health, stop)
    assert told == [False]
    assert health.ready


def test_a_worker_that_was_fenced_ends_the_process() -> None:
    log = filled_log()
    worker = worker_of(log)
    worker.recover()
    worker_of(log).recover()
    health = Health()
    with pytest.raises(ConflictError):
        service.run({SPY: worker}, health, threading.Event())
    assert not health.ready and "taken over" in health.report()["parts"][SPY]["detail"]


def test_an_error_is_shown_with_what_to_do_and_ends_with_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ConfigError("W_b=0.3 is no multiple", hint="Take 0.5.")

    monkeypatch.setattr(main, "serve", refuse)
    monkeypatch.setattr(main, "configure_logging", lambda _: None)
    result = CliRunner().invoke(main.app, [])
    assert result.exit_code == 1
    assert result.stderr == "error: W_b=0.3 is no multiple\nhint: Take 0.5.\n"
