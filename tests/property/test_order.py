"""However the inputs are cut and interleaved, the merged sequence is the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.topics import ENGINE_INPUTS
from processors.engine.order import Merger
from tests.support.merge_run import Applied, Record, applied, push

RECORDS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-5, 0), st.one_of(st.none(), st.integers(0, 3)), st.integers(1, 3)),
    max_size=8,
)
"""Per record: step of the effective time, lateness of the event time, seq, step of the offset."""

END_NS = 10_000
PLACES = {"definitions": 0, "status": 1, "trades": 2, "mbp10": 3, "quotes": 3, "greeks_snapshots": 3, "requests": 4}
VENUES = {"futures": 0, "stocks": 1, "options": 2, "control": 9}


def laid_out(items: list[tuple[int, int, int | None, int]]) -> list[Record]:
    out, effective_ns, offset = [], 100, -1
    for step, late, seq, skip in items:
        effective_ns, offset = effective_ns + step, offset + skip
        out.append(Record(offset, effective_ns, effective_ns + late, seq))
    return out


def expected(inputs: dict[str, list[Record]]) -> list[Applied]:
    """The specification, record by record: sort by the key."""
    keyed = []
    for rank, (topic, records) in enumerate(inputs.items()):
        venue, what, _ = topic.split(".")
        for r in records:
            seq = -1 if r.seq is None else r.seq
            key = (r.effective_ns, r.event_ns, VENUES[venue], seq, PLACES[what], rank, r.offset)
            keyed.append((key, (topic, r.offset, r.effective_ns)))
    return [event for _, event in sorted(keyed)]


@given(items=st.lists(RECORDS, min_size=len(ENGINE_INPUTS), max_size=len(ENGINE_INPUTS)), data=st.data())
def test_every_cut_and_interleaving_of_all_inputs_gives_the_one_sequence(items: list, data: st.DataObject) -> None:
    inputs = {topic: laid_out(rows) for topic, rows in zip(ENGINE_INPUTS, items, strict=True)}
    merger = Merger(ENGINE_INPUTS)
    left = {topic: list(rows) for topic, rows in inputs.items()}
    got: list[Applied] = []

    def drain(limit_ns: int | None) -> None:
        before, floor_ns = merger.next_offsets, merger.floor_ns
        events = merger.pop(limit_ns)
        assert events.until_ns == merger.floor_ns >= floor_ns
        assert (events.late, events.aside) == (0, 0)
        got.extend(applied(events))
        assert all(merger.next_offsets[topic] >= before[topic] for topic in inputs)

    while any(left.values()):
        topic = data.draw(st.sampled_from([topic for topic, rows in left.items() if rows]))
        count = data.draw(st.integers(1, len(left[topic])))
        push(merger, topic, left[topic][:count])
        left[topic] = left[topic][count:]
        if not left[topic]:
            merger.promise(topic, merger.position(topic), END_NS)
        if data.draw(st.booleans()):
            drain(data.draw(st.one_of(st.none(), st.integers(100, 130))))
    for topic in inputs:
        merger.promise(topic, merger.position(topic), END_NS)
    drain(None)
    assert got == expected(inputs)
    assert set(merger.held.values()) == {0}
