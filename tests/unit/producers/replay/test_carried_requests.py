"""Levels that people set outlive sessions: a replay of a later range has those of the whole, wherever it reads."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from common import topics
from common.config import NS_PER_S, EngineConfig
from common.errors import InputError
from common.recorded import END_NS, LakeReader, LogReader
from common.topics import ENGINE_INPUTS, REQUESTS
from producers.replay.backfill.session import session_range
from producers.replay.engine import judge, table_of
from producers.replay.ranges import ALL, Range
from producers.replay.sources import Stored
from tests.support.marked_run import framed, writer
from tests.support.memory_log import MemoryLog
from tests.support.silver_lake import SinkTables, record
from tests.support.stored_sessions import store_sessions

CONFIG = EngineConfig()
DATES = (20250602, 20250603, 20250604, 20250605)
LAST = session_range(DATES[-1])
SET, REMOVED = (589.03, 590.03, 591.03), 590.07


def ask(lake: SinkTables, kind: str, price: float, ts_ns: int) -> None:
    stamps = {"ts_event_ns": ts_ns, "ts_effective_ns": ts_ns, "ts_recv_ns": ts_ns}
    lake.append(REQUESTS, record(REQUESTS, kind=kind, underlying="SPY", price=price, **stamps))


@pytest.fixture
def lake(home: object) -> LakeReader:
    """Four sessions; levels were set in the first, and one of them removed in the second."""
    tables = store_sessions(DATES, seconds=20)
    first, second = (session_range(date).until_ns - 2 * NS_PER_S for date in DATES[:2])
    for price in (*SET, REMOVED):
        ask(tables, "HOTZONE_ADD", price, first)
    ask(tables, "HOTZONE_REMOVE", REMOVED, second)
    return LakeReader("", 0)


@pytest.fixture
def log(lake: LakeReader) -> Iterator[tuple[MemoryLog, LogReader]]:
    """The same records in topics."""
    held = MemoryLog()
    for topic in ENGINE_INPUTS:
        held.create(topic)
        for piece in lake.pieces(topic, 0, END_NS):
            for value in framed(piece.batch):
                held.append(topic, value)
    reader = LogReader(held.consumer, writer, "", 0)
    yield held, reader
    reader.close()


def features(stored: Stored, shown: Range) -> pa.Table:
    """The feature rows of the range."""
    source = stored.source(shown)
    found = [table_of(one.within(shown).features) for one in judge(source.stream, CONFIG, source.end_ns)]
    return pa.concat_tables(found)


def hotzones(rows: pa.Table) -> set[str]:
    return {name for name in pc.unique(rows["level_id"]).to_pylist() if name.startswith("HOTZONE")}


def test_a_later_range_has_the_levels_of_the_whole_from_tables_topics_and_both(
    lake: LakeReader, log: tuple[MemoryLog, LogReader]
) -> None:
    held, reader = log
    whole = features(Stored(None, lake), ALL)
    times = whole["ts_event_ns"].to_numpy()
    expected = whole.filter((times >= LAST.from_ns) & (times < LAST.until_ns))
    assert hotzones(expected) and hotzones(expected) <= {f"HOTZONE_{price}" for price in SET}
    assert features(Stored(None, lake), LAST).equals(expected)
    assert features(Stored(reader, None), LAST).equals(expected)
    held.truncate(REQUESTS, 0, 3)
    assert features(Stored(reader, lake), LAST).equals(expected)


def test_what_is_asked_for_after_the_market_s_end_adds_nothing_to_a_replay(home: object) -> None:
    tables = store_sessions(DATES[:1], seconds=20)
    before = features(Stored(None, LakeReader("", 0)), ALL)
    for days in (1, 300, 301):
        ask(tables, "HOTZONE_ADD", SET[0], LAST.until_ns + days * 86_400 * NS_PER_S)
    assert features(Stored(None, LakeReader("", 0)), ALL).equals(before)


def test_requests_that_are_in_no_topic_and_no_table_are_missed(log: tuple[MemoryLog, LogReader]) -> None:
    held, reader = log
    held.truncate(REQUESTS, 0, 3)
    with pytest.raises(InputError, match=f"{topics.REQUESTS} begins at .* from the beginning on are needed") as refused:
        Stored(reader, None).source(LAST)
    assert refused.value.hint
