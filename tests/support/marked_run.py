"""A live run in memory: the sample's first minutes in a log, with the rows and markers that a run leaves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice

import numpy as np

from common import schemas, topics
from common.avro import Codec, encode_row
from common.columns import Batch
from common.config import EngineConfig
from common.recorded import Recorded
from common.schemas import RecordSchema
from processors.engine.order import Merger
from producers.replay.engine import INPUTS, Engine, from_steps
from producers.stream import stamped_batches
from tests.support.live_run import sample_files
from tests.support.memory_log import MemoryLog

CONFIG = EngineConfig()
STEPS = 30
IDS = {name: number for number, name in enumerate(schemas.names(), start=1)}
"""Schema ids in such a log."""
_NAMES = {number: name for name, number in IDS.items()}


def writer(number: int) -> RecordSchema:
    """The schema of an id in such a log."""
    return schemas.load(_NAMES[number])


def framed(batch: Batch) -> list[bytes]:
    """The batch's records as they stand in such a log."""
    return Codec(schemas.load(batch.name)).encode(batch, IDS[batch.name]).messages()


@cache
def pieces() -> tuple[Recorded, ...]:
    """The sample's first minutes, in small pieces."""
    steps = stamped_batches(sample_files(), CONFIG, chunk_records=200)
    return tuple(islice(from_steps(steps), STEPS))


def run_into(log: MemoryLog, *, forge: dict[str, list[int]] | None = None) -> list[dict[str, object]]:
    """Write a run with a marker for every piece of input; returns the markers.

    ``forge``: rows (by their place in the topic) whose first score or size is falsified, by output topic.
    """
    for name in schemas.names():
        log.create(name)
    merger, engine = Merger(INPUTS), Engine(CONFIG)
    markers: list[dict[str, object]] = []
    written = dict.fromkeys(schemas.names(), 0)
    for piece in pieces():
        for value in framed(piece.batch):
            log.append(piece.topic, value)
        merger.push(piece.topic, piece.batch, piece.offsets)
        for topic in INPUTS:
            merger.promise(topic, merger.position(topic), piece.watermark_ns)
        from_ns = merger.floor_ns
        if merger.until_ns <= from_ns:
            continue
        judged = engine.step(merger.pop())
        for topic, batch in judged.rows.items():
            for value in _values(batch, written[topic], (forge or {}).get(topic, [])):
                log.append(topic, value)
            written[topic] += batch.length
        times = np.unique(judged.features["ts_event_ns"]).tolist()
        markers.append(
            {
                "ts_event_ns": times[-1] if times else (markers[-1]["ts_event_ns"] if markers else 0),
                "underlying": "SPY",
                "ts_first_snap_ns": times[0] if times else None,
                "snaps": len(times),
                "rows": judged.features.length,
                "input_topics": list(INPUTS),
                "input_next_offsets": [merger.next_offsets[topic] for topic in INPUTS],
                "ts_promises_ns": [merger.promises_ns[topic] for topic in INPUTS],
                "set_aside": [],
                "config_hash": CONFIG.hash,
                "code_version": "test",
                "run_id": "run",
                "ts_from_ns": from_ns,
                "ts_until_ns": judged.until_ns,
                "outcomes": judged.rows[topics.OUTCOMES].length,
                "flow_rows": judged.rows[topics.OPTIONS_FLOW].length,
            }
        )
        log.append(topics.MARKERS, encode_row(schemas.load(topics.MARKERS), markers[-1], IDS[topics.MARKERS]))
    return markers


def _values(batch: Batch, first: int, forged: list[int]) -> Iterator[bytes]:
    wrong = [number - first for number in forged if first <= number < first + batch.length]
    column = batch.columns["distance"] if batch.length and "distance" in batch.columns else None
    if column is not None and wrong:
        column.values[wrong] += 1.0  # type: ignore[operator]
    yield from framed(batch) if batch.length else ()
    if column is not None and wrong:
        column.values[wrong] -= 1.0  # type: ignore[operator]
