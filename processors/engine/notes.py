"""The reasons behind a signal in a few words of a fixed vocabulary: a number per row, its text looked up by column."""

from __future__ import annotations

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

SWEEP_CONFIRMS, SWEEP_OPPOSES, TAPE_CONFIRMS, TAPE_OPPOSES, TAPE_MIXED = range(5)
TAPE_WORDS = ("sweep confirms", "sweep opposes", "tape confirms", "tape opposes", "tape mixed")

FUEL_WORDS = ("dealers neutral", "dealers chase", "dealers dampen", "no option flow")
"""By fuel effect; the last one when fuel is not available."""

HALTED = 0
"""The note of every row outside continuous trading; the others follow it."""

_NOT_VISIBLE = len(BARRIER_WORDS) - 1
_NO_FUEL = len(FUEL_WORDS) - 1
_TAPE_COUNT = len(TAPE_WORDS)
_FUEL_COUNT = len(FUEL_WORDS)


def _sentence(*words: str) -> str:
    text = "; ".join(words)
    return text[0].upper() + text[1:]


VOCABULARY = strings(
    [_sentence("halted", "state frozen")]
    + [_sentence(b, t, f) for b in BARRIER_WORDS for t in TAPE_WORDS for f in FUEL_WORDS]
)
"""Every note there is, by its number."""


@kernel
def note_of(barrier_state: int, visible: bool, tape: int, fuel_effect: int, fuel_available: bool) -> int:
    """The number of a note, from the barrier's state, one of the tape constants above and the fuel's effect."""
    barrier = barrier_state if visible else _NOT_VISIBLE
    fuel = fuel_effect if fuel_available else _NO_FUEL
    return 1 + (barrier * _TAPE_COUNT + tape) * _FUEL_COUNT + fuel
