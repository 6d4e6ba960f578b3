"""A level's state is a few bytes that can be stored on their own."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from common.columns import strings
from common.errors import InvariantError
from processors.engine.levelstate import LEVEL, LevelState, SignalState

STATE = LevelState(
    seen_ns=1_703_500_000_250_000_000,
    session_date=20231225,
    direction=1,
    episode=4,
    signal=2,
    break_held_ns=-1,
    reject_held_ns=3_000_000_000,
    seeded=1,
    gamma_seeded=1,
    score=17.5,
    delta_liq=-0.1,
    added=1e-300,
    removed=5e-324,
    velocity=-0.0,
    dealer_gamma=1 / 3,
)
ROBUST = replace(
    STATE, samples=2, gamma_samples=1, rings=(17.5, 1 / 7, -0.1, 3.0, 5.0, 0.0, 1.0, 2.0, 5e-324, -0.0, 9.5)
)
"""Two samples each of score, delta_liq, added, removed and velocity, one of gamma."""
FULL = replace(STATE, samples=15, gamma_samples=15, rings=tuple(float(n) for n in range(90)))


@pytest.mark.parametrize("state", [STATE, ROBUST, FULL, LevelState()])
def test_a_state_survives_its_bytes_exactly(state: LevelState) -> None:
    data = state.to_bytes()
    again = LevelState.from_bytes(data)
    assert again == state and again.to_bytes() == data
    assert str(again) == str(state)  # tells 0.0 from -0.0


def test_the_bytes_are_small_and_versioned_and_grow_by_the_samples_alone() -> None:
    assert len(STATE.to_bytes()) == 123
    assert STATE.to_bytes()[0] == 2
    assert len(ROBUST.to_bytes()) == 123 + 11 * 8
    assert len(FULL.to_bytes()) == 123 + 90 * 8


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\x01" + STATE.to_bytes()[1:],
        STATE.to_bytes() + b"\0",
        STATE.to_bytes() + bytes(8),
        ROBUST.to_bytes()[:-8],
        ROBUST.to_bytes()[:-1],
        replace(STATE, samples=16, rings=tuple([0.0] * 80)).to_bytes(),
    ],
)
def test_bytes_of_another_version_or_size_are_refused(data: bytes) -> None:
    with pytest.raises(InvariantError, match=r"version .* bytes, not 2 and what its samples need"):
        LevelState.from_bytes(data)


def test_the_numbers_of_a_state_are_the_kernels() -> None:
    assert [field.name for field in fields(LevelState)] == [*(LEVEL.names or ()), "rings"]


def test_an_unknown_level_is_unseeded() -> None:
    assert SignalState().get("ROUND_472") == LevelState()


def test_a_state_that_was_put_is_what_the_kernel_sees() -> None:
    state = SignalState()
    state.put("OTHER", FULL)
    state.put("ROUND_472", ROBUST)
    assert state.get("ROUND_472") == ROBUST and state.get("OTHER") == FULL
    (slot,) = state.slots(strings(["ROUND_472"]))
    assert replace(LevelState(*state.levels[slot].item()), rings=ROBUST.rings) == ROBUST
    assert state.rings[slot, :, :2].tolist()[:5] == [[17.5, 1 / 7], [-0.1, 3.0], [5.0, 0.0], [1.0, 2.0], [5e-324, -0.0]]
    assert state.rings[slot, 5, 0] == 9.5
    state.put("OTHER", STATE)
    assert state.get("OTHER") == STATE


def test_samples_move_along_when_levels_need_more_room() -> None:
    state = SignalState()
    state.put("FIRST", ROBUST)
    state.slots(strings([f"LEVEL_{n}" for n in range(300)]))
    assert state.get("FIRST") == ROBUST and state.get("LEVEL_299") == LevelState()
    assert len(state.rings) == len(state.levels)


def test_levels_keep_their_slots_however_many_come() -> None:
    state = SignalState()
    names = [f"LEVEL_{n}" for n in range(1000)]
    first = state.slots(strings(names)).tolist()
    assert first == list(range(1000))
    assert state.level_ids == tuple(names)
    mixed = [names[n] for n in (999, 0, 512, 0)] + ["NEW", "", "NEW"]
    assert state.slots(strings(mixed)).tolist() == [999, 0, 512, 0, 1000, 1001, 1000]
    assert state.get("LEVEL_1") == LevelState()


def test_names_that_begin_alike_are_different_levels() -> None:
    state = SignalState()
    assert state.slots(strings(["ROUND_47", "ROUND_470", "ROUND_4"])).tolist() == [0, 1, 2]


def test_names_beyond_ascii_are_kept_as_utf8() -> None:
    state = SignalState()
    state.slots(strings(["Zürich", "Zurich"]))
    assert state.level_ids == ("Zürich", "Zurich")


def test_new_levels_hold_nothing() -> None:
    state = SignalState()
    state.slots(strings([str(n) for n in range(200)]))
    assert np.all(state.levels["break_held_ns"] == -1) and np.all(state.levels["seeded"] == 0)
