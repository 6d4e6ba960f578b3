"""A live run once more: the engine over its records, in the steps that its markers name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from common.config import EngineConfig
from common.recorded import Recorded
from processors.engine.marked import Follower, marker_of
from processors.engine.order import Merger
from producers.replay.engine import INPUTS, Engine, Judged

Markers = Sequence[tuple[int, Mapping[str, Any]]]
"""The markers of a run with their offsets, in order."""


class Evidence(NamedTuple):
    """The records that a marker's step took: per input topic the first offset and the one after the last.

    The topics have their full names; all stand in the same ``partition``.
    """

    partition: int
    taken: dict[str, tuple[int, int]]


def evidence_of(markers: Markers, ts_ns: int, partition: int) -> Evidence | None:
    """The evidence of the snap at ``ts_ns``, from the markers of a run (offset, record) in order."""
    before: dict[str, int] = {}
    for _, marker in markers:
        following = dict(zip(marker["input_topics"], marker["input_next_offsets"], strict=True))
        first_ns = marker["ts_first_snap_ns"]
        if first_ns is not None and first_ns <= ts_ns <= marker["ts_event_ns"]:
            taken = {name: (before.get(name, 0), end) for name, end in following.items()}
            return Evidence(partition, taken)
        before = following
    return None


def follow(
    stream: Iterable[Recorded],
    ends: Mapping[str, int],
    markers: Markers,
    namespace: str,
    config: EngineConfig,
) -> Iterator[Judged]:
    """Apply the stream exactly as the run did that wrote the markers, up to the last of them.

    ``ends``: the offset after the last record of each input that exists. Raises InvariantError that names topic and
    offset when markers and records disagree.
    """
    merger = Merger(INPUTS)
    follower = Follower(merger, [marker_of(record, namespace) for _, record in markers])
    engine = Engine(config)
    for piece in stream:
        merger.push(piece.topic, piece.batch, piece.offsets)
        yield from _followed(follower, engine, merger)
        if follower.done:
            return
    for topic in INPUTS:
        merger.read_to(topic, ends.get(topic, 0))
    yield from _followed(follower, engine, merger)
    follower.finish()


def _followed(follower: Follower, engine: Engine, merger: Merger) -> Iterator[Judged]:
    while (part := follower.pop(engine.limit_ns(merger))) is not None:
        yield engine.step(part.events)
