"""A replay as topics of its own: whole steps, each row once, also when it is interrupted, fenced or repeated."""

from __future__ import annotations

from functools import cache

import pytest

from common import schemas, topics
from common.config import EngineConfig, make_config
from common.errors import ConflictError, UnavailableError
from common.recorded import LogReader
from common.topics import full_name
from producers.replay.engine import Judged, judge
from producers.replay.namespace import WRITTEN, NamespaceOutput
from producers.replay.ranges import ALL, Range
from tests.support.marked_run import CONFIG, IDS, framed, pieces, writer
from tests.support.memory_log import Crash, Fault, MemoryLog, Process

NAME = "replay.test"


@cache
def steps() -> tuple[Judged, ...]:
    return tuple(judge(pieces(), CONFIG))


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    for name in schemas.names():
        log.create(full_name(name, NAME))
    return log


def output(log: MemoryLog, process: Process | None = None, config: EngineConfig = CONFIG) -> NamespaceOutput:
    process = process or log.process()
    return NamespaceOutput(
        NAME,
        "SPY",
        producer=process.transactional_producer("replay"),
        held=LogReader(log.consumer, writer, NAME, 0),
        ids=IDS,
        run_id="run",
        config=config,
    )


def written(log: MemoryLog, topic: str) -> list[bytes | None]:
    return [message.value() for message in log.records(full_name(topic, NAME))]


def wanted(topic: str) -> list[bytes]:
    batches = [judged.rows[topic] for judged in steps()]
    return [value for batch in batches if batch.length for value in framed(batch)]


def assert_whole(log: MemoryLog) -> None:
    assert len(wanted(topics.SIGNALS)) > 100
    for topic in WRITTEN:
        assert written(log, topic) == wanted(topic)


def test_every_row_is_published_in_order_and_names_its_run(log: MemoryLog) -> None:
    out = output(log)
    for judged in steps():
        out.write(judged)
    out.finish()
    assert_whole(log)
    first = log.records(full_name(topics.SIGNALS, NAME))[0]
    assert dict(first.headers() or []) == {topics.HEADER_RUN_ID: b"run"}


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST_ANSWER])
@pytest.mark.parametrize("call", range(3, 60, 7))
def test_a_replay_that_dies_anywhere_goes_on_without_losing_or_repeating_a_row(
    log: MemoryLog, fault: Fault, call: int
) -> None:
    out = output(log)
    log.faults[log.operations + call] = fault
    for judged in steps():
        try:
            out.write(judged)
        except (Crash, UnavailableError):
            break
    log.faults.clear()
    again = output(log)
    for judged in steps():
        again.write(judged)
    assert_whole(log)


def test_an_older_replay_that_still_writes_is_fenced(log: MemoryLog) -> None:
    old = output(log)
    old.write(steps()[0])
    new = output(log)
    with pytest.raises(ConflictError, match=r"another replay writes into replay\.test now"):
        for judged in steps():
            old.write(judged)
    for judged in steps():
        new.write(judged)
    assert_whole(log)


def test_another_configuration_or_another_begin_does_not_go_on_there(log: MemoryLog) -> None:
    out = output(log)
    for judged in steps():
        out.write(judged)
    with pytest.raises(ConflictError, match="holds another replay, made with configuration"):
        output(log, config=make_config({"TRIGGER_HOLD_TIME": 0.5}))
    times = steps()[-1].features["ts_event_ns"]
    later = output(log)
    with pytest.raises(ConflictError, match="holds another replay, which begins at"):
        later.write(steps()[-1].within(Range(int(times[-1]), ALL.until_ns)))
