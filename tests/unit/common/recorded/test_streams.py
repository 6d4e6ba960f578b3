"""Several inputs as one stream: order, watermarks, what is held, and that inputs are closed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from common.recorded import END_NS, Piece, interleave
from tests.support.event_batches import event_batch

BOOKS, TRADES, QUOTES = "futures.mbp10.v1", "futures.trades.v1", "stocks.quotes.v1"


def pieces(topic: str, *parts: list[int], begin: int = 0) -> Iterator[Piece]:
    for part in parts:
        yield Piece(event_batch(topic, part), np.arange(begin, begin + len(part), dtype=np.int64))
        begin += len(part)


@pytest.mark.parametrize("seed", range(20))
def test_every_record_comes_once_in_its_topics_order_and_never_below_a_watermark(seed: int) -> None:
    rng = random.Random(seed)
    wanted: dict[str, list[int]] = {}
    inputs = {}
    for topic in (BOOKS, TRADES, QUOTES):
        times = sorted(rng.choices(range(1, 60), k=rng.randint(0, 40)))
        wanted[topic] = times
        cuts = sorted(rng.choices(range(len(times) + 1), k=5))
        inputs[topic] = pieces(topic, *(times[a:b] for a, b in zip([0, *cuts], [*cuts, len(times)], strict=True)))
    seen: dict[str, list[int]] = {topic: [] for topic in inputs}
    offsets: dict[str, list[int]] = {topic: [] for topic in inputs}
    promised_ns = 0
    for piece in interleave(inputs):
        assert piece.batch["ts_effective_ns"][0] >= promised_ns
        assert piece.watermark_ns >= promised_ns
        promised_ns = piece.watermark_ns
        seen[piece.topic] += piece.batch["ts_effective_ns"].tolist()
        offsets[piece.topic] += piece.offsets.tolist()
    assert seen == wanted
    assert all(offsets[topic] == list(range(len(wanted[topic]))) for topic in inputs)
    assert promised_ns == (END_NS if any(wanted.values()) else 0)


def test_an_input_is_not_read_further_than_one_piece_ahead_of_the_others() -> None:
    asked: list[int] = []

    def long() -> Iterator[Piece]:
        for second in range(10, 100):
            asked.append(second)
            yield from pieces(BOOKS, [second], begin=second)

    stream = interleave({BOOKS: long(), TRADES: pieces(TRADES, [15], [16], [90])})
    for piece in stream:
        if piece.topic == TRADES and piece.offsets[0] == 1:
            break
    assert max(asked) <= 17


def test_inputs_are_closed_when_the_caller_stops_early() -> None:
    closed = []

    def endless() -> Iterator[Piece]:
        try:
            while True:
                yield from pieces(BOOKS, [5])
        finally:
            closed.append(True)

    stream = interleave({BOOKS: endless()})
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert closed == [True]
