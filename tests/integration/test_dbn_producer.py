"""The producer of files as a process against a real broker and registry: everything, in order, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import kafka, topics
from common.avro import decode_row
from common.columns import Batch
from common.config import EngineConfig
from common.endpoints import resolve
from common.registry import Registry
from common.schemas import load
from common.settings import child_environment, settings
from common.topics import FUTURES_MBP10, FUTURES_TRADES, HEARTBEATS, full_name
from infra.local import stack as local_stack
from producers.simulator import simulate
from producers.stream import stamped_batches, topics_of
from tests.support.topic_rows import columns_of, messages_of

TOPICS = (FUTURES_MBP10, FUTURES_TRADES)
COUNTS = {FUTURES_MBP10: 43_717, FUTURES_TRADES: 2_973}


def session_files() -> list[Path]:
    folder = settings().sample_data / "es"
    return [folder / f"esh4-20231225.{schema}.dbn.zst" for schema in ("mbp-10", "trades")]


def command(files: list[Path], namespace: str, *options: str) -> list[str]:
    named = [part for path in files for part in ("--file", str(path))]
    return [sys.executable, "-m", "producers", "publish", *named, "--namespace", namespace, *options]


def run(files: list[Path], namespace: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(files, namespace, *options),
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def start(files: list[Path], namespace: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(files, namespace, *options),
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def values(name: str, namespace: str) -> list[bytes]:
    """The values of all records of the topic, whose offsets have no gaps."""
    messages = messages_of(name, namespace)
    assert [message.offset() for message in messages] == list(range(len(messages)))
    assert all(message.key() == b"SPY" for message in messages)
    return [message.value() or b"" for message in messages]


def heartbeats(namespace: str) -> list[dict[str, Any]]:
    with Registry(resolve().registry_url) as registry:
        beats = values(HEARTBEATS, namespace)
        return [decode_row(load(HEARTBEATS), value, registry.schema) for value in beats]


def expected(files: Sequence[Path]) -> dict[str, list[Batch]]:
    out: dict[str, list[Batch]] = {}
    for step in stamped_batches(files, EngineConfig()):
        for batch in step.batches:
            out.setdefault(batch.name, []).append(batch)
    return out


def assert_log_is_the_stream(namespace: str, files: Sequence[Path] | None = None) -> None:
    """Each topic holds the stamped stream of the session's files: every field of every record, in order."""
    for topic, batches in expected(files or session_files()).items():
        there = columns_of(topic, values(topic, namespace))
        assert there.length == sum(batch.length for batch in batches)
        position = 0
        for batch in batches:
            part = there.slice(position, position + batch.length)
            position += batch.length
            for name, column in batch.columns.items():
                valid = np.ones(batch.length, np.bool_) if column.valid is None else column.valid
                found = part.columns[name]
                if found.valid is not None:
                    assert np.array_equal(found.valid, valid), name
                if column.offsets is not None:
                    assert np.array_equal(np.diff(found.offsets), np.diff(column.offsets)), name
                    assert np.array_equal(found.values, column.values), name
                else:
                    assert np.array_equal(found.values[valid], column.values[valid]), name


def ended_topics(namespace: str) -> set[str]:
    return {row["topic"] for row in heartbeats(namespace) if row["state"] == "ENDED"}


def test_the_session_is_in_the_topics_in_order_and_a_second_run_adds_nothing(namespace: str) -> None:
    first = run(session_files(), namespace)
    assert first.returncode == 0, first.stderr
    assert "46,690 added" in first.stdout
    assert_log_is_the_stream(namespace)
    assert ended_topics(namespace) == {full_name(topic, namespace) for topic in TOPICS}

    second = run(session_files()[::-1], namespace)
    assert second.returncode == 0, second.stderr
    assert "nothing to do" in second.stdout
    assert {topic: len(values(topic, namespace)) for topic in TOPICS} == COUNTS


def test_stocks_and_options_are_in_their_topics_with_es_and_a_second_run_adds_nothing(
    namespace: str, tmp_path: Path
) -> None:
    files = list(simulate(tmp_path, minutes=1.0).inputs)
    first = run(files, namespace)
    assert first.returncode == 0, first.stderr
    assert_log_is_the_stream(namespace, files)
    assert set(expected(files)) == set(topics_of(files))
    assert ended_topics(namespace) == {full_name(topic, namespace) for topic in topics_of(files)}
    assert {row["topic"] for row in heartbeats(namespace)[: len(topics_of(files))]} == ended_topics(namespace)
    assert "nothing to do" in run(files[::-1], namespace).stdout


def wait_for_records(namespace: str, process: subprocess.Popen[str]) -> None:
    """Until the book's topic has some of the session's records."""
    topic = full_name(FUTURES_MBP10, namespace)
    kafka.ensure_topics(topics.specs(namespace))
    while kafka.end_offsets(topic, 0).end_offset == 0:
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_producer_ended_in_mid_run_goes_on_where_the_log_ends(namespace: str, sign: signal.Signals) -> None:
    process = start(session_files(), namespace, "--speed", "600")
    wait_for_records(namespace, process)
    process.send_signal(sign)
    stdout, _ = process.communicate(timeout=180)
    assert process.returncode == (0 if sign == signal.SIGTERM else -signal.SIGKILL)
    assert ("stopped after" in stdout) == (sign == signal.SIGTERM)
    assert 0 < len(values(FUTURES_MBP10, namespace)) < COUNTS[FUTURES_MBP10]
    assert not ended_topics(namespace)

    again = run(session_files(), namespace)
    assert again.returncode == 0, again.stderr
    assert_log_is_the_stream(namespace)


def test_a_broker_that_dies_in_mid_run_and_returns_loses_and_doubles_nothing(own_broker: Path) -> None:
    process = start(session_files(), "", "--speed", "900")
    wait_for_records("", process)
    broker = next(part for part in local_stack.status(own_broker) if part.name == "kafka")
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    time.sleep(1.0)
    assert process.poll() is None
    local_stack.up(own_broker, parts=("kafka",))
    stdout, _ = process.communicate(timeout=180)
    assert process.returncode == 0
    assert "46,690 added" in stdout
    assert_log_is_the_stream("")


def test_a_truncated_file_is_refused_after_what_was_read_is_in_the_log(namespace: str, tmp_path: Path) -> None:
    book, trades = session_files()
    cut = tmp_path / "cut.mbp-10.dbn.zst"
    cut.write_bytes(book.read_bytes()[:400_000])
    refused = run([cut, trades], namespace)
    assert refused.returncode == 1
    assert "truncated" in refused.stderr and "hint:" in refused.stderr
    there = len(values(FUTURES_MBP10, namespace))
    assert 10_000 < there < COUNTS[FUTURES_MBP10]
    assert not ended_topics(namespace)

    repaired = run(session_files(), namespace)
    assert repaired.returncode == 0, repaired.stderr
    assert_log_is_the_stream(namespace)


def test_an_earlier_session_is_refused_after_a_later_one(namespace: str) -> None:
    assert run(session_files(), namespace).returncode == 0
    earlier = settings().sample_data / "dbn" / "GLBX.MDP3" / "test_data.trades.dbn.zst"
    refused = run([earlier], namespace)
    assert refused.returncode == 1
    assert "already holds events up to 2023-12-25" in refused.stderr
    assert len(values(FUTURES_TRADES, namespace)) == COUNTS[FUTURES_TRADES]
