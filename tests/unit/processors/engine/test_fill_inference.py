"""Cancel versus fill against the truth of the order-by-order feed (DESIGN 4.5)."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq

from common import topics
from common.columns import concat
from common.config import EngineConfig
from common.sessions import cme_es_sessions
from common.settings import settings
from producers.stream import stamped_batches
from tests.support.removals import Removal, inferred

TICK_NANODOLLARS = 250_000_000


def test_fills_are_inferred_with_precision_0_999_and_recall_0_96() -> None:
    folder = settings().sample_data / "es"
    config = EngineConfig()
    paths = [folder / "esh4-20231225.mbp-10.dbn.zst", folder / "esh4-20231225.trades.dbn.zst"]
    parts = [batch for step in stamped_batches(paths, config) for batch in step.batches]
    books, trades = (
        concat([part for part in parts if part.name == name]) for name in (topics.FUTURES_MBP10, topics.FUTURES_TRADES)
    )
    filled, canceled = inferred((books, trades), config)

    table = pq.read_table(folder / "esh4-20231225.removals.parquet")
    opens = cme_es_sessions()
    open_ns = int(opens.open_ns[list(opens.date).index(20231226)])
    truth: Counter[Removal] = Counter()
    for row in table.to_pylist():
        if row["cause"] == "FILL" and row["ts_event"] >= open_ns:
            truth[row["ts_event"], 0 if row["side"] == "B" else 1, row["price"] // TICK_NANODOLLARS] += row["size"]
    right = sum(min(size, truth[removal]) for removal, size in filled.items())
    precision = right / filled.total()
    recall = right / truth.total()
    assert precision >= 0.999, f"precision {precision:.4f}"
    assert recall >= 0.96, f"recall {recall:.4f} of {truth.total()} contracts"
    assert canceled.total() > 0
