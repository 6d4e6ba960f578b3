"""An hour is closed by a promise past its end whose beginning the sink has committed."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
import pytest

from common import iceberg, topics
from lakehouse.silver.closed import Promises, closed_by_marks
from lakehouse.silver.pipeline import Closures
from lakehouse.tables import HOUR_NS

TOPIC = "futures.trades.v1"


def beats(*rows: tuple[int, int, int, str], partition: int = 0, topic: str = TOPIC) -> Promises:
    """Heartbeats of (offset in the heartbeats, next offset, hours, state)."""
    promises = Promises()
    for offset, next_offset, hours, state in rows:
        promises.add(
            pa.table(
                {
                    "topic": [topic],
                    "partition": [partition],
                    "next_offset": [next_offset],
                    "ts_watermark_ns": [hours * HOUR_NS + 5],
                    "state": [state],
                    "_partition": [0],
                    "_offset": [offset],
                }
            )
        )
    return promises


def test_a_promise_counts_once_the_sink_stands_where_it_begins() -> None:
    promises = beats((0, 10, 7, "CONNECTED"), (1, 20, 8, "CONNECTED"))
    assert [promises.closed(TOPIC, {0: offset}) for offset in (9, 10, 19, 20)] == [0, 7, 7, 8]


def test_the_slowest_partition_with_records_decides() -> None:
    promises = beats((0, 10, 7, "CONNECTED"))
    assert promises.closed(TOPIC, {0: 10, 1: 0}) == 7
    assert promises.closed(TOPIC, {0: 10, 1: 3}) == 0


def test_an_input_that_ended_closes_the_hour_in_which_it_ends() -> None:
    ended = beats((0, 10, 7, "CONNECTED"), (1, 20, 7, "ENDED"))
    assert ended.closed(TOPIC, {0: 19}) == 7
    assert ended.closed(TOPIC, {0: 20}) == 8
    assert ended.ended(TOPIC)


def test_an_input_that_goes_on_after_an_end_is_open_again() -> None:
    promises = beats((1, 20, 7, "ENDED"), (2, 20, 7, "CONNECTED"))
    assert promises.closed(TOPIC, {0: 20}) == 7
    assert not promises.ended(TOPIC)


def test_the_sinks_marks_close_what_lies_before_the_last_snap() -> None:
    properties = {"breakwater.mark.levels.features.v1.0": f"{9 * HOUR_NS + 1}:3", "other": "1"}
    assert closed_by_marks(properties, "levels.features.v1") == 9
    assert closed_by_marks({}, "levels.features.v1") == 0


class Known:
    """A closed book, and tables that are only properties."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marks = {topics.FEATURES: "", topics.SIGNALS: ""}
        self.closures = Closures("")
        beats_of_the_book = beats((0, 10, 7, "ENDED"), topic=topics.FUTURES_MBP10)
        monkeypatch.setattr(self.closures, "_promises", beats_of_the_book)
        monkeypatch.setattr(iceberg, "load_table", lambda name: SimpleNamespace(properties=self.properties(name)))

    def properties(self, name: str) -> dict[str, str]:
        return {
            f"breakwater.mark.{topic}.0": mark for topic, mark in self.marks.items() if iceberg.TABLES[topic] == name
        }

    def closed(self, topic: str) -> int:
        return self.closures.levels(topic, self.properties(iceberg.TABLES[topic]), {0: 5})


def test_the_hour_in_which_the_book_ends_is_closed_once_every_stored_snap_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Known(monkeypatch)
    known.marks = {topics.FEATURES: f"{7 * HOUR_NS + 2}:3", topics.SIGNALS: f"{7 * HOUR_NS + 1}:3"}
    assert [known.closed(topic) for topic in known.marks] == [7, 7]
    known.marks[topics.SIGNALS] = known.marks[topics.FEATURES]
    assert [known.closed(topic) for topic in known.marks] == [8, 8]
