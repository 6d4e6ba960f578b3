"""Publishing into the log in memory: what is written, what a second run adds, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import KafkaError

from common import kafka
from common.config import EngineConfig
from common.errors import BreakwaterError, ConflictError, InputError, InvariantError, UnavailableError
from common.topics import (
    DEAD_LETTERS,
    FUTURES_MBP10,
    FUTURES_TRADES,
    HEARTBEATS,
    OPTIONS_GREEKS,
    OPTIONS_QUOTES,
    OPTIONS_TRADES,
    STOCKS_QUOTES,
    STOCKS_TRADES,
)
from producers import publisher
from producers.letters.letter import decoded
from producers.publish import files_of
from producers.publisher import Publisher
from producers.sender import TRACED_BATCHES, Target
from producers.stream import input_id, stamped_batches
from tests.support import captures, dbn_files
from tests.support.memory_log import MemoryLog
from tests.support.producer_run import (
    ALL_TOPICS,
    SCHEMA_IDS,
    TOPICS,
    Schemas,
    assert_promises_hold,
    beats,
    events,
    fresh_log,
    ids,
    publish,
)
from tests.support.stack import environment


@pytest.fixture(autouse=True)
def _a_broker_is_named() -> object:
    """Messages of errors say where the broker is."""
    with environment(BREAKWATER_KAFKA_BOOTSTRAP="log:1", BREAKWATER_REGISTRY_URL="http://registry:1"):
        yield


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A book and trades, three seconds, the trades with identical records."""
    ns = [i * 10_000_000 for i in range(300)]
    book = dbn_files.records("mbp-10", ns)
    trades = dbn_files.records("trades", [ns[i // 2 * 2] for i in range(50, 100)], sequence=1)
    return [
        dbn_files.write(tmp_path / "b.dbn.zst", "mbp-10", book),
        dbn_files.write(tmp_path / "t.dbn.zst", "trades", trades),
    ]


def later(folder: Path, seconds: float, count: int = 5) -> Path:
    """Trades that begin so many seconds after the base time."""
    begin = round(seconds * 1e9)
    rows = dbn_files.records("trades", range(begin, begin + count), sequence=99)
    return dbn_files.write(folder / f"later-{seconds}.dbn", "trades", rows)


def test_every_record_is_published_as_the_stream_has_it(files: list[Path]) -> None:
    log = fresh_log()
    outcome = publish(log, files, chunk_records=32)
    assert outcome.complete
    assert outcome.records == {FUTURES_MBP10: 300, FUTURES_TRADES: 50}
    stream: dict[str, list[int]] = {topic: [] for topic in TOPICS}
    for step in stamped_batches(files, EngineConfig()):
        for batch in step.batches:
            stream[batch.name] += batch["event_id"].tolist()
    for topic in TOPICS:
        assert events(log, topic)["event_id"].tolist() == stream[topic]
    assert_promises_hold(log)


def test_records_carry_the_complex_as_key_and_the_first_of_a_batch_names_the_run(files: list[Path]) -> None:
    log = fresh_log()
    publish(log, files)
    for topic in (*TOPICS, HEARTBEATS):
        assert {message.key() for message in log.records(topic)} == {b"SPY"}
        assert ("run_id", b"run-1") in (log.records(topic)[0].headers() or [])


def test_one_batch_in_many_carries_a_trace_and_the_first_one_does(files: list[Path]) -> None:
    log = fresh_log()
    publish(log, files, chunk_records=2)
    headers = [dict(message.headers() or []) for message in log.records(FUTURES_MBP10)]
    traces = [found["traceparent"].decode() for found in headers if "traceparent" in found]
    batches = sum("run_id" in found for found in headers)
    assert batches > TRACED_BATCHES
    assert 1 < len(traces) < batches / 16
    assert "traceparent" in headers[0]
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)


def test_a_second_run_adds_nothing(files: list[Path]) -> None:
    log = fresh_log()
    publish(log, files)
    before = {topic: len(log.records(topic)) for topic in (*TOPICS, HEARTBEATS)}
    again = publish(log, files[::-1])
    assert again.complete
    assert again.records == {FUTURES_MBP10: 300, FUTURES_TRADES: 50}
    assert not any(again.added.values())
    assert {topic: len(log.records(topic)) for topic in (*TOPICS, HEARTBEATS)} == before


def test_a_run_that_died_before_its_end_was_written_is_ended_by_the_next(files: list[Path]) -> None:
    log = fresh_log()
    publish(log, files)
    heartbeats = log.partition(HEARTBEATS, 0)
    heartbeats.keep(heartbeats.entries[:-2])
    heartbeats.high -= 2
    assert not any(publish(log, files).added.values())
    assert_promises_hold(log)


def test_a_namespace_keeps_its_own_log(files: list[Path]) -> None:
    log = fresh_log(namespace="replay.x")
    publish(log, files, namespace="replay.x")
    assert events(log, FUTURES_MBP10, "replay.x").length == 300
    assert {beat.topic for beat in beats(log, "replay.x")} == {f"replay.x.{topic}" for topic in TOPICS}
    assert not any(publish(log, files, namespace="replay.x").added.values())


def test_a_topic_without_a_file_is_promised_and_ended_too(files: list[Path]) -> None:
    log = fresh_log()
    outcome = publish(log, files[:1])
    assert outcome.records == {FUTURES_MBP10: 300, FUTURES_TRADES: 0}
    assert_promises_hold(log)


def test_an_input_with_a_capture_announces_and_ends_all_that_it_could_hold(files: list[Path], tmp_path: Path) -> None:
    lines = [
        captures.line("stocks", [captures.stock_quote(ms), captures.stock_trade(ms, c=[37])])
        for ms in range(0, 3_000, 9)
    ]
    lines.append(captures.line("options", [captures.option_quote(40), captures.option_trade(50)]))
    log = fresh_log()
    outcome = publish(log, [*files, captures.write(tmp_path / "c.massive.jsonl.zst", lines)], chunk_records=32)
    assert outcome.records == {
        FUTURES_MBP10: 300,
        FUTURES_TRADES: 50,
        STOCKS_QUOTES: 334,
        STOCKS_TRADES: 334,
        OPTIONS_QUOTES: 1,
        OPTIONS_TRADES: 1,
        OPTIONS_GREEKS: 0,
    }
    said = beats(log)
    assert {beat.topic for beat in said[: len(ALL_TOPICS)]} == set(ALL_TOPICS)
    assert all(beat.next_offset == 0 and beat.ts_watermark_ns == 0 for beat in said[: len(ALL_TOPICS)])
    assert {beat.topic for beat in said if beat.ended} == set(ALL_TOPICS)
    assert_promises_hold(log, ALL_TOPICS)
    assert events(log, STOCKS_TRADES)["updates_last"].tolist() == [False] * 334
    assert not any(publish(log, [*files, tmp_path / "c.massive.jsonl.zst"]).added.values())


def test_every_topic_is_announced_before_the_first_record_is_sent(files: list[Path], tmp_path: Path) -> None:
    path = captures.write(tmp_path / "c.massive.jsonl", [captures.line("stocks", [captures.stock_quote(0)])])
    log = fresh_log()
    sent: list[str] = []
    append = log.partition
    for topic in (*ALL_TOPICS, HEARTBEATS):
        part = append(topic, 0)
        part.append = _told(part.append, sent, topic)  # type: ignore[method-assign]
    publish(log, [*files, path])
    assert sent[: len(ALL_TOPICS)] == [HEARTBEATS] * len(ALL_TOPICS)
    assert set(sent) == {HEARTBEATS, FUTURES_MBP10, FUTURES_TRADES, STOCKS_QUOTES}


def _told(append: Callable[..., int], sent: list[str], topic: str) -> Callable[..., int]:
    def told(entry: object) -> int:
        sent.append(topic)
        return append(entry)

    return told


def test_an_input_without_records_ends_at_once(tmp_path: Path) -> None:
    log = fresh_log()
    empty = dbn_files.write(tmp_path / "e.dbn", "trades", dbn_files.records("trades", []))
    assert publish(log, [empty]).complete
    assert_promises_hold(log)


def test_a_later_file_follows_an_earlier_one(files: list[Path], tmp_path: Path) -> None:
    log = fresh_log()
    publish(log, files)
    outcome = publish(log, [later(tmp_path, 10)])
    assert outcome.added == {FUTURES_MBP10: 0, FUTURES_TRADES: 5}
    assert events(log, FUTURES_TRADES).length == 55
    assert_promises_hold(log)


def test_events_just_before_the_last_promise_are_pushed_beyond_it(files: list[Path], tmp_path: Path) -> None:
    log = fresh_log()
    publish(log, files)
    promise_ns = max(beat.ts_watermark_ns for beat in beats(log))
    publish(log, [later(tmp_path, 2.995)])
    last = events(log, FUTURES_TRADES).slice(50, 55)
    assert last["ts_effective_ns"].tolist() == [promise_ns] * 5
    assert last["is_late"].all()
    assert_promises_hold(log)


def test_an_earlier_input_is_refused_and_nothing_is_written(files: list[Path], tmp_path: Path) -> None:
    log = fresh_log()
    publish(log, [later(tmp_path, 100)])
    before = len(log.records(HEARTBEATS))
    with pytest.raises(
        InputError, match=r"already holds events up to 2025-06-03 14:31:40.* at 2025-06-03 14:30:00"
    ) as e:
        publish(log, files)
    assert e.value.hint and "--namespace" in e.value.hint
    assert len(log.records(HEARTBEATS)) == before
    assert events(log, FUTURES_MBP10).length == 0


def test_an_input_for_a_topic_whose_time_was_promised_away_is_refused(files: list[Path], tmp_path: Path) -> None:
    log = fresh_log()
    publish(log, [later(tmp_path, 100)])
    log.truncate(FUTURES_TRADES, 0, 5)
    with pytest.raises(InputError, match="promised to be complete up to 2025-06-03 14:31:40"):
        publish(log, files)


def test_a_stop_ends_a_paced_run_cleanly_and_the_next_one_goes_on(files: list[Path]) -> None:
    log, undisturbed = fresh_log(), fresh_log()
    publish(undisturbed, files)
    stop = Event()
    stop.set()
    outcome = publish(log, files, speed=1.0, stop=stop, chunk_records=16)
    assert not outcome.complete
    assert 0 < events(log, FUTURES_MBP10).length < 300
    assert not any(beat.ended for beat in beats(log))
    assert publish(log, files).complete
    assert all(ids(log, topic) == ids(undisturbed, topic) for topic in TOPICS)
    assert_promises_hold(log)


def test_a_foreign_record_among_ours_stops_the_run(files: list[Path]) -> None:
    log = fresh_log()
    producer = log.producer()
    produce_batch: Callable[..., int] = producer.produce_batch

    def intrude(topic: str, *args: object, **options: object) -> int:
        log.append(topic, b"not ours", b"SPY")
        return produce_batch(topic, *args, **options)

    producer.produce_batch = intrude  # type: ignore[method-assign]
    target = Target("files", "SPY", 0, "", "run-1", "x", SCHEMA_IDS)
    ours = Publisher(producer, target, dict.fromkeys(TOPICS, 0), dict.fromkeys(TOPICS, 0), 250_000_000)
    with pytest.raises(ConflictError, match="another producer writes into the same partition"):
        for step in stamped_batches(files, EngineConfig()):
            ours.publish(step)
        ours.drain()


def test_a_lost_record_is_noticed_by_the_next_run(files: list[Path]) -> None:
    log = fresh_log()
    publish(log, files)
    for topic in TOPICS:
        entries = log.partition(topic, 0)
        entries.keep(entries.entries[:-1])
        entries.high -= 1
    log.create(HEARTBEATS)
    publish_beats_with_wrong_count(log, files)
    with pytest.raises(InvariantError, match=r"by its offsets 297 records .* its record number 299"):
        publish(log, files)


def publish_beats_with_wrong_count(log: MemoryLog, files: list[Path]) -> None:
    """Heartbeats as if two more records stood in each topic's beginning."""
    target = Target("files", "SPY", 0, "", "run-1", input_id(files), SCHEMA_IDS)
    ours = Publisher(log.producer(), target, dict.fromkeys(TOPICS, 2), dict.fromkeys(TOPICS, 0), 250_000_000)
    ours.beat("CONNECTED", 0)
    ours.drain()


def test_a_broker_that_stays_away_is_named_after_a_while(files: list[Path]) -> None:
    log = fresh_log()
    now_s = [0.0]

    def clock_s() -> float:
        now_s[0] += 1.0
        return now_s[0]

    target = Target("files", "SPY", 0, "", "run-1", "x", SCHEMA_IDS)
    zeros = dict.fromkeys(TOPICS, 0)
    ours = Publisher(log.producer(), target, zeros, zeros, 250_000_000, clock_s)
    log.down = True
    with pytest.raises(UnavailableError, match="acknowledged nothing for 120 s") as caught:
        for step in stamped_batches(files, EngineConfig()):
            ours.publish(step)
        ours.drain()
    assert caught.value.hint and "goes on where it stopped" in caught.value.hint
    assert now_s[0] > publisher.STALL_S


def test_a_refused_delivery_stops_the_run_with_the_brokers_reason(files: list[Path]) -> None:
    log = fresh_log()
    producer = log.producer()
    target = Target("files", "SPY", 0, "", "run-1", "x", SCHEMA_IDS)
    zeros = dict.fromkeys(TOPICS, 0)
    ours = Publisher(producer, target, zeros, zeros, 250_000_000)
    log.down = True
    for step in stamped_batches(files, EngineConfig()):
        ours.publish(step)
    producer._fail_queue(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not for you"))
    with pytest.raises(UnavailableError, match=r"Kafka at log:1 did not take records.*not for you"):
        ours.drain()


def test_what_cannot_be_used_is_a_dead_letter_once_however_often_it_is_published(
    files: list[Path], tmp_path: Path
) -> None:
    rows = dbn_files.records("trades", range(10), sequence=5)
    rows["size"][4] = 2**31
    trades = dbn_files.write(tmp_path / "bad.dbn", "trades", rows)
    lines = [captures.line("stocks", [captures.stock_trade(1), captures.stock_trade(2, p=-1)])]
    paths = [trades, captures.write(tmp_path / "c.massive.jsonl", lines)]
    log = fresh_log()
    assert publish(log, paths).records[FUTURES_TRADES] == 9
    publish(log, paths)
    heartbeats = log.partition(HEARTBEATS, 0)
    heartbeats.keep(heartbeats.entries[:-7])
    heartbeats.high -= 7
    log.append(DEAD_LETTERS, b"no letter")
    publish(log, paths)
    letters = [decoded(message.value() or b"", Schemas().schema) for message in log.records(DEAD_LETTERS)]
    found = sorted((str(letter.source), str(letter.place)) for letter in letters if letter)
    assert [source for source, _ in found] == ["bad.dbn", "c.massive.jsonl"]
    assert found[0][1] == "record 4"
    assert found[1][1].endswith("/line 0/1")


def test_an_unreadable_heartbeat_topic_is_refused(files: list[Path]) -> None:
    log = fresh_log()
    log.append(HEARTBEATS, b"not a heartbeat", b"SPY")
    with pytest.raises(InvariantError, match="cannot be decoded"):
        publish(log, files)


def test_files_are_checked_before_anything_starts(files: list[Path], tmp_path: Path) -> None:
    assert files_of(files) == tuple(files)
    with pytest.raises(InputError, match="does not exist"):
        files_of([*files, tmp_path / "none.dbn"])
    with pytest.raises(InputError, match="no input file"):
        files_of([])


def test_an_input_is_known_by_content_and_given_once(files: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.dbn.zst"
    copy.write_bytes(files[0].read_bytes())
    assert input_id(files) == input_id([files[1], copy])
    assert input_id(files) != input_id(files[:1])
    with pytest.raises(InputError, match="are the same file's content"):
        input_id([*files, copy])


def test_the_brokers_error_says_where_and_what_to_do() -> None:
    error: BreakwaterError = kafka.unavailable("answer", KafkaError(KafkaError._TRANSPORT, "gone"))
    assert str(error) == "Kafka at log:1 did not answer: gone"
    assert error.hint and "./breakwater status" in error.hint
