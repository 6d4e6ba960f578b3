"""A small engine for the features worker's tests: feature rows carry a hash over all events before them, in order.

It keeps the contract of `processors.engine.features` (snaps on the grid, whole snaps, batch invariance), so a lost,
repeated or reordered event changes every later row.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from typing import NamedTuple

from common import topics
from common.columns import Batch
from processors.engine.order import KINDS, Events
from processors.features.stepping import Engine
from tests.support.event_batches import filled

TOPICS = {kind: topic for topic, kind in KINDS.items()}
_MODULUS = 2**61 - 1


class Output(NamedTuple):
    """The shape of `processors.engine.features.Output`."""

    features: Batch
    outcomes: Batch
    flow: Batch


@dataclass(slots=True)
class SmallState:
    """``digest`` of everything so far; ``next_snap_ns`` 0 before the first event."""

    digest: int = 1
    next_snap_ns: int = 0

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def small_engine(interval_ns: int, sparse: bool = False) -> Engine:
    """One to three feature rows per snap, as the hash has it, from the first grid time at or after the first event.

    ``sparse``: some snaps have outcomes, flow rows or both, some of them no feature rows, some nothing at all.
    """

    def step(state: SmallState, events: Events, until_ns: int) -> Output:
        snaps: list[tuple[int, int]] = []

        def release(before_ns: int) -> None:
            while state.next_snap_ns and state.next_snap_ns < before_ns:
                snaps.append((state.next_snap_ns, state.digest))
                state.next_snap_ns += interval_ns

        for kind, index in zip(events.kind.tolist(), events.index.tolist(), strict=True):
            batch = events.batches[TOPICS[kind]]
            effective_ns, event_id = int(batch["ts_effective_ns"][index]), int(batch["event_id"][index])
            release(effective_ns)
            if not state.next_snap_ns:
                state.next_snap_ns = -(-effective_ns // interval_ns) * interval_ns
            state.digest = (state.digest * 1_000_003 + event_id * 8 + kind + effective_ns) % _MODULUS
        release(until_ns)
        none = [(time_ns, digest, 0) for time_ns, digest in snaps]
        if not sparse:
            return Output(
                _rows(topics.FEATURES, [(t, d, 1 + d % 3) for t, d, _ in none]),
                _rows(topics.OUTCOMES, none),
                _rows(topics.OPTIONS_FLOW, none),
            )
        return Output(
            _rows(topics.FEATURES, [(t, d, (t // interval_ns + d) % 4) for t, d, _ in none]),
            _rows(topics.OUTCOMES, [(t, d, (t // interval_ns + d) % 7 // 5) for t, d, _ in none]),
            _rows(topics.OPTIONS_FLOW, [(t, d, (t // interval_ns + d) % 5 // 2) for t, d, _ in none]),
        )

    return Engine(SmallState, step, lambda data: SmallState(**json.loads(data)))


@cache
def _none(topic: str) -> Batch:
    return filled(topic, 0, {})


def _rows(topic: str, snaps: list[tuple[int, int, int]]) -> Batch:
    """``snaps``: time, hash and number of rows of each."""
    rows = [(time_ns, digest, place, count) for time_ns, digest, count in snaps for place in range(count)]
    if not rows:
        return _none(topic)
    hashes = "cumulative_delta" if topic == topics.FEATURES else "volume"
    ids = "episode_id" if topic == topics.OUTCOMES else "level_id"
    return filled(
        topic,
        len(rows),
        {
            "ts_event_ns": [row[0] for row in rows],
            "snap_row": [row[2] for row in rows],
            "snap_rows": [row[3] for row in rows],
            hashes: [row[1] for row in rows],
            ids: [f"{row[1]}_{row[2]}" for row in rows],
            "underlying": ["SPY"] * len(rows),
        },
    )
