"""Fills that the engine infers, and how they are held against the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.config import EngineConfig
from common.errors import InputError
from common.sessions import cme_es_sessions
from processors.engine.shapes import TICKS
from processors.study import fills
from tests.support.market import NS, OPEN_NS, Market, ladder, merged

BIDS, ASKS = ladder(6000.0, [50] * 10, "bid"), ladder(6000.25, [50] * 10, "ask")


def removals(*rows: tuple[int, str, float, int, str]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    names = dict(zip(fills.COLUMNS, columns, strict=True))
    return pa.table({**names, "price": pa.array([round(price * 1e9) for price in names["price"]], pa.int64())})


def lost(side: list[tuple[float, int]], size: int) -> list[tuple[float, int]]:
    """The side after its best level lost ``size``."""
    return [(side[0][0], side[0][1] - size), *side[1:]]


def found(market: Market) -> Counter[fills.Removal]:
    return fills.inferred([merged(market.batches(), OPEN_NS + 60 * NS)], EngineConfig(), cme_es_sessions())


def test_lost_depth_that_a_trade_explains_is_filled_and_the_rest_is_not() -> None:
    market = Market()
    market.book(NS, BIDS, ASKS)
    market.trade(2 * NS, 6000.0, 7, "SELL")
    market.book(2 * NS, lost(BIDS, 10), ASKS)
    market.book(3 * NS, lost(BIDS, 20), ASKS)
    tick = round(6000.0 / 0.25) % TICKS
    assert found(market) == {(OPEN_NS + 2 * NS, 0, tick): 7}


def test_fills_are_counted_at_their_own_instants_also_within_one_snap() -> None:
    market = Market()
    market.book(NS, BIDS, ASKS)
    bids = BIDS
    for n in range(5):
        at_ns = 2 * NS + n * 1_000
        bids = lost(bids, 3)
        market.trade(at_ns, 6000.0, 3, "SELL")
        market.book(at_ns, bids, ASKS)
    assert sorted(found(market).values()) == [3] * 5
    assert {ts_ns - OPEN_NS for ts_ns, _, _ in found(market)} == {2 * NS + n * 1_000 for n in range(5)}


def test_fills_do_not_depend_on_how_the_events_are_cut() -> None:
    market = Market()
    market.book(NS, BIDS, ASKS)
    market.trade(2 * NS, 6000.25, 5, "BUY")
    market.book(2 * NS, BIDS, lost(ASKS, 5))
    market.book(3 * NS, BIDS, lost(ASKS, 9))
    whole = merged(market.batches(), OPEN_NS + 60 * NS)
    config, sessions = EngineConfig(), cme_es_sessions()
    one_by_one = [piece for _, piece in fills._pieces(whole)]
    assert fills.inferred([whole], config, sessions) == fills.inferred(one_by_one, config, sessions)
    assert sum(len(piece) for piece in one_by_one) == len(whole)


def test_truth_counts_fills_of_the_time_asked_for() -> None:
    table = removals(
        (10, "B", 6000.0, 3, "FILL"), (10, "B", 6000.0, 4, "FILL"), (11, "A", 6000.25, 2, "CANCEL"),
        (12, "A", 6000.25, 2, "FILL"), (20, "B", 6000.0, 9, "FILL"),
    )  # fmt: skip
    tick = round(6000.0 / 0.25) % TICKS
    assert fills.truth(table, 10, 20) == {(10, 0, tick): 7, (12, 1, tick + 1): 2}


def test_precision_and_recall_are_shares_of_contracts() -> None:
    one, two, three = (1, 0, 5), (2, 0, 5), (3, 1, 6)
    compared = fills.compare(Counter({one: 4, two: 6}), Counter({one: 10, three: 10}))
    assert compared == (pytest.approx(4 / 10), pytest.approx(4 / 20), 10, 20)


def test_nothing_inferred_has_no_precision() -> None:
    assert np.isnan(fills.compare(Counter(), Counter({(1, 0, 5): 1})).precision)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_bytes(b"no parquet"), "cannot be read"),
        (lambda path: pq.write_table(pa.table({"ts_event": [1]}), path), "no column side"),
        (lambda _: None, "cannot be read"),
    ],
    ids=["foreign", "column missing", "absent"],
)
def test_a_foreign_truth_file_is_refused_by_name(tmp_path: Path, write: Any, said: str) -> None:
    path = tmp_path / "truth.parquet"
    write(path)
    with pytest.raises(InputError, match=f"truth.parquet.*{said}"):
        fills.read_truth(path)
