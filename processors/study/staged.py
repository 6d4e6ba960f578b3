"""What the engine said of fights that were staged, against the truth of the made-up session.

A truth file is the JSON that the simulator writes beside its session: ``episodes``, each with ``kind``, ``level``
(USD), ``direction``, ``signal`` (what the fight was staged to show), ``outcome`` (where price went), and the times
``begin_ns`` (the episode before is over), ``fight_ns``, ``leave_ns`` and ``end_ns``; and ``causes``, the name of the
table of causes beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common import schemas, topics
from common.config import NS_PER_S
from common.errors import InputError
from processors.study.statistics import Integers, wilson

SETTLE_NS = 2 * NS_PER_S
"""A signal that comes this long after price was let go still counts for the fight."""

NEUTRAL = "NEUTRAL"
TAKES_SIDE = ("BREAK", "REJECT")
FIELDS = ("kind", "level", "direction", "signal", "outcome", "begin_ns", "fight_ns", "leave_ns", "end_ns")

_SYMBOLS = schemas.load(topics.SIGNALS).field("signal").symbols


class Truth(NamedTuple):
    """A truth file. ``causes``: the table of causes, None when the file names none."""

    begin_ns: int
    episodes: list[dict[str, Any]]
    causes: Path | None


class Rate(NamedTuple):
    """``found`` of ``of``, with Wilson's 95 % interval of the share (fights taken for independent); NaN of none."""

    found: int
    of: int
    low: float
    high: float


class Hits(NamedTuple):
    """One kind of staged episode that was staged to show one signal.

    ``said``: fights in which that signal came (NEUTRAL: none that takes a side). Two rates to hold it against:
    ``before``, the same signal at the same level in as long a stretch that ends where the fight begins, and
    ``elsewhere``, the same signal in the fights that were staged for another one. ``opposite``: fights with a signal
    that takes the other side. ``labelled``: episodes whose outcome label says where price went. ``lead_s``: median time
    from the first right signal to when price was let go, NaN without one.
    """

    kind: str
    signal: str
    staged: int
    said: Rate
    before: Rate
    elsewhere: Rate
    opposite: int
    labelled: Rate
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
    """Per kind and signal, in alphabetical order, what the engine made of the staged episodes.

    ``signals``: ts_event_ns, level_id, signal. ``outcomes``: level_id, direction, ts_touch_ns, outcome_120s.
    """
    fights = list(episodes)
    said = _Said(signals, sorted({_level_id(fight) for fight in fights}))
    during = [said.between(fight, fight["fight_ns"], _until_ns(fight)) for fight in fights]
    before = [said.between(fight, _before_ns(fight), fight["fight_ns"]) for fight in fights]
    labels = outcomes.to_pylist()
    out = []
    for kind, signal in sorted({(fight["kind"], fight["signal"]) for fight in fights}):
        own = [n for n, fight in enumerate(fights) if (fight["kind"], fight["signal"]) == (kind, signal)]
        others = [n for n, fight in enumerate(fights) if fight["signal"] != signal]
        leads = [
            (fights[n]["leave_ns"] - int(during[n].first_ns[signal])) / NS_PER_S
            for n in own
            if signal in during[n].first_ns and signal != NEUTRAL
        ]
        out.append(
            Hits(
                kind,
                signal,
                len(own),
                _rate([during[n].shows(signal) for n in own]),
                _rate([before[n].shows(signal) for n in own]),
                _rate([during[n].shows(signal) for n in others]),
                sum(bool(during[n].sides - _allowed(fights[n])) for n in own),
                _rate([_labelled(fights[n], labels) for n in own]),
                float(np.median(leads)) if leads else float("nan"),
            )
        )
    return out


class _Stretch(NamedTuple):
    """When each signal was first said of a level in a stretch of time."""

    first_ns: dict[str, int]

    @property
    def sides(self) -> set[str]:
        """The signals that take a side."""
        return {name for name in TAKES_SIDE if name in self.first_ns}

    def shows(self, signal: str) -> bool:
        """Whether it shows the signal; NEUTRAL: that the level was judged and nothing took a side."""
        if signal == NEUTRAL:
            return bool(self.first_ns) and not self.sides
        return signal in self.first_ns


class _Said:
    """The signals of some levels in the order of time."""

    def __init__(self, signals: pa.Table, levels: Sequence[str]) -> None:
        code = _codes(signals["level_id"], levels)
        ts_ns = signals["ts_event_ns"].to_numpy()
        order = np.lexsort((ts_ns, code))
        order = order[np.searchsorted(code[order], 0) :]
        self._ts_ns, self._signal = ts_ns[order], _codes(signals["signal"], _SYMBOLS)[order]
        bounds = np.searchsorted(code[order], np.arange(len(levels) + 1))
        self._rows = {level: slice(bounds[n], bounds[n + 1]) for n, level in enumerate(levels)}

    def between(self, fight: Mapping[str, Any], begin_ns: int, end_ns: int) -> _Stretch:
        """What was said of the fight's level, begin <= time < end."""
        own = self._rows[_level_id(fight)]
        ts_ns, signal = self._ts_ns[own], self._signal[own]
        begin, end = np.searchsorted(ts_ns, (begin_ns, end_ns))
        which, first = np.unique(signal[begin:end], return_index=True)
        return _Stretch({_SYMBOLS[n]: int(ts_ns[begin + at]) for n, at in zip(which, first, strict=True)})


def _codes(column: pa.ChunkedArray, symbols: Sequence[str]) -> Integers:
    """Each value's place among ``symbols``; -1 for another."""
    places = pc.index_in(column, value_set=pa.array(symbols, pa.string()))
    found: NDArray[np.int64] = np.asarray(pc.fill_null(places, -1)).astype(np.int64)
    return found


def _until_ns(fight: Mapping[str, Any]) -> int:
    return int(fight["leave_ns"]) + SETTLE_NS


def _before_ns(fight: Mapping[str, Any]) -> int:
    """Where as long a stretch as the fight's begins, if it ends where the fight begins; not in the episode before."""
    return max(int(fight["begin_ns"]), 2 * int(fight["fight_ns"]) - _until_ns(fight))


def _allowed(fight: Mapping[str, Any]) -> set[str]:
    """The signals that do not contradict the fight: a contested level may still be called broken when it breaks."""
    return set() if fight["signal"] == NEUTRAL else {fight["signal"], fight["outcome"]}


def _rate(found: Sequence[bool]) -> Rate:
    if not found:
        return Rate(0, 0, float("nan"), float("nan"))
    low, high = wilson(np.array([float(sum(found))]), np.array([float(len(found))]))
    return Rate(sum(found), len(found), float(low[0]), float(high[0]))


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
