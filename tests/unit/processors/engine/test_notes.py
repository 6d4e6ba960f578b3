"""Plan §6.4: a note gives the reasons in a few words, "Vacuum + dealers chase; sweep confirms".

Spec: plan 6.4.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from common.columns import string_list
from processors.engine import notes
from processors.engine.score import BarrierState, FuelEffect
from tests.support.signal_stage import BREAKING, HOLDING, judge, snaps

FUEL: dict[str, Any] = {"fuel_available": True, "validity_bits": 0}


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ({**BREAKING, **FUEL, "fuel_effect": "AMPLIFY"}, "Vacuum + dealers chase; sweep confirms"),
        (
            {**BREAKING, **FUEL, "fuel_effect": "AMPLIFY", "validity_bits": 512},
            "Vacuum + dealers chase (implied gamma); sweep confirms",
        ),
        (BREAKING, "Vacuum; sweep confirms; no option flow"),
        ({**BREAKING, "validity_bits": 640}, "Vacuum; sweep confirms; no option flow"),
        ({**BREAKING, "tape_sweep_direction": "UP"}, "Vacuum; sweep opposes; no option flow"),
        (
            {**FUEL, "tape_velocity": -0.1, "tape_imbalance": -0.1},
            "Barrier neutral + dealers neutral; tape confirms",
        ),
        (
            {**FUEL, "tape_velocity": 0.1, "tape_imbalance": 0.1, "fuel_effect": "DAMPEN"},
            "Barrier neutral + dealers dampen; tape opposes",
        ),
        (
            {**FUEL, "barrier_state": "CONSUMED", "fuel_effect": "AMPLIFY"},
            "Barrier consumed + dealers chase; tape mixed",
        ),
        ({**HOLDING, "episode": 3, "episode_touches": 2}, "Wall; tape mixed; no option flow; third touch"),
        (
            {**BREAKING, **FUEL, "episode": 1, "episode_touches": 0, "runway_down_obstacle_distance": 0.2},
            "Vacuum + dealers neutral; sweep confirms; first touch; obstacle ahead",
        ),
        ({**BREAKING, **FUEL, "runway_down_obstacle_distance": 0.2001}, "Vacuum + dealers neutral; sweep confirms"),
        ({**BREAKING, **FUEL, "runway_up_obstacle_distance": 0.1}, "Vacuum + dealers neutral; sweep confirms"),
        ({**BREAKING, "barrier_visible": False}, "Zone not visible; sweep confirms; no option flow"),
        ({**BREAKING, "episode": 1, "episode_touches": 0, "validity_bits": 160}, "Halted; state frozen"),
    ],
)
def test_the_note_names_the_reasons(row: dict[str, Any], note: str) -> None:
    assert judge(snaps(row))[0]["note"] == note


@pytest.mark.parametrize(
    ("touches", "words"),
    [
        (0, "first"),
        (1, "second"),
        (2, "third"),
        (3, "fourth"),
        (4, "fifth touch or later"),
        (99, "fifth touch or later"),
    ],
)
def test_touches_are_counted_in_words(touches: int, words: str) -> None:
    (row,) = judge(snaps({"episode": touches + 1, "episode_touches": touches}))
    assert row["note"] == f"Barrier neutral; tape mixed; no option flow; {words}" + (
        "" if "touch" in words else " touch"
    )


def test_an_obstacle_is_ahead_in_the_judged_direction() -> None:
    out = judge(snaps(*[{**HOLDING, "runway_up_obstacle_distance": 0.1}] * 13))
    assert [row["note"].endswith("; obstacle ahead") for row in out] == [False] * 12 + [True]


def test_every_note_has_its_own_number_and_text() -> None:
    vocabulary = string_list(notes.VOCABULARY)
    fuels = [
        notes.fuel_of(effect, available, implied)
        for effect, available, implied in product(range(len(FuelEffect)), (True, False), (True, False))
    ]
    assert sorted(set(fuels)) == list(range(notes.FUEL_COUNT))
    numbers = {
        notes.note_of(barrier, visible, fuel, tape, touches, obstacle)
        for barrier, visible, fuel, tape, touches, obstacle in product(
            range(len(BarrierState)),
            (True, False),
            set(fuels),
            range(len(notes.TAPE_WORDS)),
            range(-1, 8),
            (True, False),
        )
    }
    assert numbers == set(range(1, len(vocabulary)))
    assert len(set(vocabulary)) == len(vocabulary)
    assert all(text and text[0].isupper() and len(text) < 110 for text in vocabulary)
