"""What the engine said of fights that were staged, against the truth of the made-up session.

A truth file is the JSON that the simulator writes beside its session: ``episodes``, each with ``kind``, ``level``
(USD), ``direction``, ``signal`` (what the fight was staged to show), ``outcome`` (where price went), and the times
``fight_ns``, ``leave_ns`` and ``end_ns``; and ``causes``, the name of the table of causes beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from common.config import NS_PER_S
from common.errors import InputError

SETTLE_NS = 2 * NS_PER_S
"""A signal that comes this long after price was let go still counts for the fight."""

NEUTRAL = "NEUTRAL"
TAKES_SIDE = ("BREAK", "REJECT")
FIELDS = ("kind", "level", "direction", "signal", "outcome", "fight_ns", "leave_ns", "end_ns")


class Truth(NamedTuple):
    """A truth file. ``causes``: the table of causes, None when the file names none."""

    begin_ns: int
    episodes: list[dict[str, Any]]
    causes: Path | None


class Hits(NamedTuple):
    """One kind of staged episode.

    ``said``: fights in which the signal came that they were staged for (for a pin: none that takes a side);
    ``opposite``: fights with a signal that takes the other side; ``labelled``: episodes whose outcome label says where
    price went. ``lead_s``: median time from the first right signal to when price was let go, NaN without one.
    """

    kind: str
    staged: int
    said: int
    opposite: int
    labelled: int
    lead_s: float


def read(path: Path) -> Truth:
    """The truth file. Raises InputError when it is none."""
    hint = "--truth takes the simulator's truth (.json) or a table of removals (.parquet)."
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}", hint=hint) from None
    if not isinstance(content, dict) or not {"begin_ns", "episodes"} <= content.keys():
        raise InputError(f"{path} holds no staged episodes", hint=hint)
    for episode in content["episodes"]:
        missing = [name for name in FIELDS if name not in episode]
        if missing:
            raise InputError(f"{path}: an episode has no {missing[0]}", hint=hint)
    causes = content.get("causes")
    return Truth(content["begin_ns"], content["episodes"], path.parent / causes if causes else None)


def hits(episodes: Iterable[Mapping[str, Any]], signals: pa.Table, outcomes: pa.Table) -> list[Hits]:
    """Per kind, in alphabetical order, what the engine made of the staged episodes.

    ``signals``: ts_event_ns, level_id, signal. ``outcomes``: level_id, direction, ts_touch_ns, outcome_120s.
    """
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for episode in episodes:
        kinds.setdefault(episode["kind"], []).append(episode)
    ts_ns = signals["ts_event_ns"].to_numpy()
    levels, said = (np.asarray(signals[name].to_pylist(), object) for name in ("level_id", "signal"))
    labels = outcomes.to_pylist()
    out = []
    for kind in sorted(kinds):
        judged = [_judged(episode, ts_ns, levels, said) for episode in kinds[kind]]
        leads = [lead_s for right, _, lead_s in judged if right and lead_s is not None]
        out.append(
            Hits(
                kind,
                len(judged),
                sum(right for right, _, _ in judged),
                sum(wrong for _, wrong, _ in judged),
                sum(_labelled(episode, labels) for episode in kinds[kind]),
                float(np.median(leads)) if leads else float("nan"),
            )
        )
    return out


def _judged(episode: Mapping[str, Any], ts_ns: Any, levels: Any, said: Any) -> tuple[bool, bool, float | None]:
    """Whether the right signal was said, whether one for the other side was, and how long before price was let go."""
    during = (ts_ns >= episode["fight_ns"]) & (ts_ns < episode["leave_ns"] + SETTLE_NS) & (levels == _level_id(episode))
    wanted = episode["signal"]
    sides = {name for name in TAKES_SIDE if name in said[during]}
    if wanted == NEUTRAL:
        return not sides and bool(during.any()), bool(sides), None
    right = ts_ns[during & (said == wanted)]
    lead_s = (episode["leave_ns"] - int(right.min())) / NS_PER_S if len(right) else None
    return bool(len(right)), bool(sides - {wanted, episode["outcome"]}), lead_s


def _labelled(episode: Mapping[str, Any], labels: Sequence[Mapping[str, Any]]) -> bool:
    own = [
        row["outcome_120s"]
        for row in labels
        if row["level_id"] == _level_id(episode)
        and row["direction"] == episode["direction"]
        and episode["fight_ns"] - SETTLE_NS <= row["ts_touch_ns"] < episode["end_ns"]
    ]
    return episode["outcome"] in own


def _level_id(episode: Mapping[str, Any]) -> str:
    return f"ROUND_{episode['level']:.0f}"
