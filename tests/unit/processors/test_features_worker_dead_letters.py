"""Records that cannot be decoded: set aside once, with all that is needed to find and repair them."""

from __future__ import annotations

import pytest

from common import topics
from common.errors import InvariantError
from common.topics import FUTURES_MBP10 as BOOKS
from common.topics import FUTURES_TRADES as TRADES
from processors.features.intake import Bounds
from processors.features.worker import Tuning
from tests.support.features_scene import beat, drain, es_log, make, rows, snaps, write


def test_a_record_that_is_not_avro_is_set_aside_and_the_stream_goes_on() -> None:
    log = es_log()
    worker = make(log)
    write(log, BOOKS, [0.5])
    log.append(BOOKS, b"not avro", key=b"k")
    write(log, BOOKS, [2.5])
    beat(log, TRADES, 0, 2)
    drain(worker)
    assert snaps(log) == [1.0, 2.0]
    (letter,) = rows(log, topics.DEAD_LETTERS)
    assert (letter["topic"], letter["partition"], letter["offset"]) == (BOOKS, 0, 1)
    assert (letter["key"], letter["value"], letter["component"], letter["ts_event_ns"]) == (
        b"k",
        b"not avro",
        "features",
        42,
    )
    assert "not a framed record" in letter["error"]


def test_a_record_set_aside_is_not_set_aside_again_after_a_restart() -> None:
    log = es_log()
    write(log, BOOKS, [0.5])
    log.append(BOOKS, b"not avro")
    write(log, BOOKS, [2.5])
    beat(log, TRADES, 0, 2)
    drain(make(log))
    drain(make(log))
    assert len(rows(log, topics.DEAD_LETTERS)) == 1


def test_a_huge_bad_record_is_cut_so_that_its_letter_fits() -> None:
    log = es_log()
    log.append(BOOKS, b"x" * 1_000_000)
    drain(make(log))
    (letter,) = rows(log, topics.DEAD_LETTERS)
    assert len(letter["value"]) == 900_000 and "cut from 1000000" in letter["error"]


def test_a_topic_full_of_foreign_records_stops_the_worker() -> None:
    log = es_log()
    write(log, BOOKS, [0.5])
    for _ in range(5):
        log.append(BOOKS, b"foreign")
    worker = make(log, tuning=Tuning(bounds=Bounds(dead_letters=4)))
    with pytest.raises(InvariantError, match="4 records that cannot be decoded"):
        worker.poll(0)
