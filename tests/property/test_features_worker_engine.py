"""The features worker with the real engine on real events: crashes leave the same bytes as the engine alone."""

from __future__ import annotations

from functools import cache
from itertools import islice

import numpy as np
import pytest

from common import topics
from common.settings import settings
from processors.engine.order import Merger
from processors.features.service import engine_of
from processors.features.wire import INPUTS
from producers.stream import stamped_batches
from tests.support.features_harness import (
    CONFIG,
    SPY,
    Feed,
    assert_published_once,
    heartbeat,
    published_by,
    run_schedule,
    wire,
)

SCHEDULES = 24
STEPS = 40
STEP_RECORDS = 200


@cache
def sample() -> Feed:
    """The first 8,000 events of the sample session, as the producer would write them."""
    folder = settings().sample_data / "es"
    paths = [folder / f"esh4-20231225.{name}.dbn.zst" for name in ("mbp-10", "trades")]
    merger = Merger(INPUTS)
    lengths = dict.fromkeys(INPUTS, 0)
    records: list[tuple[str, bytes]] = []
    for step in islice(stamped_batches(paths, CONFIG, chunk_records=STEP_RECORDS), STEPS):
        for batch in step.batches:
            ids = np.arange(lengths[batch.name], lengths[batch.name] + batch.length, dtype=np.int64)
            lengths[batch.name] += batch.length
            merger.push(batch.name, batch, ids)
            records += [(batch.name, value) for value in wire().encode(batch)]
        for name, length in lengths.items():
            merger.promise(name, length, step.watermark_ns)
            records.append((topics.HEARTBEATS, heartbeat(name, length, step.watermark_ns)))
    return Feed(tuple(records), tuple(published_by(engine_of(SPY, CONFIG), merger)), frozenset())


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_every_crash_schedule_ends_with_the_engines_bytes(seed: int) -> None:
    feed = sample()
    assert len(feed.rows) > 1_000
    assert_published_once(run_schedule(seed, feed, engine=engine_of(SPY, CONFIG), scale=100), feed)
