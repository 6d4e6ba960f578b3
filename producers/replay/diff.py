"""Which signals two runs judge differently, level by level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from common import schemas, topics
from common.times import shown_time

COLUMNS = ("ts_event_ns", "level_id", "signal", "break_score_smooth", "config_hash")
"""What a comparison reads of levels.signals.v1."""

_SYMBOLS = schemas.load(topics.SIGNALS).field("signal").symbols


@dataclass(frozen=True, slots=True)
class LevelDiff:
    """One level in both runs. ``score_mean``, ``score_max``: of the absolute difference of break_score_smooth over the
    snaps in both; ``transitions``: how often (before, after) stand at the same snap and differ.
    """

    level_id: str
    both: int
    only_before: int
    only_after: int
    changed: int
    first_ns: int | None
    last_ns: int | None
    score_mean: float
    score_max: float
    transitions: Counter[tuple[str, str]]

    @property
    def differs(self) -> bool:
        """Whether anything at all differs."""
        return bool(self.changed or self.only_before or self.only_after or self.score_max)


@dataclass(frozen=True, slots=True)
class Diff:
    """All levels of both runs, sorted by id."""

    before: str
    after: str
    levels: tuple[LevelDiff, ...]

    @property
    def changed(self) -> int:
        """Rows whose signal differs."""
        return sum(level.changed for level in self.levels)

    @property
    def transitions(self) -> Counter[tuple[str, str]]:
        """Of all levels, the most frequent first."""
        total: Counter[tuple[str, str]] = Counter()
        for level in self.levels:
            total.update(level.transitions)
        return Counter(dict(sorted(total.items(), key=lambda item: (-item[1], item[0]))))

    def as_data(self) -> dict[str, Any]:
        """The comparison as JSON-ready data; only levels that differ."""
        return {
            "before": self.before,
            "after": self.after,
            "rows": sum(level.both for level in self.levels),
            "changed": self.changed,
            "only_before": sum(level.only_before for level in self.levels),
            "only_after": sum(level.only_after for level in self.levels),
            "transitions": _transitions(self.transitions),
            "levels": [
                {
                    "level_id": level.level_id,
                    "rows": level.both,
                    "changed": level.changed,
                    "only_before": level.only_before,
                    "only_after": level.only_after,
                    "first_ns": level.first_ns,
                    "last_ns": level.last_ns,
                    "score_mean": level.score_mean,
                    "score_max": level.score_max,
                    "transitions": _transitions(level.transitions),
                }
                for level in self.levels
                if level.differs
            ],
        }

    def show(self, console: Console) -> None:
        """Print it for a person."""
        differing = [level for level in self.levels if level.differs]
        if not differing:
            console.print(f"No signal and no score differs from {self.before}.")
            return
        # Dates only where there are several: the table should fit into 80 columns.
        moments = [level.first_ns for level in differing] + [level.last_ns for level in differing]
        days = {shown_time(ts_ns)[:10] for ts_ns in moments if ts_ns is not None}
        begin = 11 if len(days) == 1 else 0
        shown = Table(title=f"Against {self.before}", title_justify="left", box=None, header_style="bold")
        shown.add_column("level")
        for heading in ("snaps", "changed", "gone", "new"):
            shown.add_column(heading, justify="right")
        shown.add_column("first")
        shown.add_column("last")
        for heading in ("|Δ| mean", "max"):
            shown.add_column(heading, justify="right")
        for level in differing:
            counts = (level.both, level.changed, level.only_before, level.only_after)
            times = ("" if ns is None else shown_time(ns)[begin:19] for ns in (level.first_ns, level.last_ns))
            scores = (f"{level.score_mean:.2f}", f"{level.score_max:.2f}")
            shown.add_row(level.level_id, *(f"{count:,}" for count in counts), *times, *scores)
        console.print(shown)
        console.print(
            "[dim]changed: snaps with another signal, first and last of them (UTC); gone, new: snaps that only one run"
            " has; |Δ|: of the smoothed score[/dim]"
        )
        if self.transitions:
            moves = Table(title="Before \\ now", title_justify="left", show_edge=False, header_style="bold")
            moves.add_column("")
            for symbol in _SYMBOLS:
                moves.add_column(symbol, justify="right")
            for before in _SYMBOLS:
                moves.add_row(before, *(_count(self.transitions[before, after]) for after in _SYMBOLS))
            console.print(moves)


def _count(number: int) -> str:
    return f"{number:,}" if number else "·"


def _transitions(counts: Counter[tuple[str, str]]) -> dict[str, int]:
    return {f"{before}>{after}": count for (before, after), count in counts.items()}


def compare(before: pa.Table, after: pa.Table, names: tuple[str, str]) -> Diff:
    """The two runs' rows (with at least `COLUMNS`; each key (level_id, ts_event_ns) at most once per run)."""
    levels = sorted({*_levels(before), *_levels(after)})
    left, right = _by_level(before), _by_level(after)
    return Diff(*names, tuple(_level(name, left.get(name, _NONE), right.get(name, _NONE)) for name in levels))


_Rows = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]
_NONE: _Rows = (np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float64))


def _levels(rows: pa.Table) -> Iterable[str]:
    found: list[str] = pc.unique(rows["level_id"]).to_pylist()
    return found


def _by_level(rows: pa.Table) -> dict[str, _Rows]:
    """Per level the times, the signals' places in the schema and the scores, in the order of time."""
    if rows.num_rows == 0:
        return {}
    coded = rows["level_id"].combine_chunks().dictionary_encode()
    names, code = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    times = rows["ts_event_ns"].to_numpy()
    signal = pc.index_in(rows["signal"], value_set=pa.array(_SYMBOLS)).to_numpy().astype(np.int32)
    score = rows["break_score_smooth"].to_numpy()
    order = np.lexsort((times, code))
    starts = np.searchsorted(code[order], np.arange(len(names) + 1))
    out = {}
    for number, name in enumerate(names):
        mine = order[starts[number] : starts[number + 1]]
        out[name] = (times[mine], signal[mine], score[mine])
    return out


def _level(name: str, before: _Rows, after: _Rows) -> LevelDiff:
    times, left, right = np.intersect1d(before[0], after[0], assume_unique=True, return_indices=True)
    old, new = before[1][left], after[1][right]
    differs = old != new
    pairs = zip(old[differs].tolist(), new[differs].tolist(), strict=True)
    moved = np.abs(after[2][right] - before[2][left])
    changed = times[differs]
    return LevelDiff(
        level_id=name,
        both=len(times),
        only_before=len(before[0]) - len(times),
        only_after=len(after[0]) - len(times),
        changed=len(changed),
        first_ns=int(changed[0]) if len(changed) else None,
        last_ns=int(changed[-1]) if len(changed) else None,
        score_mean=float(moved.mean()) if len(moved) else 0.0,
        score_max=float(moved.max()) if len(moved) else 0.0,
        transitions=Counter((_SYMBOLS[a], _SYMBOLS[b]) for a, b in pairs),
    )
