"""The trader's view: enter at the far touch after the signal, mark at the near touch, pay the fees.

A BREAK is traded through the level, a REJECT away from it. What the signal's snap shows is not there any more when an
order arrives, so the entry is one snap later, and once more 250 ms after that: the difference is the price of being
slow. Prices are the ES book's in USD of the underlying. Nothing here is filled passively.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.config import NS_PER_MS, NS_PER_S
from common.prices import ES_MULTIPLIER
from processors.study.episodes import HORIZONS_S, NONE, SAID_BREAK, SAID_REJECT, SIGNALS, Path
from processors.study.statistics import Estimate, Floats, day_bootstrap, mean

DELAYS_MS = (0, 250)
"""Added to the one snap that every entry waits."""
FEE_USD = 2.25
"""Per ES contract and side: exchange, clearing and a retail broker's commission, rounded up."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

TRADE = np.dtype(
    [
        ("session_date", np.int64),
        ("signal", np.int8),  # index into episodes.SIGNALS
        ("delay_ms", np.int64),
        ("side", np.int8),  # 1 bought, -1 sold
        ("entry", np.float64),  # USD
        ("best", np.float64, (len(HORIZONS_S),)),  # MFE: greatest gain to the near touch, USD
        ("worst", np.float64, (len(HORIZONS_S),)),  # MAE: greatest loss, USD, at most 0
        ("gain", np.float64, (len(HORIZONS_S),)),  # at the horizon's end, after fees, USD; NaN when the session ended
    ]
)


class Expectancy(NamedTuple):
    """Trades of one signal, delay and horizon.

    ``gain`` is the mean per trade after fees, in USD of the underlying and per share of it; ``n`` the trades that reach
    the horizon; ``best`` and ``worst`` the QUANTILES of MFE and MAE.
    """

    signal: str
    delay_ms: int
    horizon_s: int
    n: int
    gain: Estimate
    win_share: float
    best: list[float]
    worst: list[float]


def trades(
    session_date: int, episodes: NDArray[np.void], path: Path, snap_ns: int, fee_usd: float = FEE_USD
) -> NDArray[np.void]:
    """One TRADE per episode with a signal and per delay; none where the far touch is empty at the entry.

    ``fee_usd`` is paid per contract and side; a contract is worth ES_MULTIPLIER times the ratio in shares.
    """
    said = episodes[episodes["signal"] != NONE]
    parts = [_after(session_date, said, path, snap_ns, delay_ms, fee_usd) for delay_ms in DELAYS_MS]
    return np.concatenate(parts)


def _after(
    session_date: int, said: NDArray[np.void], path: Path, snap_ns: int, delay_ms: int, fee_usd: float
) -> NDArray[np.void]:
    due_ns = said["signal_ns"] + snap_ns + delay_ms * NS_PER_MS
    at = np.searchsorted(path.ts_ns, due_ns)
    # a pause of the feed is no fill: the entry's snap must be there
    there = np.flatnonzero(np.append(path.ts_ns, -1)[np.minimum(at, len(path.ts_ns))] == due_ns)
    at, said = at[there], said[there]
    if not len(at):
        return np.zeros(0, TRADE)
    side = said["towards"] * np.where(said["signal"] == SAID_BREAK, 1, -1)
    entry = np.where(side > 0, path.ask[at], path.bid[at])
    out = np.zeros(len(said), TRADE)
    out["session_date"], out["signal"], out["delay_ms"] = session_date, said["signal"], delay_ms
    out["side"], out["entry"] = side, entry
    fees = 2 * fee_usd / (ES_MULTIPLIER * path.ratio[at])
    for n, horizon_s in enumerate(HORIZONS_S):
        end_ns = path.ts_ns[at] + horizon_s * NS_PER_S
        end = np.searchsorted(path.ts_ns, end_ns, side="right")
        whole = path.ts_ns[-1] >= end_ns
        for k in range(len(said)):
            exits = path.bid[at[k] : end[k]] if side[k] > 0 else path.ask[at[k] : end[k]]
            gains = side[k] * (exits - entry[k])
            gains = gains[np.isfinite(gains)]
            usable = whole[k] and len(gains) > 0
            out["best"][k, n] = max(gains.max(), 0.0) if usable else np.nan
            out["worst"][k, n] = min(gains.min(), 0.0) if usable else np.nan
            out["gain"][k, n] = gains[-1] - fees[k] if usable else np.nan
    return out.take(np.flatnonzero(np.isfinite(out["entry"])))


def expectancies(made: NDArray[np.void]) -> list[Expectancy]:
    """Every signal, delay and horizon, also those without a trade."""
    out = []
    for signal in (SAID_BREAK, SAID_REJECT):
        for delay_ms in DELAYS_MS:
            own = made[(made["signal"] == signal) & (made["delay_ms"] == delay_ms)]
            for n, horizon_s in enumerate(HORIZONS_S):
                held = own[np.isfinite(own["gain"][:, n])]
                gain = held["gain"][:, n]
                out.append(
                    Expectancy(
                        SIGNALS[signal],
                        delay_ms,
                        horizon_s,
                        len(held),
                        _mean(held["session_date"], gain),
                        mean((gain > 0).astype(np.float64)),
                        _quantiles(held["best"][:, n]),
                        _quantiles(held["worst"][:, n]),
                    )
                )
    return out


def _mean(days: NDArray[np.int64], values: Floats) -> Estimate:
    return day_bootstrap(days, lambda weight: mean(values, weight))


def _quantiles(values: Floats) -> list[float]:
    return [float(value) for value in np.quantile(values, QUANTILES)] if len(values) else []
