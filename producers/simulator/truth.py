"""What was staged, and what came of it: the made-up session's truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from producers.simulator.ratio import START_NS, TICKS_PER_POINT, ratio_at
from producers.simulator.script import Staged

TOUCH_USD = 0.05
MOVE_USD = 0.20
"""SPY so far from a level that was touched has broken it or been rejected (DESIGN 4.9)."""


class Truth:
    """Collects the path of price and the episodes, and says of each what its outcome was."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._path: list[NDArray[np.int64]] = []
        self._episodes: list[dict[str, Any]] = []

    def follow(self, path: NDArray[np.int64]) -> None:
        """Where price went: times, best bid plus best ask."""
        self._path.append(path.copy())

    def note(self, staged: Staged, now_ns: int) -> None:
        """An episode is over. One that the session's end cut off before price left is not noted."""
        path = np.concatenate(self._path)
        self._path = [path[-1:]]
        if staged.leave_ns >= now_ns:
            return
        outcome, outcome_ns = _outcome(staged, path)
        episode = staged.episode
        self._episodes.append(
            {
                "kind": episode.kind,
                "level": episode.level,
                "direction": episode.side,
                "fuel": episode.fuel,
                "signal": staged.signal,
                "led_to": staged.outcome,
                "outcome": outcome,
                "outcome_ns": outcome_ns,
                "begin_ns": staged.begin_ns,
                "fight_ns": staged.fight_ns,
                "leave_ns": staged.leave_ns,
                "end_ns": staged.end_ns,
            }
        )

    def content(self, end_ns: int, causes: str) -> bytes:
        """The truth as JSON. ``causes``: name of the table of causes beside it."""
        content = {
            "seed": self._seed,
            "begin_ns": START_NS,
            "end_ns": end_ns,
            "causes": causes,
            "episodes": self._episodes,
        }
        return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"


def _outcome(staged: Staged, path: NDArray[np.int64]) -> tuple[str, int | None]:
    """First passage of MOVE_USD by the fair price after it touched the level in the fight; CHOP when there was none."""
    onwards = -1 if staged.episode.side == "SUPPORT" else 1
    touched = False
    for ts_ns, mid2 in path[np.searchsorted(path[:, 0], staged.fight_ns) :].tolist():
        away = mid2 / (2 * TICKS_PER_POINT) / ratio_at(ts_ns) - staged.episode.level
        touched = touched or abs(away) <= TOUCH_USD
        if touched and abs(away) >= MOVE_USD:
            return ("BREAK" if away * onwards > 0 else "REJECT"), ts_ns
    return "CHOP", None
