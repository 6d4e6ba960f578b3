"""What producers write to the features worker's inputs, from a seed: ties, quiet stretches, heartbeats, garbage."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from common import schemas, topics
from common.avro import encode_row
from common.config import EngineConfig
from processors.engine.order import Merger
from processors.features.stepping import Engine, Output, Stepper
from processors.features.wire import INPUTS, Wire
from tests.support.event_batches import event_batch
from tests.support.small_engine import small_engine

CONFIG = EngineConfig()
INTERVAL_NS = CONFIG.snap_interval_ns
START_NS = 1_700_000_000_000_000_000 // INTERVAL_NS * INTERVAL_NS
ROW_TOPICS = {topics.FEATURES: "rows", topics.OUTCOMES: "outcomes", topics.OPTIONS_FLOW: "flow_rows"}
"""The topics that a step publishes rows in, with the marker's field that counts them."""
_IDS = {name: number for number, name in enumerate(schemas.names(), start=1)}
_NAMES = {number: name for name, number in _IDS.items()}
SMALL_ENGINE = small_engine(INTERVAL_NS, sparse=True)
ES_WEIGHT = 6
"""How much likelier an event of ES is than one of another input."""


def wire(namespace: str = "") -> Wire:
    """The real codecs; schema ids are places in the list of schemas."""
    return Wire(namespace, _IDS, lambda number: schemas.load(_NAMES.get(number, "unknown")))


class Sent(NamedTuple):
    """One record to write. ``about``: the input that it belongs to or, for a heartbeat, tells of."""

    topic: str
    value: bytes
    about: str


@dataclass(frozen=True, slots=True)
class Feed:
    """What the producers will write, in order, and what must come of it: the rows of each topic, and the dead letters.

    ``end_ns``: what every input promises at the end.
    """

    records: tuple[Sent, ...]
    rows: Mapping[str, tuple[bytes, ...]]
    bad: frozenset[tuple[str, int]]
    end_ns: int


def heartbeat(
    topic: str,
    next_offset: int,
    ts_watermark_ns: int,
    state: str = "CONNECTED",
    partition: int = 0,
    input_id: str | None = None,
) -> bytes:
    """A framed heartbeat."""
    row = {
        "ts_event_ns": ts_watermark_ns,
        "source": "sim",
        "topic": topic,
        "partition": partition,
        "next_offset": next_offset,
        "ts_watermark_ns": ts_watermark_ns,
        "state": state,
        "input_id": input_id,
    }
    return encode_row(schemas.load(topics.HEARTBEATS), row, _IDS[topics.HEARTBEATS])


@cache
def make_feed(seed: int, events: int = 60, garbage: bool = True, promise_often: float = 0.25) -> Feed:
    """All inputs with ties, quiet stretches, heartbeats and records that are not Avro."""
    rng = random.Random(seed)
    weights = [ES_WEIGHT if name in topics.ALWAYS_AWAITED else 1 for name in INPUTS]
    clocks = dict.fromkeys(INPUTS, START_NS)
    lengths = dict.fromkeys(INPUTS, 0)
    good: dict[str, list[tuple[int, int, int]]] = {name: [] for name in INPUTS}
    records: list[Sent] = []
    bad: set[tuple[str, int]] = set()
    heartbeats = 0

    def beat(value: bytes, about: str) -> None:
        nonlocal heartbeats
        records.append(Sent(topics.HEARTBEATS, value, about))
        heartbeats += 1

    for number in range(events):
        name = rng.choices(INPUTS, weights)[0]
        clocks[name] += rng.choice((0, 0, 1, INTERVAL_NS // 7, INTERVAL_NS, 3 * INTERVAL_NS))
        if garbage and rng.random() < 0.08:
            bad.add((name, lengths[name]))
            records.append(Sent(name, rng.choice((b"", b"not avro", b"\0\0\0\0\x63zz")), name))
        else:
            event_ns = clocks[name] - rng.choice((0, 0, 5))
            good[name].append((clocks[name], event_ns, number))
            records.append(Sent(name, _encoded(name, clocks[name], event_ns, number), name))
        lengths[name] += 1
        if rng.random() < promise_often:
            boundary = max(clocks.values()) // INTERVAL_NS * INTERVAL_NS + rng.choice((0, 1))
            for quiet in INPUTS:
                if rng.random() < 0.8:
                    clocks[quiet] = max(clocks[quiet], boundary)
                    input_id = rng.choice((None, None, "file"))
                    beat(heartbeat(quiet, lengths[quiet], clocks[quiet], input_id=input_id), quiet)
        if garbage and rng.random() < 0.02:
            bad.add((topics.HEARTBEATS, heartbeats))
            beat(b"not avro", rng.choice(INPUTS))
    end_ns = max(clocks.values()) // INTERVAL_NS * INTERVAL_NS + 2 * INTERVAL_NS + 1
    for name in INPUTS:
        beat(heartbeat(name, lengths[name], end_ns, "ENDED"), name)
    return Feed(tuple(records), _reference(good, end_ns), frozenset(bad), end_ns)


def _encoded(name: str, effective_ns: int, event_ns: int, event_id: int) -> bytes:
    return Wire("", _IDS, lambda _: schemas.load(name)).encode(
        event_batch(name, [effective_ns], [event_ns], [7], [event_id])
    )[0]


def _reference(good: dict[str, list[tuple[int, int, int]]], end_ns: int) -> dict[str, tuple[bytes, ...]]:
    """The engine on everything at once, without a log."""
    merger = Merger(INPUTS)
    for name, rows in good.items():
        if rows:
            effective, event, ids = zip(*rows, strict=True)
            merger.push(
                name, event_batch(name, effective, event, [7] * len(rows), ids), np.arange(len(rows), dtype=np.int64)
            )
        merger.promise(name, len(rows), end_ns)
    return published_by(SMALL_ENGINE, merger)


def published_by(engine: Engine, merger: Merger) -> dict[str, tuple[bytes, ...]]:
    """The rows of everything that the merger can hand out, per topic."""
    rows: dict[str, list[bytes]] = {topic: [] for topic in ROW_TOPICS}
    for step in Stepper(engine, CONFIG, engine.initial_state(), merger).steps():
        for topic, values in encoded_rows(step.output).items():
            rows[topic] += values
    return {topic: tuple(values) for topic, values in rows.items()}


def encoded_rows(output: Output) -> dict[str, list[bytes]]:
    """The framed rows of a step, per topic."""
    batches = (output.features, output.outcomes, output.flow)
    return {batch.name: wire().encode(batch) if batch.length else [] for batch in batches}
