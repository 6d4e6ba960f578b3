"""The unit of the study: one episode, with what was known when the price first touched the level.

Enters: rows of ``levels.outcomes.v1``, ``levels.signals.v1`` and ``levels.features.v1`` of one session, as Arrow tables
with at least the columns named here. Leaves: one :data:`EPISODE` record per outcome. Two moments count, both decidable
at the time: the touch (the level's last snap at or before it) and the episode's first BREAK or REJECT.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common import schemas, topics
from common.config import NS_PER_S
from processors.study.statistics import Flags, Floats, Integers

HORIZONS_S = (120, 240, 480)
PRIMARY = 2
"""The horizon that the study's one named comparison uses: the longest, which leaves the fewest episodes as CHOP."""

OUTCOMES = schemas.load(topics.OUTCOMES).field("outcome_120s").symbols
BREAK, REJECT, CHOP, CENSORED = (OUTCOMES.index(name) for name in ("BREAK", "REJECT", "CHOP", "CENSORED"))

SIGNALS = ("NONE", "BREAK", "REJECT")
NONE, SAID_BREAK, SAID_REJECT = range(3)
"""The episode's first signal that takes a side."""

VOLATILITY_WINDOW_S = 300
"""The mid's realised volatility is taken over this long before the touch."""

OUTCOME_COLUMNS = (
    "episode_id",
    "level_id",
    "level_price",
    "direction",
    "ts_touch_ns",
    *(f"outcome_{horizon_s}s" for horizon_s in HORIZONS_S),
)
SIGNAL_COLUMNS = (
    "ts_event_ns",
    "level_id",
    "distance",
    "tape_velocity",
    "break_score_raw",
    "signal",
    "episode_id",
    "actionable",
)
FEATURE_COLUMNS = ("ts_event_ns", "level_id", "snap_row", "bid", "ask", "ratio", "ofi")

EPISODE = np.dtype(
    [
        ("session_date", np.int64),  # yyyymmdd
        ("level_id", "U48"),
        ("level_price", np.float64),  # USD
        ("towards", np.int8),  # 1 when a break goes up (RESISTANCE), -1 when down
        ("touch_ns", np.int64),
        ("outcome", np.int8, (len(HORIZONS_S),)),  # index into OUTCOMES
        ("found", np.bool_),  # a signal row at or before the touch exists
        ("actionable", np.bool_),  # that row's flag
        ("score", np.float64),  # break_score_raw at the touch, 0..100
        ("velocity", np.float64),  # tape_velocity towards the break, USD per second
        ("ofi", np.float64),  # OFI within W_b towards the break, contracts
        ("distance", np.float64),  # USD
        ("volatility", np.float64),  # USD per square root of a second
        ("signal", np.int8),  # index into SIGNALS
        ("signal_ns", np.int64),  # 0 when none
    ]
)


class Path(NamedTuple):
    """The market at every snap of a session, in time order. Prices in USD of the underlying, NaN for an empty side."""

    ts_ns: Integers
    bid: Floats
    ask: Floats
    ratio: Floats  # ES points per USD
    ofi: Floats  # contracts within W_b

    @property
    def mid(self) -> Floats:
        """USD of the underlying."""
        return (self.bid + self.ask) / 2


def market_path(features: pa.Table) -> Path:
    """One row per snap: the first of each."""
    rows = features.filter(pc.equal(features["snap_row"], 0)).sort_by("ts_event_ns")
    ofi = rows["ofi"].to_numpy().astype(np.float64)
    bid, ask, ratio = (_floats(rows[name]) for name in ("bid", "ask", "ratio"))
    return Path(rows["ts_event_ns"].to_numpy(), bid, ask, ratio, ofi)


def volatility(path: Path, at_ns: Integers, window_s: int = VOLATILITY_WINDOW_S) -> Floats:
    """Realised volatility of the mid within ``window_s`` up to each time: sqrt(sum of squared changes / window).

    Andersen and Bollerslev 1998, on snaps. NaN before the first snap.
    """
    changes = np.nan_to_num(np.diff(path.mid, prepend=path.mid[:1]))
    total = np.concatenate([[0.0], np.cumsum(changes**2)])
    end = np.searchsorted(path.ts_ns, at_ns, side="right")
    begin = np.searchsorted(path.ts_ns, at_ns - window_s * NS_PER_S, side="right")
    return np.where(end > 0, np.sqrt(np.maximum(total[end] - total[begin], 0.0) / window_s), np.nan)


def join(session_date: int, outcomes: pa.Table, signals: pa.Table, features: pa.Table, path: Path) -> NDArray[np.void]:
    """The session's episodes, EPISODE[n], in the order of (touch, level); an outcome that came twice counts once."""
    _, once = np.unique(np.array(outcomes["episode_id"].to_pylist(), np.str_), return_index=True)
    outcomes = outcomes.take(pa.array(once))
    outcomes = outcomes.sort_by([("ts_touch_ns", "ascending"), ("level_id", "ascending")])
    out = np.zeros(outcomes.num_rows, EPISODE)
    if not len(out):
        return out
    out["session_date"] = session_date
    out["level_id"] = outcomes["level_id"].to_pylist()
    out["level_price"] = outcomes["level_price"].to_numpy()
    up = pc.equal(outcomes["direction"], "RESISTANCE").to_numpy()
    out["towards"] = np.where(up, 1, -1)
    out["touch_ns"] = outcomes["ts_touch_ns"].to_numpy()
    for n, horizon_s in enumerate(HORIZONS_S):
        symbols = pc.index_in(outcomes[f"outcome_{horizon_s}s"], value_set=pa.array(OUTCOMES))
        out["outcome"][:, n] = symbols.to_numpy()

    row = _last_at(signals, out)
    known = row >= 0
    out["found"] = known
    out["actionable"] = known & _at(_flags(signals["actionable"]), row, missing=0.0).astype(bool)
    out["score"] = _at(_floats(signals["break_score_raw"]), row)
    out["velocity"] = _at(_floats(signals["tape_velocity"]), row) * out["towards"]
    out["distance"] = _at(_floats(signals["distance"]), row)
    out["ofi"] = _at(_floats(features["ofi"]), _last_at(features, out)) * out["towards"]
    out["volatility"] = volatility(path, out["touch_ns"])
    out["signal"], out["signal_ns"] = _first_signals(outcomes["episode_id"], signals)
    return out


def usable(episodes: NDArray[np.void], horizon: int) -> Flags:
    """Episodes that count at a horizon: everything measured, actionable at the touch, and not censored."""
    measured = np.isfinite(episodes["score"]) & np.isfinite(episodes["velocity"]) & np.isfinite(episodes["ofi"])
    return np.asarray(measured & episodes["actionable"] & (episodes["outcome"][:, horizon] != CENSORED))


def broke(episodes: NDArray[np.void], horizon: int) -> Flags:
    """True where the level broke within the horizon; REJECT and CHOP both count as not broken."""
    return np.asarray(episodes["outcome"][:, horizon] == BREAK)


def _last_at(rows: pa.Table, episodes: NDArray[np.void]) -> Integers:
    """Per episode the index of its level's last row at or before the touch; -1 when there is none."""
    names, levels = np.unique(episodes["level_id"], return_inverse=True)
    code = _numbers(pc.index_in(rows["level_id"], value_set=pa.array(names.tolist(), pa.string())), -1)
    ts_ns = rows["ts_event_ns"].to_numpy()
    order = np.lexsort((ts_ns, code))
    code, ts_ns = code[order], ts_ns[order]
    found = np.full(len(episodes), -1, np.int64)
    for level in range(len(names)):
        begin, end = np.searchsorted(code, level, "left"), np.searchsorted(code, level, "right")
        own = np.flatnonzero(levels == level)
        place = begin + np.searchsorted(ts_ns[begin:end], episodes["touch_ns"][own], side="right") - 1
        found[own[place >= begin]] = order[place[place >= begin]]
    return found


def _first_signals(episode_ids: pa.ChunkedArray, signals: pa.Table) -> tuple[Integers, Integers]:
    """Per episode its first BREAK or REJECT and its time; NONE and 0 when it had neither."""
    said = _numbers(pc.index_in(signals["signal"], value_set=pa.array(SIGNALS)), NONE)
    episode = _numbers(pc.index_in(signals["episode_id"], value_set=episode_ids.combine_chunks()), -1)
    rows = np.flatnonzero((said > NONE) & (episode >= 0))
    ts_ns = signals["ts_event_ns"].to_numpy()[rows]
    rows = rows[np.argsort(ts_ns, kind="stable")]
    which, first = np.unique(episode[rows], return_index=True)
    signal, signal_ns = np.zeros(len(episode_ids), np.int64), np.zeros(len(episode_ids), np.int64)
    signal[which] = said[rows[first]]
    signal_ns[which] = signals["ts_event_ns"].to_numpy()[rows[first]]
    return signal, signal_ns


def _numbers(column: pa.ChunkedArray | pa.Array, missing: int) -> Integers:
    return np.asarray(pc.fill_null(column, missing)).astype(np.int64)


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan))


def _flags(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.int8())).astype(np.float64)


def _at(values: Floats, index: Integers, missing: float = np.nan) -> Floats:
    """``values`` at ``index``, ``missing`` where it is -1."""
    if not len(values):
        return np.full(len(index), missing)
    return np.where(index >= 0, values[index], missing)
