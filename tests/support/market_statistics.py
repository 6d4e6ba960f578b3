"""What an order book's records say about its market, in numbers that two markets can be compared by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TICK_1E9 = 250_000_000
LAST_FLAG = 128
QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)


@dataclass(frozen=True, slots=True)
class Statistics:
    """``spread``: share of events after which it is one, two, three ticks or more. ``depth``: mean size of each of the
    ten levels over their mean, ``level_contracts``: that mean. ``order_contracts``: mean displayed contracts per order.
    ``pause_ns``: QUANTILES of the time between events; ``clustering``: its standard deviation over its mean.
    ``cancel_to_fill``: contracts cancelled per contract filled, all depths. ``trade_share``: trades per event.
    """

    spread: NDArray[np.float64]
    depth: NDArray[np.float64]
    level_contracts: float
    order_contracts: float
    pause_ns: NDArray[np.float64]
    clustering: float
    cancel_to_fill: float
    trade_share: float


def statistics(book: NDArray[np.void], filled: int, cancelled: int) -> Statistics:
    """Of an mbp-10 session's records, and the contracts that were filled and cancelled."""
    last = book[(book["flags"] & LAST_FLAG) > 0]
    ts_ns = last["ts_event"].astype(np.int64)
    weight = np.diff(ts_ns, append=ts_ns[-1]).astype(np.float64)
    ticks = (last["ask_px_00"] - last["bid_px_00"]) // TICK_1E9
    sizes, counts = (
        np.array(
            [[np.average(last[f"{side}_{what}_{k:02d}"], weights=weight) for k in range(10)] for side in ("bid", "ask")]
        )
        for what in ("sz", "ct")
    )
    depth = sizes.mean(axis=0)
    pauses = np.diff(np.unique(ts_ns)).astype(np.float64)
    return Statistics(
        spread=np.array([(ticks == 1).mean(), (ticks == 2).mean(), (ticks >= 3).mean()]),
        depth=depth / depth.mean(),
        level_contracts=float(depth.mean()),
        order_contracts=float(sizes.sum() / counts.sum()),
        pause_ns=np.quantile(pauses, QUANTILES),
        clustering=float(pauses.std() / pauses.mean()),
        cancel_to_fill=cancelled / filled,
        trade_share=float((book["action"] == b"T").sum() / len(pauses)),
    )
