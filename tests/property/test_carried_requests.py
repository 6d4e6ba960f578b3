"""What people asked holds in every later range: however requests lie in time, a replay begins with those in force."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common import schemas
from common.avro import encode_row
from common.columns import Batch
from common.recorded import END_NS, LogReader
from common.sessions import cme_es_sessions
from common.topics import ENGINE_INPUTS, FUTURES_TRADES, REQUESTS
from processors.engine import market_inputs
from processors.engine.hotzones import add_hotzone, configured, remove_hotzone
from producers.replay.ranges import Range
from producers.replay.sources import Stored
from tests.support.event_batches import filled
from tests.support.marked_run import IDS, writer
from tests.support.memory_log import MemoryLog

OPENS = cme_es_sessions().open_ns[500:510]
SPAN_NS = int(OPENS[-1] - OPENS[0])
Asked = tuple[int, bool, int]
"""When (in thousandths of the span), whether it is added, and at which price (USD)."""


def log_of(asked: Sequence[Asked]) -> MemoryLog:
    """Requests in order, and a trade in each session so that there is a market."""
    log = MemoryLog()
    for topic in ENGINE_INPUTS:
        log.create(topic)
    for ts_ns in OPENS.tolist():
        log.append(FUTURES_TRADES, _value(FUTURES_TRADES, ts_ns + 1, {}))
    for at, adding, price in asked:
        kind = "HOTZONE_ADD" if adding else "HOTZONE_REMOVE"
        given = {"kind": kind, "underlying": "SPY", "price": float(price), "symbol": "SPY"}
        log.append(REQUESTS, _value(REQUESTS, int(OPENS[0]) + at * (SPAN_NS // 1000), given))
    return log


def _value(topic: str, ts_ns: int, given: dict[str, object]) -> bytes:
    record = schemas.load(topic)
    zero = {"string": "", "enum": None, "boolean": False, "double": 0.0}
    row: dict[str, object] = {}
    for field in record.fields:
        empty = field.symbols[0] if field.kind == "enum" else zero.get(field.kind, 0)
        row[field.name] = None if field.nullable else empty
    row |= {"ts_event_ns": ts_ns, "ts_effective_ns": ts_ns, **given}
    return encode_row(record, row, IDS[topic])


def in_force(batches: Sequence[Batch], until_ns: int) -> list[int]:
    """The engine's own list after the requests before ``until_ns``."""
    zones, count = configured(())
    for batch in batches:
        rows = market_inputs.requests(batch, "SPY")
        for i in range(batch.length):
            if batch["ts_effective_ns"][i] < until_ns:
                change = add_hotzone if rows.kind[i] == market_inputs.ADD_HOTZONE else remove_hotzone
                count = change(zones, count, rows.price_e4[i])
    found: list[int] = zones[:count].tolist()
    return found


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.booleans(), st.integers(598, 603)), max_size=30).map(sorted),
    st.integers(0, 1000),
    st.integers(1, 500),
)
def test_a_range_begins_with_the_levels_that_are_in_force(asked: list[Asked], begin: int, length: int) -> None:
    from_ns = int(OPENS[0]) + begin * (SPAN_NS // 1000)
    shown = Range(from_ns, from_ns + length * (SPAN_NS // 1000))
    reader = LogReader(log_of(asked).consumer, writer, "", 0)
    try:
        whole = [piece.batch for piece in reader.pieces(REQUESTS, 0, len(asked))] or [filled(REQUESTS, 0, {})]
        stream = [piece for piece in Stored(reader, None).source(shown).stream if piece.batch.length]
    finally:
        reader.close()
    mine = [piece.batch for piece in stream if piece.topic == REQUESTS]
    for moment_ns in (shown.from_ns, shown.until_ns):
        assert in_force(mine, moment_ns) == in_force(whole, moment_ns)
    assert all(int(piece.batch["ts_effective_ns"][0]) >= shown.warm_ns for piece in stream)
    times = np.concatenate([np.zeros(0, np.int64), *(batch["ts_effective_ns"] for batch in mine)])
    assert bool(np.all(np.diff(times) >= 0)) and bool(np.all(times < END_NS))
