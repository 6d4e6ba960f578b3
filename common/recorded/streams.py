"""Several inputs as one stream of pieces, the one that is behind first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.columns import Batch
from common.topics import KEPT

END_NS = 2**63 - 1
"""Watermark of the last piece: nothing follows that moves time."""


class Piece(NamedTuple):
    """Records of one topic-partition in offset order. ``offsets``: int64[batch.length], ascending."""

    batch: Batch
    offsets: NDArray[np.int64]

    @property
    def first_ns(self) -> int:
        """Effective time of the first record."""
        return int(self.batch["ts_effective_ns"][0])

    @property
    def last_ns(self) -> int:
        """Effective time of the last record."""
        return int(self.batch["ts_effective_ns"][-1])


@dataclass(frozen=True, slots=True)
class Recorded:
    """The next records of one input.

    ``topic`` is named without the namespace; ``offsets``: int64[batch.length], ascending over all pieces of the topic.
    ``watermark_ns``: no record of any input that comes later has a smaller effective time; END_NS from the last piece
    on that moves time.
    """

    topic: str
    batch: Batch
    offsets: NDArray[np.int64]
    watermark_ns: int


def interleave(inputs: Mapping[str, Iterator[Piece]]) -> Iterator[Recorded]:
    """The pieces of all inputs, each input's in order, always the one that begins earliest.

    One piece of each input is held, and a merge that is given the watermarks holds no more than one of each besides.
    Empty pieces are passed over. The inputs are closed at the end, also when the caller stops early.

    The stream ends with its market data: what people ask for later (`common.topics.KEPT`) moves no time.
    """
    with ExitStack() as stack:
        for pieces in inputs.values():
            closable: Any = pieces
            if hasattr(closable, "close"):
                stack.enter_context(closing(closable))
        heads = {topic: piece for topic in inputs if (piece := _next(inputs[topic])) is not None}
        places = {topic: place for place, topic in enumerate(inputs)}
        newest_ns = 0
        while heads:
            topic = min(heads, key=lambda name: (heads[name].first_ns, places[name]))
            piece = heads.pop(topic)
            following = _next(inputs[topic])
            if following is not None:
                heads[topic] = following
            watermark_ns = min((head.first_ns for head in heads.values()), default=END_NS)
            if topic not in KEPT:
                newest_ns = max(newest_ns, piece.last_ns)
            if watermark_ns > newest_ns and heads.keys() <= {*KEPT}:
                watermark_ns = END_NS
            yield Recorded(topic, piece.batch, piece.offsets, watermark_ns)


def _next(pieces: Iterator[Piece]) -> Piece | None:
    return next((piece for piece in pieces if piece.batch.length), None)
