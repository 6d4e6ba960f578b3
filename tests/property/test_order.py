"""However the inputs are cut and interleaved, the merged sequence is the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.topics import FUTURES_MBP10 as BOOKS
from common.topics import FUTURES_TRADES as TRADES
from processors.engine.order import KINDS, Merger
from tests.support.event_batches import event_batch

TOPIC_OF_KIND = {kind: topic for topic, kind in KINDS.items()}

records = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-5, 0), st.one_of(st.none(), st.integers(0, 3)), st.integers(1, 3)),
    max_size=25,
)
"""Per record: step of the effective time, lateness of the event time, seq, step of the offset."""


def laid_out(items: list[tuple[int, int, int | None, int]]) -> list[tuple[int, int, int, int | None]]:
    out, effective, offset = [], 100, -1
    for step, late, seq, skip in items:
        effective, offset = effective + step, offset + skip
        out.append((offset, effective, effective + late, seq))
    return out


def expected(topics: dict[str, list[tuple[int, int, int, int | None]]], until: int) -> list[tuple[str, int]]:
    """The specification, record by record: sort by the key, keep what lies below the promise."""
    keyed = []
    for rank, (topic, rows) in enumerate(topics.items()):
        for offset, effective, event, seq in rows:
            place = {TRADES: 0, BOOKS: 1}[topic]
            keyed.append(((effective, event, 0, -1 if seq is None else seq, place, rank, offset), topic, offset))
    return [(topic, offset) for key, topic, offset in sorted(keyed) if key[0] < until]


@given(books=records, trades=records, data=st.data())
def test_every_cut_and_interleaving_gives_the_one_sequence(books: list, trades: list, data: st.DataObject) -> None:
    topics = {BOOKS: laid_out(books), TRADES: laid_out(trades)}
    merger = Merger(list(topics))
    left = {topic: list(rows) for topic, rows in topics.items()}
    got: list[tuple[str, int]] = []
    until = -(2**63)

    def drain(limit: int | None) -> None:
        nonlocal until
        offsets_before = merger_offsets()
        events = merger.pop(limit)
        assert events.until_ns >= until
        until = events.until_ns
        for kind, index in zip(events.kind, events.index, strict=True):
            topic = TOPIC_OF_KIND[int(kind)]
            row = int(events.batches[topic]["event_id"][index])
            got.append((topic, row))
        assert all(merger.next_offsets[t] >= offsets_before[t] for t in topics)

    def merger_offsets() -> dict[str, int]:
        return dict(merger.next_offsets)

    while any(left.values()):
        topic = data.draw(st.sampled_from([t for t, rows in left.items() if rows]))
        count = data.draw(st.integers(1, len(left[topic])))
        part, left[topic] = left[topic][:count], left[topic][count:]
        batch = event_batch(
            topic, [r[1] for r in part], [r[2] for r in part], [r[3] for r in part], event_id=[r[0] for r in part]
        )
        merger.push(topic, batch, np.array([r[0] for r in part], np.int64))
        if data.draw(st.booleans()):
            drain(data.draw(st.one_of(st.none(), st.integers(100, 180))))
    for topic in topics:
        merger.promise(topic, merger.position(topic), 10_000)
    drain(None)
    assert got == expected(topics, 10_000)
    assert merger.held == {BOOKS: 0, TRADES: 0}
