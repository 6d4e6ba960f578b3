"""Sessions for tests of the study, drawn from a seed: how much the score knows is a parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.study import flow, trading
from processors.study.episodes import BREAK, CHOP, EPISODE, REJECT, Path
from processors.study.source import Session

NS = 1_000_000_000
SNAP_NS = 250_000_000
START_NS = 1_748_961_000 * NS


def day(number: int) -> int:
    """The trade date of the ``number``-th session, one a day from 2025-03-03 on."""
    return int((np.datetime64("2025-03-03") + number).item().strftime("%Y%m%d"))


def episodes(count: int, date: int, seed: int, knowledge: float = 0.0) -> NDArray[np.void]:
    """Episodes whose score rises by ``knowledge`` times 25 when the level breaks."""
    rng = np.random.default_rng(seed)
    out = np.zeros(count, EPISODE)
    resolved = rng.choice([BREAK, REJECT], count)
    out["session_date"] = date
    out["level_id"] = "ROUND_600"
    out["level_price"] = 600.0
    out["towards"] = rng.choice([-1, 1], count)
    out["touch_ns"] = START_NS + np.sort(rng.integers(0, 5_000, count)) * NS
    out["outcome"] = resolved[:, None]
    out["outcome"][:, 0] = np.where(rng.random(count) < 0.3, CHOP, resolved)
    out["outcome"][:, 1] = np.where(rng.random(count) < 0.1, CHOP, resolved)
    out["found"] = out["actionable"] = True
    out["score"] = np.clip(45 + 25 * knowledge * (resolved == BREAK) + 18 * rng.standard_normal(count), 0, 100)
    out["velocity"] = 0.01 * (resolved == BREAK) + 0.05 * rng.standard_normal(count)
    out["ofi"] = 20 * (resolved == BREAK) + 200 * rng.standard_normal(count)
    out["distance"] = rng.uniform(0, 0.05, count)
    out["volatility"] = np.exp(rng.normal(-4, 0.3, count))
    out["signal"] = np.where(out["score"] > 65, 1, np.where(out["score"] < 30, 2, 0))
    out["signal_ns"] = np.where(out["signal"] > 0, out["touch_ns"] + 3 * NS, 0)
    return out


def walk(seconds: int, seed: int) -> Path:
    """A random walk of the mid in half ticks with a spread of one tick, and OFI that moves with it."""
    rng = np.random.default_rng(seed)
    snaps = seconds * 4
    steps = rng.choice([-0.0125, 0.0, 0.0125], snaps)
    mid = 600 + np.cumsum(steps)
    window = 40
    flows = np.convolve(steps, np.ones(window), "full")[:snaps] / 0.0125 * 30 + 60 * rng.standard_normal(snaps)
    ts_ns = START_NS + np.arange(snaps, dtype=np.int64) * SNAP_NS
    return Path(ts_ns, mid - 0.0125, mid + 0.0125, np.full(snaps, 10.0), np.round(flows))


def session(number: int, *, count: int = 30, knowledge: float = 0.0, feed: str | None = "databento") -> Session:
    """One session with controls that know nothing."""
    date = day(number)
    own = episodes(count, date, 10 * number, knowledge)
    path = walk(6_000, 10 * number + 3)
    return Session(
        date,
        own,
        episodes(2 * count, date, 10 * number + 1),
        episodes(2 * count, date, 10 * number + 2),
        trading.trades(date, own, path, SNAP_NS),
        flow.samples(date, path, 40 * SNAP_NS, SNAP_NS),
        feed,
    )


class Sessions:
    """A source of made-up sessions that remembers, in ``log``, what was asked of it and when."""

    def __init__(self, sessions: Sequence[Session], log: list[str] | None = None) -> None:
        self._sessions = {session.date: session for session in sessions}
        self.log = [] if log is None else log

    def dates(self) -> list[int]:
        """All of them."""
        return sorted(self._sessions)

    def load(self, date: int) -> Session:
        """The session of the day."""
        self.log.append(f"load {date}")
        return self._sessions[date]
