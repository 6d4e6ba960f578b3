"""Verification of a run in a log in memory: equal when it is, and the first falsified row with what is behind it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from rich.console import Console

from common import topics
from common.config import make_config
from common.errors import ConfigError, InputError, InvariantError
from common.recorded import LakeReader, LogReader
from producers.replay.places import read_markers
from producers.replay.ranges import ALL
from producers.replay.sources import Stored
from producers.replay.verify import Verdict, check_config, verify_run
from tests.support.marked_run import CONFIG, run_into, writer
from tests.support.memory_log import MemoryLog


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def reader(log: MemoryLog, home: object) -> Iterator[LogReader]:
    reader = LogReader(log.consumer, writer, "", 0)
    yield reader
    reader.close()


def verified(reader: LogReader) -> Verdict:
    lake = LakeReader("", 0)
    markers = read_markers("live", reader, lake)
    check_config(markers, CONFIG)
    return verify_run("live", reader, lake, markers, CONFIG, Stored(reader, lake).source(ALL))


def test_a_run_that_followed_its_records_is_equal(log: MemoryLog, reader: LogReader) -> None:
    markers = run_into(log)
    verdict = verified(reader)
    assert verdict.difference is None
    data = json.loads(verdict.as_json())
    assert data["equal"]
    assert data["published_digest"] == data["computed_digest"]
    assert data["rows"][topics.SIGNALS] == data["rows"][topics.FEATURES] == sum(int(str(m["rows"])) for m in markers)
    assert data["snaps"] == sum(int(str(m["snaps"])) for m in markers) > 0
    assert data["markers"] == len(markers)


def test_signals_sent_again_after_a_crash_change_nothing(log: MemoryLog, reader: LogReader) -> None:
    run_into(log)
    values = [message.value() for message in log.records(topics.SIGNALS)]
    log.create(topics.SIGNALS)
    for value in values[:200] + values[150:]:
        log.append(topics.SIGNALS, value)
    assert verified(reader).difference is None


@pytest.mark.parametrize("topic", [topics.SIGNALS, topics.FEATURES])
def test_a_falsified_row_is_named_with_both_values_and_the_records_behind_it(
    log: MemoryLog, reader: LogReader, topic: str
) -> None:
    markers = run_into(log, forge={topic: [150, 190]})
    verdict = verified(reader)
    found = verdict.difference
    assert found is not None
    assert (found.topic, found.column, found.published) == (topic, "distance", found.computed + 1.0)
    assert verdict.signals.published_digest != verdict.signals.computed_digest
    number = next(
        i
        for i, m in enumerate(markers)
        if m["ts_first_snap_ns"] and m["ts_event_ns"] >= found.ts_event_ns  # type: ignore[operator]
    )
    before, mine = markers[number - 1]["input_next_offsets"], markers[number]["input_next_offsets"]
    assert verdict.evidence is not None
    assert list(verdict.evidence.taken.values()) == list(zip(before, mine, strict=True))  # type: ignore[call-overload]
    console = Console(width=200, record=True, file=io.StringIO())
    verdict.show(console)
    text = console.export_text()
    assert f"distance: published {found.published!r}, computed {found.computed!r}" in text
    assert f"futures.mbp10.v1:0:{before[0]}-{mine[0]}" in text  # type: ignore[index]


def test_signals_that_lag_are_counted_and_missing_features_are_a_difference(log: MemoryLog, reader: LogReader) -> None:
    run_into(log)
    values = {name: [m.value() for m in log.records(name)] for name in (topics.SIGNALS, topics.FEATURES)}
    log.create(topics.SIGNALS)
    for value in values[topics.SIGNALS][:100]:
        log.append(topics.SIGNALS, value)
    lagging = verified(reader)
    assert lagging.difference is None
    assert lagging.signals.behind == len(values[topics.SIGNALS]) - 100
    log.create(topics.FEATURES)
    for value in values[topics.FEATURES][:-1]:
        log.append(topics.FEATURES, value)
    missing = verified(reader).difference
    assert missing is not None
    assert (missing.topic, missing.published, missing.computed) == (topics.FEATURES, None, "a row")


def test_records_that_are_not_those_of_the_run_are_found(log: MemoryLog, reader: LogReader) -> None:
    run_into(log)
    values = [message.value() for message in log.records(topics.FUTURES_TRADES)]
    log.create(topics.FUTURES_TRADES)
    for value in values[: len(values) // 2]:
        log.append(topics.FUTURES_TRADES, value)
    with pytest.raises(InvariantError, match=r"futures\.trades\.v1"):
        verified(reader)


def test_a_namespace_without_markers_is_refused_with_what_to_do_instead(log: MemoryLog, reader: LogReader) -> None:
    log.create(topics.MARKERS)
    with pytest.raises(InputError, match="has no markers") as refused:
        verified(reader)
    assert "replay --diff" in str(refused.value.hint)


def test_markers_past_their_retention_are_named(log: MemoryLog, reader: LogReader) -> None:
    run_into(log)
    log.truncate(topics.MARKERS, 0, 5)
    with pytest.raises(InputError, match="the first 5 markers of live are past"):
        verified(reader)


def test_another_configuration_than_the_runs_is_refused(log: MemoryLog, reader: LogReader) -> None:
    run_into(log)
    other = make_config({"TRIGGER_HOLD_TIME": 0.5})
    with pytest.raises(ConfigError, match=f"made with configuration {CONFIG.hash}, this is {other.hash}") as refused:
        check_config(read_markers("live", reader, LakeReader("", 0)), other)
    assert "--set" in str(refused.value.hint)
