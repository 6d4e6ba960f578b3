"""A small engine for the features worker's tests: every row carries a hash over all events before it, in order.

It keeps the contract of `processors.engine.features` (snaps on the grid, whole snaps, batch invariance), so a lost,
repeated or reordered event changes every later row.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from common import topics
from common.columns import Batch
from processors.engine.order import KINDS, Events
from processors.features.stepping import Engine
from tests.support.event_batches import filled

TOPICS = {kind: topic for topic, kind in KINDS.items()}
_MODULUS = 2**61 - 1


@dataclass(slots=True)
class SmallState:
    """``digest`` of everything so far; ``next_snap_ns`` 0 before the first event."""

    digest: int = 1
    next_snap_ns: int = 0

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def small_engine(interval_ns: int) -> Engine:
    """One to three rows per snap, as the hash has it, from the first grid time at or after the first event."""

    nothing = filled(topics.FEATURES, 0, {})

    def step(state: SmallState, events: Events, until_ns: int) -> Batch:
        rows: list[tuple[int, int, int, int]] = []

        def release(before_ns: int) -> None:
            while state.next_snap_ns and state.next_snap_ns < before_ns:
                count = 1 + state.digest % 3
                rows.extend((state.next_snap_ns, place, count, state.digest) for place in range(count))
                state.next_snap_ns += interval_ns

        for kind, index in zip(events.kind.tolist(), events.index.tolist(), strict=True):
            batch = events.batches[TOPICS[kind]]
            effective_ns, event_id = int(batch["ts_effective_ns"][index]), int(batch["event_id"][index])
            release(effective_ns)
            if not state.next_snap_ns:
                state.next_snap_ns = -(-effective_ns // interval_ns) * interval_ns
            state.digest = (state.digest * 1_000_003 + event_id * 8 + kind + effective_ns) % _MODULUS
        release(until_ns)
        return (
            nothing
            if not rows
            else filled(
                topics.FEATURES,
                len(rows),
                {
                    "ts_event_ns": [row[0] for row in rows],
                    "snap_row": [row[1] for row in rows],
                    "snap_rows": [row[2] for row in rows],
                    "cumulative_delta": [row[3] for row in rows],
                    "level_id": [f"ROUND_{row[1]}" for row in rows],
                    "underlying": ["SPY"] * len(rows),
                },
            )
        )

    return Engine(SmallState, step, lambda data: SmallState(**json.loads(data)))
