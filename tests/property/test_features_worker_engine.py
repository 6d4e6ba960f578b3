"""The features worker with the real engine on real events: crashes leave the same bytes as the engine alone."""

from __future__ import annotations

from functools import cache
from itertools import islice

import numpy as np
import pytest

from common import topics
from common.config import PROFILES, make_config
from common.settings import settings
from processors.engine.order import Merger
from processors.features.service import engine_of
from processors.features.wire import INPUTS
from producers.stream import stamped_batches
from tests.support.features_feed import CONFIG, Feed, Sent, heartbeat, published_by, wire
from tests.support.features_harness import SPY, assert_follows_from_markers, assert_published_once, run_schedule

SCHEDULES = 24
STALLED_SCHEDULES = 8
STEPS = 40
STEP_RECORDS = 200
ENGINES = {profile: engine_of(SPY, make_config(keys)) for profile, keys in PROFILES.items()}


@cache
def sample(profile: str) -> Feed:
    """The first 8,000 events of the sample session, as the producer would write them, and what the profile says."""
    folder = settings().sample_data / "es"
    paths = [folder / f"esh4-20231225.{name}.dbn.zst" for name in ("mbp-10", "trades")]
    merger = Merger(INPUTS)
    lengths = dict.fromkeys(INPUTS, 0)
    records: list[Sent] = []
    end_ns = 0
    for step in islice(stamped_batches(paths, CONFIG, chunk_records=STEP_RECORDS), STEPS):
        for batch in step.batches:
            ids = np.arange(lengths[batch.name], lengths[batch.name] + batch.length, dtype=np.int64)
            lengths[batch.name] += batch.length
            merger.push(batch.name, batch, ids)
            records += [Sent(batch.name, value, batch.name) for value in wire().encode(batch)]
        for name, length in lengths.items():
            merger.promise(name, length, step.watermark_ns)
            records.append(Sent(topics.HEARTBEATS, heartbeat(name, length, step.watermark_ns), name))
        end_ns = step.watermark_ns
    return Feed(tuple(records), published_by(ENGINES[profile], merger), frozenset(), end_ns)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_every_crash_schedule_ends_with_the_engines_bytes_in_every_profile(seed: int) -> None:
    profile = list(PROFILES)[seed % len(PROFILES)]
    feed = sample(profile)
    assert len(feed.rows[topics.FEATURES]) > 1_000
    assert_published_once(run_schedule(seed, feed, engine=ENGINES[profile], scale=100), feed)


@pytest.mark.parametrize("seed", range(STALLED_SCHEDULES))
def test_with_inputs_set_aside_that_bring_nothing_the_bytes_stay_the_same(seed: int) -> None:
    profile = list(PROFILES)[seed % len(PROFILES)]
    feed = sample(profile)
    log = run_schedule(seed, feed, engine=ENGINES[profile], scale=100, stalls=True)
    assert_published_once(log, feed)
    assert assert_follows_from_markers(log, feed, ENGINES[profile]) == 0
