"""Dead letters back into their topics: once, late, with their identity, and never beside another writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.avro import Codec
from common.config import EngineConfig
from common.errors import ConflictError
from common.schemas import load
from common.topics import DEAD_LETTERS, FUTURES_TRADES, HEARTBEATS, STOCKS_TRADES
from producers.letters.command import hex_lines
from producers.letters.letter import Letter, read_letters
from producers.letters.reprocess import Place, Result, distinct, reprocess, went_back
from producers.sender import Sender, Target
from tests.support import captures, dbn_files
from tests.support.memory_log import MemoryLog
from tests.support.producer_run import SCHEMA_IDS, Schemas, events, fresh_log, publish

WRITER = Schemas().schema
TARGET = Target("dead-letters", "SPY", 0, "", "run", None, SCHEMA_IDS)


@pytest.fixture
def log(tmp_path: Path) -> MemoryLog:
    """A log with ten trades of ES, published to their end."""
    made = fresh_log()
    publish(made, [dbn_files.write(tmp_path / "t.dbn", "trades", dbn_files.records("trades", range(10)))])
    return made


def write(log: MemoryLog, letter: Letter) -> None:
    log.append(DEAD_LETTERS, letter.encoded(SCHEMA_IDS), b"SPY")


def trade_letter() -> Letter:
    """A trade that can be read (by now), of before those that are published."""
    raw = dbn_files.records("trades", [3], sequence=77).tobytes()
    return Letter(1, FUTURES_TRADES, "old.dbn", "record 3", "was not understood", raw)


def run(log: MemoryLog, folder: Path) -> list[Result]:
    consumer: Any = log.consumer(enable_partition_eof=True)
    place = Place(log.producer(), consumer, WRITER, TARGET, folder / "spool", EngineConfig())
    letters = list(read_letters(consumer, DEAD_LETTERS, 0, WRITER))
    return reprocess(distinct(letters), went_back(letters), place)


def test_a_letter_that_can_be_read_goes_back_as_a_late_record_once(log: MemoryLog, tmp_path: Path) -> None:
    write(log, trade_letter())
    write(log, trade_letter())
    before = events(log, FUTURES_TRADES)
    assert [result.outcome for result in run(log, tmp_path)] == ["stored"]
    after = events(log, FUTURES_TRADES)
    assert after.length == before.length + 1
    assert after["ts_event_ns"][-1] == before["ts_event_ns"][3]
    assert after["ts_effective_ns"][-1] >= before["ts_effective_ns"][-1]
    assert bool(after["is_late"][-1])
    assert [result.outcome for result in run(log, tmp_path)] == ["there already"]
    assert events(log, FUTURES_TRADES).length == after.length


def test_a_crash_before_the_note_does_not_send_the_record_twice(log: MemoryLog, tmp_path: Path) -> None:
    write(log, trade_letter())
    run(log, tmp_path)
    letters = log.partition(DEAD_LETTERS, 0)
    letters.keep(letters.entries[:-1])
    letters.high -= 1
    assert [result.outcome for result in run(log, tmp_path)] == ["there already"]
    assert events(log, FUTURES_TRADES).length == 11


def test_what_is_still_bad_says_why_and_stays(log: MemoryLog, tmp_path: Path) -> None:
    rows = dbn_files.records("trades", [5])
    rows["size"] = 2**31
    write(log, Letter(1, FUTURES_TRADES, "old.dbn", "record 5", "size", rows.tobytes()))
    write(log, Letter(1, "levels.features.v1", None, None, "x", b"y", "signals", 0, 7))
    found = run(log, tmp_path)
    assert [result.outcome for result in found] == ["still bad", "still bad"]
    assert "size is 2147483648" in found[0].detail
    assert "compute them again" in found[1].detail
    assert events(log, FUTURES_TRADES).length == 10


def test_a_message_of_massive_goes_back_with_the_time_of_its_receipt(log: MemoryLog, tmp_path: Path) -> None:
    value = json.dumps(captures.stock_trade(4)).encode()
    receipt_ns = captures.BASE_NS + 5_000_000
    write(log, Letter(1, "massive.stocks", "massive", f"{receipt_ns}/7/0", "odd", value))
    assert [result.outcome for result in run(log, tmp_path)] == ["stored"]
    assert events(log, STOCKS_TRADES)["ts_recv_ns"].tolist() == [receipt_ns]


def test_a_record_that_a_reader_could_not_decode_keeps_its_id(log: MemoryLog, tmp_path: Path) -> None:
    batch = events(log, FUTURES_TRADES).slice(0, 1)
    batch["event_id"][0] = 4711
    (value,) = Codec(load(FUTURES_TRADES)).encode(batch, SCHEMA_IDS[FUTURES_TRADES]).messages()
    write(log, Letter(1, FUTURES_TRADES, None, None, "schema unknown", value, "lakehouse", 0, 99))
    assert [result.outcome for result in run(log, tmp_path)] == ["stored"]
    assert events(log, FUTURES_TRADES)["event_id"][-1] == 4711


def test_nothing_goes_back_while_the_source_is_connected(log: MemoryLog, tmp_path: Path) -> None:
    write(log, trade_letter())
    live = Sender(log.producer(), Target("databento", "SPY", 0, "", "r", None, SCHEMA_IDS), {}, lambda: None)
    row = {"ts_event_ns": 1, "topic": FUTURES_TRADES, "next_offset": 10, "ts_watermark_ns": 1, "state": "CONNECTED"}
    live.send_beat(row, lambda: None)
    live.serve(0.0)
    with pytest.raises(ConflictError, match=r"databento is connected and writes into futures\.trades"):
        run(log, tmp_path)
    live.send_beat({**row, "state": "DISCONNECTED"}, lambda: None)
    live.serve(0.0)
    assert [result.outcome for result in run(log, tmp_path)] == ["stored"]


def test_nothing_goes_back_before_what_waits_in_a_spool(log: MemoryLog, tmp_path: Path) -> None:
    write(log, trade_letter())
    held = tmp_path / "spool" / "databento" / "00000000000000000000.spool"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"frames")
    with pytest.raises(ConflictError, match="holds records that go into the topics first"):
        run(log, tmp_path)


def test_nothing_goes_back_into_an_input_that_is_not_at_its_end(log: MemoryLog, tmp_path: Path) -> None:
    write(log, trade_letter())
    beats = log.partition(HEARTBEATS, 0)
    files = Sender(log.producer(), Target("files", "SPY", 0, "", "r", "x" * 64, SCHEMA_IDS), {}, lambda: None)
    row = {"ts_event_ns": 1, "topic": FUTURES_TRADES, "next_offset": 10, "ts_watermark_ns": 1, "input_records": 3}
    files.send_beat({**row, "state": "DISCONNECTED"}, lambda: None)
    files.serve(0.0)
    assert beats.high
    with pytest.raises(ConflictError, match="not published to its end"):
        run(log, tmp_path)


def test_bytes_are_shown_in_hex_and_as_text() -> None:
    assert list(hex_lines(b"{\x00abc")) == [f"000000  {'7b 00 61 62 63':<47}  {{.abc"]
    assert [line[:6] for line in hex_lines(bytes(40))] == ["000000", "000010", "000020"]
