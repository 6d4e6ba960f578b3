"""Stored pieces become steps that can be paced and promised, with nothing added, lost or moved."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from common.errors import InputError
from common.recorded import interleave
from common.recorded.streams import Piece
from common.topics import FUTURES_MBP10, FUTURES_TRADES, STOCKS_QUOTES
from producers.replay.ranges import ALL, Range
from producers.replay.republish import stamped_steps
from producers.replay.sources import Source
from tests.support.event_batches import event_batch

SNAP_NS = 250
TOPICS = (FUTURES_MBP10, FUTURES_TRADES, STOCKS_QUOTES)


def source(times: dict[str, list[int]], cut: int, shown: Range = ALL) -> Source:
    """The topics' records in pieces of at most ``cut``."""

    def pieces(topic: str) -> Iterator[Piece]:
        for begin in range(0, len(times[topic]), cut):
            part = times[topic][begin : begin + cut]
            ids = range(begin, begin + len(part))
            yield Piece(event_batch(topic, part, event_id=ids), np.array(ids, np.int64))

    return Source(interleave({topic: pieces(topic) for topic in times}), shown, None, None, {}, {}, "")


def made(seed: int) -> dict[str, list[int]]:
    chance = random.Random(seed)
    return {topic: sorted(chance.choices(range(1, 4_000), k=chance.randrange(0, 120))) for topic in TOPICS}


@pytest.mark.parametrize("seed", range(40))
def test_every_record_of_the_range_comes_once_in_order_between_the_promises_around_its_step(seed: int) -> None:
    times = made(seed)
    shown = ALL if seed % 3 == 0 else Range(700, 3_100)
    promised_ns = 0
    got: dict[str, list[tuple[int, int]]] = {topic: [] for topic in TOPICS}
    for step in stamped_steps(source(times, 1 + seed % 9, shown), 0, SNAP_NS):
        for batch in step.batches:
            stamps = batch["ts_effective_ns"].tolist()
            assert all(promised_ns <= stamp < step.watermark_ns for stamp in stamps)
            got[batch.name] += zip(batch["event_id"].tolist(), stamps, strict=True)
        promised_ns = step.watermark_ns
    for topic in TOPICS:
        wanted = [(i, at) for i, at in enumerate(times[topic]) if shown.from_ns <= at < shown.until_ns]
        assert got[topic] == wanted


def test_the_last_promise_releases_the_snap_that_counts_the_last_record() -> None:
    *_, last = stamped_steps(source({FUTURES_MBP10: [10, 260], FUTURES_TRADES: [251]}, 1), 0, SNAP_NS)
    assert last.watermark_ns == 2 * SNAP_NS + 1


def test_a_range_without_records_is_no_step() -> None:
    assert list(stamped_steps(source({FUTURES_MBP10: [10, 260]}, 5, Range(300, 400)), 0, SNAP_NS)) == []


def test_a_namespace_that_was_promised_further_is_refused_as_stamps_never_change() -> None:
    with pytest.raises(InputError, match="promised to be complete"):
        list(stamped_steps(source({FUTURES_MBP10: [10, 260]}, 5), 11, SNAP_NS))
