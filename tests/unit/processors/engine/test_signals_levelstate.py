"""A level's state is a few bytes that can be stored on their own."""

from __future__ import annotations

import numpy as np
import pytest

from common.columns import strings
from common.errors import InvariantError
from processors.engine.levelstate import LEVEL, LevelState, SignalState

STATE = LevelState(
    seen_ns=1_703_500_000_250_000_000,
    session_date=20231225,
    direction=1,
    signal=2,
    break_held_ns=-1,
    reject_held_ns=3_000_000_000,
    seeded=1,
    gamma_seeded=0,
    score=17.5,
    delta_liq=-0.1,
    added=1e-300,
    removed=5e-324,
    velocity=-0.0,
    dealer_gamma=1 / 3,
)


def test_a_state_survives_its_bytes_exactly() -> None:
    data = STATE.to_bytes()
    again = LevelState.from_bytes(data)
    assert again == STATE and again.to_bytes() == data
    assert str(again.velocity) == "-0.0"


def test_the_bytes_are_small_and_versioned() -> None:
    assert len(STATE.to_bytes()) == 1 + LEVEL.itemsize == 113
    assert STATE.to_bytes()[0] == 1


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02" + STATE.to_bytes()[1:], STATE.to_bytes() + b"\0"])
def test_bytes_of_another_version_or_size_are_refused(data: bytes) -> None:
    with pytest.raises(InvariantError, match=r"version .* bytes, not 1 and 113"):
        LevelState.from_bytes(data)


def test_an_unknown_level_is_unseeded() -> None:
    assert SignalState().get("ROUND_472") == LevelState()


def test_a_state_that_was_put_is_what_the_kernel_sees() -> None:
    state = SignalState()
    state.put("ROUND_472", STATE)
    assert state.get("ROUND_472") == STATE
    (slot,) = state.slots(strings(["ROUND_472"]))
    assert LevelState(*state.levels[slot].item()) == STATE


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
