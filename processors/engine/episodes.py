"""Episodes at a level, and what came of them (DESIGN 4.9).

The first touch opens an episode: direction and price of the level stay as they are until spot is OUTCOME_MOVE away, has
left MONITOR_BAND, or the session ends. What came of it is the first passage of OUTCOME_MOVE by spot; it is looked for
at snaps after the touch, for 480 s, and written when it is known, never before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.config import NS_PER_S
from common.jit import kernel
from processors.engine.shapes import PENDING, Parameters, Scalars

_RESULTS = schemas.load(topics.OUTCOMES).field("outcome_120s").symbols
BREAK = _RESULTS.index("BREAK")
REJECT = _RESULTS.index("REJECT")
CHOP = _RESULTS.index("CHOP")
CENSORED = _RESULTS.index("CENSORED")

HORIZONS_NS = np.array([120, 240, 480], np.int64) * NS_PER_S
"""The horizons that the fields of levels.outcomes.v1 are named after."""

_SUPPORT = 0
_E4 = 10_000.0


@kernel
def within(distance: float, band: float) -> bool:
    """True when ``distance`` is at most ``band``, both in USD, compared in 0.0001 USD."""
    return round(distance * _E4) <= round(band * _E4)


@kernel
def _moved(distance: float, p: Parameters) -> bool:
    return bool(round(distance * _E4) >= round(p.outcome_move * _E4))


@kernel
def goes_on(s: Scalars, p: Parameters, slot: int, spot: float, snap_ns: int) -> bool:
    """True when an episode runs in ``slot`` and this snap does not end it: then tick, direction and price stay."""
    if s.episode_open_ns[slot] == 0:
        return False
    distance = abs(spot - s.episode_price[slot])
    absent = s.level_seen_ns[slot] != snap_ns - p.snap_ns
    if absent or _moved(distance, p) or distance > p.monitor_band:
        s.episode_open_ns[slot] = 0
        return False
    s.level_seen_ns[slot] = snap_ns
    return True


@kernel
def touch_level(
    s: Scalars, outcomes: NDArray[np.void], slot: int, price: float, spot: float, touch: float, snap_ns: int
) -> None:
    """Open an episode of the level in ``slot`` when spot is within ``touch`` USD of its price and trading goes on."""
    if within(abs(spot - price), touch) and s.trading == 1:
        _open_episode(s, outcomes, slot, price, spot, snap_ns)


@kernel
def _open_episode(s: Scalars, outcomes: NDArray[np.void], slot: int, price: float, spot: float, snap_ns: int) -> None:
    if s.outcome_count == PENDING:
        return
    s.episode_open_ns[slot] = snap_ns
    s.episode_count[slot] += 1
    s.episode_price[slot] = price
    awaited = outcomes[s.outcome_count]
    s.outcome_count += 1
    awaited.session_date = s.session_date
    awaited.kind = s.level_kind[slot]
    awaited.key = s.level_key[slot]
    awaited.number = s.episode_count[slot]
    awaited.touches = s.episode_count[slot] - s.episode_base[slot] - 1
    awaited.direction = s.level_direction[slot]
    awaited.price = price
    awaited.spot = spot
    awaited.touch_ns = snap_ns
    awaited.passage_ns = 0


@kernel
def _write(awaited: Any, row: Any, snap_ns: int) -> None:
    row.ts_event_ns = snap_ns
    row.session_date = awaited.session_date
    row.kind = awaited.kind
    row.key = awaited.key
    row.number = awaited.number
    row.touches = awaited.touches
    row.direction = awaited.direction
    row.price = awaited.price
    row.spot = awaited.spot
    row.touch_ns = awaited.touch_ns
    row.passage_ns = awaited.passage_ns


@kernel
def _keep(outcomes: NDArray[np.void], source: int, place: int) -> None:
    if source == place:
        return
    _write(outcomes[source], outcomes[place], 0)


@kernel
def settle_outcomes(
    s: Scalars, outcomes: NDArray[np.void], p: Parameters, spot: float, snap_ns: int, rows: NDArray[np.void], at: int
) -> int:
    """Write the outcomes that this snap's spot makes known into ``rows`` (OUTCOME) from ``at`` on; returns the next
    free place. The caller keeps room for PENDING of them.
    """
    left = 0
    for n in range(s.outcome_count):
        awaited = outcomes[n]
        after_ns = snap_ns - awaited.touch_ns
        passed = after_ns > 0 and after_ns <= HORIZONS_NS[2] and _moved(abs(spot - awaited.price), p)
        if not passed and after_ns < HORIZONS_NS[2]:
            _keep(outcomes, n, left)
            left += 1
            continue
        if passed:
            awaited.passage_ns = snap_ns
        broke = (spot < awaited.price) == (awaited.direction == _SUPPORT)
        row = rows[at]
        at += 1
        _write(awaited, row, snap_ns)
        for k in range(3):
            row.result[k] = (BREAK if broke else REJECT) if passed and after_ns <= HORIZONS_NS[k] else CHOP
    s.outcome_count = left
    return at


@kernel
def censor_outcomes(s: Scalars, outcomes: NDArray[np.void], snap_ns: int, rows: NDArray[np.void], at: int) -> int:
    """Nothing more will be seen of spot (halt, close): write what is awaited, horizons that have passed as CHOP, the
    others CENSORED; close every episode. Returns the next free place.
    """
    for n in range(s.outcome_count):
        awaited = outcomes[n]
        row = rows[at]
        at += 1
        _write(awaited, row, snap_ns)
        for k in range(3):
            row.result[k] = CHOP if snap_ns - awaited.touch_ns >= HORIZONS_NS[k] else CENSORED
    s.outcome_count = 0
    s.episode_open_ns[:] = 0
    return at
