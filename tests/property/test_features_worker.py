"""Whatever crashes, fences and lost answers do: each snap is published once, with the same bytes."""

from __future__ import annotations

import pytest

from tests.support.features_harness import assert_published_once, make_feed, run_schedule

SCHEDULES = 1_500
GROUPS = 20
FEEDS = 25


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_crash_schedule_ends_with_the_same_bytes(group: int) -> None:
    for seed in range(group, SCHEDULES, GROUPS):
        feed = make_feed(seed % FEEDS)
        log = run_schedule(seed, feed)
        try:
            assert_published_once(log, feed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


def test_a_run_without_faults_gives_the_same_bytes() -> None:
    for seed in range(FEEDS):
        assert_published_once(run_schedule(seed, make_feed(seed), faults=0), make_feed(seed))
