"""Whatever crashes, fences and lost answers do: each snap is published once, with the same bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.features_feed import make_feed
from tests.support.features_harness import assert_follows_from_markers, assert_published_once, run_schedule

SCHEDULES = 500
GROUPS = 20
FEEDS = 25


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_crash_schedule_ends_with_the_same_bytes(group: int, seeds: Callable[[int], int]) -> None:
    for seed in range(group, seeds(SCHEDULES), GROUPS):
        feed = make_feed(seed % FEEDS)
        log = run_schedule(seed, feed)
        try:
            assert_published_once(log, feed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("group", range(GROUPS))
def test_with_inputs_set_aside_the_markers_alone_give_every_published_byte(
    group: int, seeds: Callable[[int], int]
) -> None:
    for seed in range(group, seeds(SCHEDULES), GROUPS):
        feed = make_feed(seed % FEEDS)
        log = run_schedule(seed, feed, stalls=True)
        try:
            assert_follows_from_markers(log, feed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


def test_a_run_without_faults_gives_the_same_bytes() -> None:
    for seed in range(FEEDS):
        assert_published_once(run_schedule(seed, make_feed(seed), faults=0), make_feed(seed))
