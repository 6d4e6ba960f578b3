"""A few minutes of ES books and trades of several sessions, in the tables of a home."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import iceberg, topics
from common.config import NS_PER_S
from common.sessions import cme_es_sessions
from tests.support.silver_lake import SinkTables, record

TICK = 0.25
STEP_NS = NS_PER_S // 2


def store_sessions(dates: Sequence[int], *, seconds: int = 60, seed: int = 1) -> SinkTables:
    """Books twice a second and some trades from the open of New York on, of each date; a promise past the last."""
    lake = SinkTables(iceberg.open_catalog())
    chance = random.Random(seed)
    tick = 23_600
    number = 0
    for date in dates:
        sessions = cme_es_sessions()
        begin_ns = int(sessions.rth_open_ns[np.searchsorted(sessions.date, date)])
        books, trades = [], []
        for step in range(seconds * 2):
            tick += chance.choice((-2, -1, 0, 0, 1, 2))
            number += 1
            envelope = _envelope(number, begin_ns + step * STEP_NS)
            books.append(record(topics.FUTURES_MBP10, **envelope, action="ADD", flags=128, **_ladder(tick, chance)))
            if chance.random() < 0.3:
                aggressor = chance.choice(("BUY", "SELL"))
                price = (tick + (1 if aggressor == "BUY" else 0)) * TICK
                number += 1
                at = _envelope(number, begin_ns + step * STEP_NS + 1000)
                trades.append(
                    record(topics.FUTURES_TRADES, **at, price=price, size=chance.randint(1, 20), aggressor=aggressor)
                )
        lake.append(topics.FUTURES_MBP10, *books)
        lake.append(topics.FUTURES_TRADES, *trades)
        end_ns = begin_ns + seconds * NS_PER_S
        for topic in (topics.FUTURES_MBP10, topics.FUTURES_TRADES):
            lake.promise(topic, end_ns, "ENDED")
    return lake


def _envelope(number: int, ts_ns: int) -> dict[str, Any]:
    return {
        "event_id": number,
        "ts_event_ns": ts_ns,
        "ts_recv_ns": ts_ns,
        "ts_effective_ns": ts_ns,
        "source": "sim",
        "symbol": "ESM5",
        "instrument_id": 1,
        "seq": number,
    }


def _ladder(tick: int, chance: random.Random) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for level in range(1, 11):
        for side, price in (("bid", tick - level + 1), ("ask", tick + level)):
            out[f"{side}_px_{level}"] = price * TICK
            out[f"{side}_sz_{level}"] = chance.randint(1, 60)
            out[f"{side}_ct_{level}"] = 1
    return out
