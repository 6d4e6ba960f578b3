"""Capture files: one pass for all topics, damage, torn ends, identical messages."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from common.errors import InputError
from common.topics import OPTIONS_GREEKS, OPTIONS_QUOTES, STOCKS_QUOTES, STOCKS_TRADES
from producers.live.arrivals import Bad
from producers.massive.capture import Capture, CaptureReader
from producers.massive.parse import TOPICS
from tests.support import captures

STALE_NS = 5_000_000_000


def event_ids(reader: CaptureReader, count: int) -> list[int]:
    out: list[int] = []
    while (batch := reader.read(count)) is not None:
        assert 0 < batch.length <= count
        out += batch["event_id"].tolist()
    return out


def all_ids(path: Path, count: int = 1_000) -> dict[str, list[int]]:
    with Capture(path, STALE_NS) as opened:
        return {reader.topic: event_ids(reader, count) for reader in opened.readers}


def session(size: int) -> list[bytes]:
    """Quotes and trades line by line, a chain at the very end."""
    lines = []
    for ms in range(size):
        lines.append(captures.line("stocks", [captures.stock_quote(ms, q=ms), captures.stock_trade(ms // 7)]))
        lines.append(captures.line("options", [captures.option_quote(ms, q=ms)]))
    return [*lines, captures.line("chain", [captures.chain_entry(size)])]


@pytest.mark.parametrize("name", ["a.massive.jsonl", "a.massive.jsonl.zst"])
def test_each_topic_has_all_its_records_however_they_are_read(tmp_path: Path, name: str) -> None:
    path = captures.write(tmp_path / name, session(700))
    whole = all_ids(path)
    assert {topic: len(ids) for topic, ids in whole.items()} == {
        **dict.fromkeys(TOPICS, 0),
        STOCKS_QUOTES: 700,
        STOCKS_TRADES: 700,
        OPTIONS_QUOTES: 700,
        OPTIONS_GREEKS: 1,
    }
    assert all_ids(path, 3) == whole
    with Capture(path, STALE_NS) as opened:
        by_topic = {reader.topic: reader for reader in opened.readers}
        assert {topic: event_ids(by_topic[topic], 50) for topic in reversed(TOPICS)} == whole


def test_identical_messages_are_different_events(tmp_path: Path) -> None:
    path = captures.write(tmp_path / "a.massive.jsonl", session(70))
    trades = all_ids(path)[STOCKS_TRADES]
    assert len(set(trades)) == len(trades) == 70


def test_a_torn_last_line_is_set_aside_and_the_rest_is_whole(tmp_path: Path) -> None:
    path = captures.write(tmp_path / "a.massive.jsonl", session(3))
    path.write_bytes(path.read_bytes()[:-20])
    told: list[Bad] = []
    with Capture(path, STALE_NS, lambda _, bad: told.append(bad)) as opened:
        counts = {reader.topic: len(event_ids(reader, 10)) for reader in opened.readers}
        assert opened.bad_count == 1
    assert [(bad.topic, bad.place) for bad in told] == [("massive.capture", "line 6")]
    assert counts[STOCKS_QUOTES] == 3
    assert counts[OPTIONS_GREEKS] == 0


def test_a_torn_compressed_file_is_damaged_after_its_last_whole_lines(tmp_path: Path) -> None:
    path = captures.write(tmp_path / "a.massive.jsonl.zst", session(4_000))
    path.write_bytes(path.read_bytes()[:-100])
    with Capture(path, STALE_NS) as opened:
        quotes = next(reader for reader in opened.readers if reader.topic == STOCKS_QUOTES)
        count = 0
        with pytest.raises(InputError, match="truncated"):
            while (batch := quotes.read(100)) is not None:
                count += batch.length
    assert 0 < count < 4_000


@pytest.mark.parametrize(("content", "problem"), [(None, "does not exist"), (b"", "is empty")])
def test_a_file_that_cannot_be_read_is_refused_at_once(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "a.massive.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        Capture(path, STALE_NS)


def test_bad_messages_are_counted_and_told_one_by_one(tmp_path: Path) -> None:
    bad = [captures.stock_trade(ms, p=-1) for ms in range(25)]
    path = captures.write(tmp_path / "a.massive.jsonl", [captures.line("stocks", [captures.stock_trade(0), *bad])])
    told: list[tuple[str, Bad]] = []
    with Capture(path, STALE_NS, lambda source, letter: told.append((source, letter))) as opened:
        assert opened.bad_count == len(bad)
    assert {source for source, _ in told} == {"a.massive.jsonl"}
    assert [letter.place.rpartition("/")[2] for _, letter in told] == [str(n + 1) for n in range(25)]
    assert orjson.loads(told[3][1].value) == bad[3]
