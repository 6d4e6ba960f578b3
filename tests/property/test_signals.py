"""However the rows are cut, stored or sent again, the signals are the same bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import schemas, topics
from common.avro.codec import Codec
from common.columns import Batch
from common.config import EngineConfig, make_config
from processors.engine import signals
from processors.engine.levelstate import LevelState, SignalState
from processors.signals.position import position_key
from tests.support.feature_rows import feature_batch, random_snaps, row_dicts
from tests.support.signals_crashes import COMPLEX, World, once, run_to_end

CONFIG = make_config({"TRIGGER_HOLD_TIME": 0.5})
MEDIAN = make_config({"TRIGGER_HOLD_TIME": 0.5, "SMOOTHING": "MEDIAN"})
HYBRID = make_config({"TRIGGER_HOLD_TIME": 0.5, "SMOOTHING": "HYBRID", "ROBUST_WINDOW": 15})
CONFIGS = (CONFIG, MEDIAN, HYBRID)
ENCODER = Codec(schemas.load(topics.SIGNALS))
SEEDS = st.integers(0, 2**32 - 1)


def encoded(batch: Batch) -> list[bytes]:
    return ENCODER.encode(batch, 8).messages()


def bounds(snaps: Sequence[Sequence[object]]) -> list[int]:
    out = [0]
    for snap in snaps:
        out.append(out[-1] + len(snap))
    return out


def test_the_random_market_reaches_every_signal() -> None:
    batch = feature_batch([row for snap in random_snaps(3, 600) for row in snap])
    kinds = {row["signal"] for row in row_dicts(signals.step(CONFIG, signals.initial_state(), batch))}
    assert kinds == {"NEUTRAL", "BREAK", "REJECT", "CONTESTED"}


@given(seed=SEEDS, config=st.sampled_from(CONFIGS), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_cut_at_snap_boundaries_gives_the_same_bytes(seed: int, config: EngineConfig, data: st.DataObject) -> None:
    snaps = random_snaps(seed, 60)
    rows = feature_batch([row for snap in snaps for row in snap])
    whole = encoded(signals.step(config, signals.initial_state(), rows))
    cuts = sorted(data.draw(st.sets(st.sampled_from(bounds(snaps)))) | {0, rows.length})
    state, parts = signals.initial_state(), []
    for start, stop in pairwise(cuts):
        parts += encoded(signals.step(config, state, rows.slice(start, stop)))
    assert parts == whole


@given(seed=SEEDS, config=st.sampled_from(CONFIGS), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_state_resumed_from_its_bytes_at_any_row_goes_on_with_the_same_bytes(
    seed: int, config: EngineConfig, data: st.DataObject
) -> None:
    rows = feature_batch([row for snap in random_snaps(seed, 60) for row in snap])
    whole = encoded(signals.step(config, signals.initial_state(), rows))
    cut = data.draw(st.integers(0, rows.length))
    before = signals.initial_state()
    first = encoded(signals.step(config, before, rows.slice(0, cut)))
    resumed = SignalState()
    for level_id in reversed(before.level_ids):  # slots differ from the first run's
        resumed.put(level_id, LevelState.from_bytes(before.get(level_id).to_bytes()))
    assert first + encoded(signals.step(config, resumed, rows.slice(cut, rows.length))) == whole


@given(seed=SEEDS, config=st.sampled_from(CONFIGS), data=st.data())
@settings(max_examples=60, deadline=None)
def test_from_any_mixture_of_older_level_rows_only_the_same_rows_are_sent_again(
    seed: int, config: EngineConfig, data: st.DataObject
) -> None:
    """Each level's row may be of another snap, all of them at or after the snap from which the input is read again."""
    snaps = random_snaps(seed, 50)
    rows = feature_batch([row for snap in snaps for row in snap])
    state, whole, history = signals.initial_state(), [], []
    for start, stop in pairwise(bounds(snaps)):
        whole += encoded(signals.step(config, state, rows.slice(start, stop)))
        history.append({level_id: state.get(level_id) for level_id in state.level_ids})
    read_from = data.draw(st.integers(0, len(snaps) - 1))
    mixture = SignalState()
    for level_id in state.level_ids:
        at = data.draw(st.integers(read_from, len(snaps) - 1))
        mixture.put(level_id, history[at].get(level_id, LevelState()))
    again = encoded(signals.step(config, mixture, rows.slice(bounds(snaps)[read_from + 1], rows.length)))
    assert set(again) <= set(whole)
    assert again == [row for row in whole if row in set(again)]


def reference(snaps: list[list[dict[str, object]]], config: EngineConfig = CONFIG) -> World:
    world = World(config, snaps)
    run_to_end(world)
    assert world.sent == once(world.sent)
    return world


@pytest.mark.parametrize("block", range(6))
def test_wherever_a_worker_dies_the_signals_are_complete_and_the_same(block: int) -> None:
    """Several lives, each ended after a random number of acknowledged steps."""
    config = CONFIGS[block % len(CONFIGS)]
    snaps = random_snaps(block, 40)
    expected = reference(snaps, config)
    for schedule in range(25):
        rng = random.Random(f"{block}/{schedule}")
        world = World(config, snaps, seed=schedule)
        for _ in range(rng.randrange(1, 6)):
            life = world.process().steps(rng)
            for _ in range(rng.randrange(0, 120)):
                next(life, None)
        run_to_end(world, schedule)
        assert once(world.sent) == expected.sent, f"seed {block}/{schedule}"


@pytest.mark.parametrize("block", range(6))
def test_a_zombie_that_goes_on_writing_does_no_harm(block: int) -> None:
    """Two workers hold the same partition; their steps interleave at random, then both die and a third finishes."""
    config = CONFIGS[block % len(CONFIGS)]
    snaps = random_snaps(100 + block, 40)
    expected = reference(snaps, config)
    for schedule in range(25):
        rng = random.Random(f"{block}/{schedule}")
        world = World(config, snaps)
        zombie = world.process().steps(rng)
        for _ in range(rng.randrange(0, 80)):
            next(zombie, None)
        successor = world.process().steps(rng)
        for _ in range(rng.randrange(0, 200)):
            next(rng.choice((zombie, successor, successor)), None)
        run_to_end(world, schedule)
        assert set(world.sent) == set(expected.sent), f"seed {block}/{schedule}"


def test_a_level_row_older_than_the_position_makes_the_session_be_judged_anew() -> None:
    snaps = random_snaps(5, 40)
    expected = reference(snaps)
    world = World(CONFIG, snaps)
    run_to_end(world)
    stale = World(CONFIG, snaps[:20])
    run_to_end(stale)
    position = world.table[position_key(COMPLEX)]
    world.table.update(stale.table)
    world.table[position_key(COMPLEX)] = position
    process = world.process()
    assert process.start.reason == "level rows older than the position"
    run_to_end(world)
    assert once(world.sent) == expected.sent
