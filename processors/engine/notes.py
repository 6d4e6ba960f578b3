"""The reasons behind a signal in a few words of a fixed vocabulary: a number per row, its text looked up by column.

A note reads "Vacuum + dealers chase; sweep confirms; third touch; obstacle ahead" (plan §6.4): barrier and fuel, then
what confirms or opposes, then where the level stands in its story and what lies ahead.
"""

from __future__ import annotations

from itertools import product

from common.columns import strings
from common.jit import kernel

BARRIER_WORDS = (
    "barrier neutral",
    "vacuum",
    "wall",
    "absorption",
    "barrier consumed",
    "barrier weak",
    "zone not visible",
)
"""By barrier state; the last one stands for a zone that is not visible."""

FUEL_WORDS = ("dealers neutral", "dealers chase", "dealers dampen")
"""By fuel effect."""
FUEL_COUNT = 2 * len(FUEL_WORDS) + 1
"""Each effect from gamma as quoted, then from implied gamma, then no option flow at all."""

SWEEP_CONFIRMS, SWEEP_OPPOSES, TAPE_CONFIRMS, TAPE_OPPOSES, TAPE_MIXED = range(5)
TAPE_WORDS = ("sweep confirms", "sweep opposes", "tape confirms", "tape opposes", "tape mixed")

TOUCH_WORDS = ("", "first touch", "second touch", "third touch", "fourth touch", "fifth touch or later")
"""Outside an episode, then by earlier touches; the last one stands for all further ones."""

AHEAD_WORDS = ("", "obstacle ahead")

HALTED = 0
"""The note of every row outside continuous trading; the others follow it."""

_EFFECTS = len(FUEL_WORDS)
_NOT_VISIBLE = len(BARRIER_WORDS) - 1
_NO_FUEL = FUEL_COUNT - 1
_TAPE_COUNT = len(TAPE_WORDS)
_TOUCH_COUNT = len(TOUCH_WORDS)
_AHEAD_COUNT = len(AHEAD_WORDS)


def _sentence(barrier: str, fuel: int, tape: str, touch: str, ahead: str) -> str:
    parts = [barrier, tape, "no option flow"]
    if fuel != _NO_FUEL:
        source = " (implied gamma)" if fuel >= _EFFECTS else ""
        parts = [f"{barrier} + {FUEL_WORDS[fuel % _EFFECTS]}{source}", tape]
    text = "; ".join(part for part in (*parts, touch, ahead) if part)
    return text[0].upper() + text[1:]


VOCABULARY = strings(
    [
        "Halted; state frozen",
        *(_sentence(*w) for w in product(BARRIER_WORDS, range(FUEL_COUNT), TAPE_WORDS, TOUCH_WORDS, AHEAD_WORDS)),
    ]
)
"""Every note there is, by its number."""


@kernel
def fuel_of(effect: int, available: bool, implied: bool) -> int:
    """The fuel's part of a note."""
    if not available:
        return _NO_FUEL
    return effect + _EFFECTS if implied else effect


@kernel
def note_of(barrier_state: int, visible: bool, fuel: int, tape: int, touches: int, obstacle: bool) -> int:
    """The number of a note.

    From the barrier's state, :func:`fuel_of`, one of the tape constants above, the level's earlier touches (below 0
    outside episodes) and whether a strong level stands near.
    """
    barrier = barrier_state if visible else _NOT_VISIBLE
    touch = min(touches + 1, _TOUCH_COUNT - 1) if touches >= 0 else 0
    return 1 + (((barrier * FUEL_COUNT + fuel) * _TAPE_COUNT + tape) * _TOUCH_COUNT + touch) * _AHEAD_COUNT + obstacle
