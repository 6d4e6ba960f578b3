"""A live run verified against a real broker: equal from topics and from tables; a falsified signal is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from common import endpoints, kafka, schemas, topics
from common.avro import decode_row, encode_row
from common.endpoints import Endpoints
from common.recorded import LogReader
from common.registry import Registry
from common.topics import full_name
from tests.support.live_run import LiveRun, live_run

COPIED = (topics.FUTURES_MBP10, topics.FUTURES_TRADES, topics.FEATURES, topics.SIGNALS, topics.OUTCOMES)


@pytest.fixture(scope="module")
def run(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    with live_run(tmp_path_factory.mktemp("verified") / "home") as made:
        yield made


def test_a_live_run_follows_from_its_topics_and_from_its_tables(run: LiveRun) -> None:
    replayed = run.json("replay")
    for arguments in (["verify"], ["verify", "live", "--iceberg"], ["verify", run.namespace]):
        verdict = run.json(*arguments)
        assert verdict["equal"]
        assert verdict["published_digest"] == verdict["computed_digest"] == replayed["signals_digest"]
        assert verdict["rows"][topics.SIGNALS] == replayed["signals"]["count"]
        assert verdict["rows"][topics.FEATURES] == replayed["features"]
        assert verdict["offsets"][full_name(topics.FUTURES_MBP10, run.namespace)] == [0, 43_717]
    shown = run.command("verify")
    assert (shown.code, shown.out.count(replayed["signals_digest"])) == (0, 2)


def test_a_replay_that_follows_the_markers_gives_the_same(run: LiveRun) -> None:
    assert run.json("replay", "--as-live", "--diff", "live")["diff"]["levels"] == []


def test_one_falsified_signal_is_found_with_the_offsets_behind_it(run: LiveRun, namespace: str) -> None:
    forged = copied(run.namespace, namespace, row=20_000)
    ended = run.command("verify", namespace, "--json")
    assert ended.code == 1
    found = ended.data["difference"]
    assert (found["topic"], found["column"], found["published"]) == (topics.SIGNALS, "signal", forged["signal"])
    assert (found["ts_event_ns"], found["level_id"]) == (forged["ts_event_ns"], forged["level_id"])
    assert found["computed"] != forged["signal"]
    assert ended.data["published_digest"] != ended.data["computed_digest"]
    ranges = [text for text in found["evidence"] if text.startswith(full_name(topics.FUTURES_MBP10, namespace))]
    (books,) = ranges
    begin, end = (int(number) for number in books.rpartition(":")[2].split("-"))
    assert 0 <= begin < end <= 43_717
    with_text = run.command("verify", namespace)
    assert with_text.code == 1
    assert books in with_text.out
    assert "Traceback" not in with_text.err


def copied(source: str, target: str, row: int) -> dict[str, Any]:
    """A copy of the run in another namespace, with the signal of one row changed; returns that row."""
    kafka.ensure_topics(topics.specs(target))
    producer = kafka.producer()
    forged: dict[str, Any] = {}
    with Registry(endpoints.resolve().registry_url) as registry:
        ids = registry.ensure_all(target)
        log = LogReader(kafka.consumer, registry.schema, source, 0)

        def write(topic: str, value: bytes) -> None:
            producer.produce(full_name(topic, target), value=value, partition=0)
            producer.poll(0)

        for topic in COPIED:
            bounds = log.bounds(topic)
            assert bounds is not None
            number = 0
            for messages in log._messages(topic, *bounds, kafka.consumer(enable_partition_eof=True), 10_000):
                for message in messages:
                    value = message.value()
                    if topic == topics.SIGNALS and number == row:
                        forged = decode_row(schemas.load(topic), value, registry.schema)
                        forged["signal"] = "CONTESTED" if forged["signal"] != "CONTESTED" else "BREAK"
                        value = encode_row(schemas.load(topic), forged, ids[topic])
                    write(topic, value)
                    number += 1
        bounds = log.bounds(topics.MARKERS)
        assert bounds is not None
        for _, marker in log.rows(topics.MARKERS, *bounds):
            names = [name.replace(source, target) for name in marker["input_topics"]]
            moved = {**marker, "input_topics": names}
            write(topics.MARKERS, encode_row(schemas.load(topics.MARKERS), moved, ids[topics.MARKERS]))
        log.close()
    assert producer.flush(60) == 0
    return forged
