"""The memory of levels: slots, ticks and directions (DESIGN 4.4, 4.9).

Spec: plan 3.1; plan 3.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.engine.episodes import touch_level
from processors.engine.levels import (
    CALL_WALL,
    RESISTANCE,
    ROUND,
    STRIKE,
    SUPPORT,
    USER,
    VWAP,
    forget_levels,
    level_slot,
    move_level,
    to_e4,
)
from processors.engine.shapes import LEVELS
from processors.engine.state import OUTCOME, SCALARS
from tests.support.universe import parameters_of

P = parameters_of()
SNAP_NS = int(P["snap_ns"])
FIRST_NS = 4_000_000 * SNAP_NS
TOUCH = 0.05


def memory() -> Any:
    """The state's record, of which these functions use what remembers levels."""
    out: Any = np.zeros(1, SCALARS).view(np.recarray)[0]
    out.ratio = 10.0
    out.trading = 1
    return out


def see(m: Any, snap: int, kind: int, key: int, price: float = 600.0, spot: float = 600.0) -> int:
    now_ns = FIRST_NS + snap * SNAP_NS
    slot = level_slot(m, kind, key, now_ns - SNAP_NS)
    move_level(m, P, slot, price, spot, TOUCH, now_ns)
    return slot


def touch(m: Any, snap: int, kind: int, key: int) -> tuple[int, int]:
    """An episode of the level: its number, and how many touches came before it."""
    slot = see(m, snap, kind, key)
    m.outcome_count = 0
    outcomes = np.zeros(1, OUTCOME)
    touch_level(m, outcomes, slot, 600.0, 600.0, TOUCH, FIRST_NS + snap * SNAP_NS)
    return int(outcomes[0]["number"]), int(outcomes[0]["touches"])


def test_a_price_counts_in_ten_thousandths_to_the_nearest() -> None:
    assert [to_e4(x) for x in (600.0, 600.00004, 600.00006, 0.3, 680.1)] == [6000000, 6000000, 6000001, 3000, 6801000]


def test_a_level_keeps_its_slot_and_levels_never_share_one() -> None:
    m = memory()
    levels = [(ROUND, 600), (STRIKE, 600_000), (USER, 6_000_000), (VWAP, 0), (CALL_WALL, 0), (ROUND, 0)]
    slots = [see(m, 1, *level) for level in levels]
    assert sorted(slots) == list(range(len(levels)))
    assert [see(m, 2, *level) for level in reversed(levels)] == slots[::-1]


def test_a_new_level_is_unseen_until_it_is_moved() -> None:
    m = memory()
    slot = level_slot(m, VWAP, 0, 0)
    assert m.level_seen_ns[slot] == 0
    move_level(m, P, slot, 600.0, 600.0, TOUCH, 5 * SNAP_NS)
    assert m.level_seen_ns[slot] == 5 * SNAP_NS


def test_a_session_begins_without_levels() -> None:
    m = memory()
    for key in range(LEVELS):
        see(m, 1, ROUND, key)
    forget_levels(m)
    slot = level_slot(m, ROUND, 77, 0)
    assert (slot, m.level_seen_ns[slot], int(m.level_count)) == (0, 0, 1)


def test_when_all_slots_are_taken_the_level_not_seen_for_longest_gives_up_its() -> None:
    m = memory()
    slots = {key: see(m, 1, ROUND, key) for key in range(LEVELS)}
    for key in range(LEVELS):
        if key not in {200, 300}:
            see(m, 2, ROUND, key)
    assert see(m, 3, STRIKE, 1) == slots[200]
    assert see(m, 3, STRIKE, 2) == slots[300]
    assert see(m, 3, STRIKE, 3) == slots[0], "then the first of the others"
    assert see(m, 3, STRIKE, 1) == slots[200]
    assert see(m, 3, ROUND, 5) == slots[5]
    assert see(m, 3, ROUND, 200) == slots[1], "a level that was forgotten is a new one"


def test_many_more_levels_than_slots_never_cost_one_of_the_current_snap() -> None:
    m = memory()
    for snap in range(1, 40):
        levels = [(STRIKE, 500 * (snap * 100 + k)) for k in range(200)]
        slots = [see(m, snap, *level) for level in levels]
        assert len(set(slots)) == len(levels)
        assert [(int(m.level_kind[slot]), int(m.level_key[slot])) for slot in slots] == levels


def test_a_touched_level_keeps_its_slot_while_others_that_are_away_have_one() -> None:
    m = memory()
    assert touch(m, 1, ROUND, 600) == (1, 0)
    for key in range(1, 3 * LEVELS):
        see(m, 1 + key, STRIKE, key)
    assert touch(m, 4 * LEVELS, ROUND, 600) == (2, 1)


def test_episodes_of_more_levels_than_slots_are_never_numbered_twice() -> None:
    m = memory()
    told: set[tuple[int, int]] = set()
    snap = 0
    for again in range(3):
        for key in range(LEVELS + 100):
            snap += 2
            number, touches = touch(m, snap, ROUND, key)
            assert (key, number) not in told
            assert 0 <= touches <= again
            told.add((key, number))
    forget_levels(m)
    assert touch(m, snap + 2, ROUND, 1) == (1, 0), "a session begins with the first"


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([ROUND, STRIKE, USER]), st.integers(0, 700)), max_size=1500))
def test_slots_are_a_cache_of_the_levels_seen_last(seen: list[tuple[int, int]]) -> None:
    m = memory()
    slot_of: dict[tuple[int, int], int] = {}
    last: dict[tuple[int, int], int] = {}
    for snap, level in enumerate(seen, 1):
        if level not in slot_of:
            if len(slot_of) < LEVELS:
                slot_of[level] = len(slot_of)
            else:
                oldest = min(slot_of, key=lambda known: (last[known], slot_of[known]))
                slot_of[level] = slot_of.pop(oldest)
        last[level] = snap
        assert see(m, snap, *level) == slot_of[level]


def test_levels_spread_over_the_chains() -> None:
    m = memory()
    for k in range(LEVELS // 4):
        see(m, 1, ROUND, 600 + k)
        see(m, 1, STRIKE, 600_000 + 1000 * k)
        see(m, 1, USER, 6_000_000 + 10_000 * k)
    longest = 0
    for head in m.level_head:
        length, link = 0, int(head)
        while link:
            length, link = length + 1, int(m.level_next[link - 1])
        longest = max(longest, length)
    assert longest <= 8


def tick(m: Any, snap: int, price: float) -> int:
    return int(m.level_tick[see(m, snap, VWAP, 0, price)])


def test_the_tick_moves_only_by_more_than_its_hysteresis() -> None:
    m = memory()
    assert tick(m, 1, 600.0) == 24000
    assert tick(m, 2, 24000.75 * 0.25 / 10.0) == 24000
    assert tick(m, 3, 24000.76 * 0.25 / 10.0) == 24001
    assert tick(m, 4, 24000.25 * 0.25 / 10.0) == 24001
    assert tick(m, 5, 24000.24 * 0.25 / 10.0) == 24000


def test_a_level_that_was_away_for_a_snap_starts_anew() -> None:
    m = memory()
    tick(m, 1, 600.0)
    assert tick(m, 3, 24000.6 * 0.25 / 10.0) == 24001


def direction(m: Any, snap: int, spot: float) -> int:
    return int(m.level_direction[see(m, snap, ROUND, 600, 600.0, spot)])


def test_direction_flips_beyond_the_touch_band_and_not_on_its_edge() -> None:
    m = memory()
    assert direction(m, 1, 600.0001) == SUPPORT
    assert direction(m, 2, 599.95) == SUPPORT
    assert direction(m, 3, 599.9499) == RESISTANCE
    assert direction(m, 4, 600.05) == RESISTANCE
    assert direction(m, 5, 600.0501) == SUPPORT


def test_a_level_at_spot_is_a_resistance_at_first() -> None:
    assert direction(memory(), 1, 600.0) == RESISTANCE
