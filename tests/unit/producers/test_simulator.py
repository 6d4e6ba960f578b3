"""The made-up session: real DBN files, books that agree, SPY and its options that follow, levels as staged."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import databento
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from common.columns import Batch, concat, string_list
from common.config import EngineConfig
from common.schemas import load
from common.topics import (
    FEATURES,
    FUTURES_MBP10,
    FUTURES_TRADES,
    OPTIONS_GREEKS,
    OPTIONS_QUOTES,
    OPTIONS_TRADES,
    OUTCOMES,
    SIGNALS,
    STOCKS_QUOTES,
    STOCKS_TRADES,
)
from producers.massive.capture import Capture
from producers.massive.symbols import CALL, parse_option_symbol
from producers.replay.engine import replay, table_of
from producers.simulator import Session, simulate
from producers.simulator.feed import Underlying
from producers.simulator.options import Options
from producers.simulator.ratio import CLOSE_NS, ratio_at
from producers.stream import stamped_batches

LEAST = {
    FUTURES_MBP10: 30_000,
    FUTURES_TRADES: 2_000,
    STOCKS_QUOTES: 4_000,
    STOCKS_TRADES: 3_000,
    OPTIONS_QUOTES: 5_000,
    OPTIONS_TRADES: 2_500,
    OPTIONS_GREEKS: 600,
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return simulate(tmp_path_factory.mktemp("sim"), orders=True)


def test_made_up_records_say_that_they_are(records: dict[str, Batch]) -> None:
    for topic in (FUTURES_MBP10, FUTURES_TRADES):
        assert set(string_list(records[topic].columns["source"])) == {"sim"}


@pytest.fixture(scope="module")
def truth(session: Session) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(session.truth.read_text())
    return found


@pytest.fixture(scope="module")
def records(session: Session) -> dict[str, Batch]:
    """All records of each topic, as they are published."""
    parts: dict[str, list[Batch]] = {}
    for step in stamped_batches(session.inputs, EngineConfig()):
        for batch in step.batches:
            parts.setdefault(batch.name, []).append(batch)
    return {topic: concat(batches) for topic, batches in parts.items()}


@pytest.fixture(scope="module")
def judged(session: Session) -> dict[str, list[dict[str, Any]]]:
    """What the engine says of the session, with core.md's numbers."""
    config = EngineConfig()
    steps = list(replay(stamped_batches(session.inputs, config), config))
    return {
        topic: pa.concat_tables([table_of(step.rows[topic]) for step in steps]).to_pylist()
        for topic in (FEATURES, SIGNALS, OUTCOMES)
    }


def vendor_array(path: Path) -> NDArray[np.void]:
    return databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()


@pytest.fixture(scope="module")
def book(session: Session) -> NDArray[np.void]:
    return vendor_array(session.book)


@pytest.fixture(scope="module")
def trades(session: Session) -> NDArray[np.void]:
    return vendor_array(session.trades)


def contents(session: Session) -> list[bytes]:
    return [path.read_bytes() for path in session if path is not None]


def test_equal_seeds_write_equal_bytes_however_the_session_is_cut(tmp_path: Path) -> None:
    first = contents(simulate(tmp_path / "a", 3, 1.0, orders=True))
    assert len(first) == 6
    assert contents(simulate(tmp_path / "b", 3, 1.0, orders=True, rows=1_000)) == first
    other = contents(simulate(tmp_path / "c", 4, 1.0, orders=True))
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_it_is_a_moderate_session_of_the_length_asked_for(records: dict[str, Batch]) -> None:
    assert set(records) == set(LEAST)
    for topic, batch in records.items():
        assert LEAST[topic] < batch.length < 2 * LEAST[topic]
        span_s = int(batch["ts_event_ns"][-1] - batch["ts_event_ns"][0]) / 1e9
        assert 565 < span_s <= 601


def test_times_and_sequence_numbers_never_fall(book: NDArray[np.void], trades: NDArray[np.void]) -> None:
    for records in (book, trades):
        for field in ("ts_event", "ts_recv", "sequence"):
            assert (np.diff(records[field].astype(np.int64)) >= 0).all()
        assert (records["ts_recv"] > records["ts_event"]).all()


def test_the_book_has_ten_rising_levels_and_is_never_crossed(book: NDArray[np.void]) -> None:
    bids = np.stack([book[f"bid_px_{level:02d}"] for level in range(10)])
    asks = np.stack([book[f"ask_px_{level:02d}"] for level in range(10)])
    assert (np.diff(bids, axis=0) < 0).all() and (np.diff(asks, axis=0) > 0).all()
    assert (bids[0] < asks[0]).all()
    for level in range(10):
        for side in ("bid", "ask"):
            assert (book[f"{side}_sz_{level:02d}"] > 0).all() and (book[f"{side}_ct_{level:02d}"] > 0).all()


@pytest.fixture(scope="module")
def orders(session: Session) -> NDArray[np.void]:
    assert session.orders is not None
    return vendor_array(session.orders)


class Queues:
    """A book that is rebuilt from the order-by-order feed as its readers do."""

    def __init__(self) -> None:
        self.standing: dict[int, tuple[str, int, int]] = {}
        self.totals: dict[str, Counter[int]] = {"B": Counter(), "A": Counter()}
        self.counts: dict[str, Counter[int]] = {"B": Counter(), "A": Counter()}
        self.priority: dict[tuple[str, int], dict[int, None]] = {}

    def apply(self, action: str, side: str, order_id: int, price: int, size: int) -> None:
        if action == "C":
            *place, standing = self.standing[order_id]
            assert place == [side, price] and standing == size
            self._put(order_id, side, price, 0)
        elif action in ("A", "M"):
            assert (order_id in self.standing) == (action == "M")
            self._put(order_id, side, price, size)

    def best(self, side: str) -> list[tuple[int, int, int]]:
        prices = sorted((p for p, n in self.totals[side].items() if n), reverse=side == "B")[:10]
        return [(price, self.totals[side][price], self.counts[side][price]) for price in prices]

    def _put(self, order_id: int, side: str, price: int, size: int) -> None:
        before = self.standing.pop(order_id, None)
        if before is not None:
            self.totals[before[0]][before[1]] -= before[2]
            self.counts[before[0]][before[1]] -= 1
        queue = self.priority.setdefault((side, price), {})
        if before is not None and (before[:2] != (side, price) or size == 0):
            del self.priority[before[0], before[1]][order_id]
        if size:
            self.standing[order_id] = (side, price, size)
            self.totals[side][price] += size
            self.counts[side][price] += 1
            queue.setdefault(order_id)


def test_the_book_rebuilt_from_single_orders_is_the_book_of_the_ten_levels(
    book: NDArray[np.void], orders: NDArray[np.void]
) -> None:
    shown = {int(record["ts_event"]): record for record in book[(book["flags"] & 128) > 0]}
    queues, compared = Queues(), 0
    for record in orders[:90_000]:
        action, side = record["action"].decode(), record["side"].decode()
        queues.apply(action, side, int(record["order_id"]), int(record["price"]), int(record["size"]))
        if not record["flags"] & 128 or int(record["ts_event"]) not in shown:
            continue
        expected = shown[int(record["ts_event"])]
        if compared % 20 == 0:
            for side, letter in (("B", "bid"), ("A", "ask")):
                levels = [
                    tuple(int(expected[f"{letter}_{what}_{k:02d}"]) for what in ("px", "sz", "ct")) for k in range(10)
                ]
                assert queues.best(side) == levels
        compared += 1
    assert compared > 10_000


def test_fills_go_to_the_first_order_of_the_queue_and_come_in_the_size_of_the_trade(orders: NDArray[np.void]) -> None:
    """The orders of a price are filled in the order in which they came; an iceberg's next piece queues again."""
    queues, fills, traded, filled = Queues(), 0, 0, 0
    for record in orders[:90_000]:
        action, side = record["action"].decode(), record["side"].decode()
        order_id, price, size = int(record["order_id"]), int(record["price"]), int(record["size"])
        if action == "F":
            fills += 1
            filled += size
            assert next(iter(queues.priority[side, price])) == order_id
        elif action == "T":
            assert traded == filled
            traded += size
        queues.apply(action, side, order_id, price, size)
    assert traded == filled and fills > 1_000


def test_every_change_of_displayed_size_has_its_cause(session: Session, orders: NDArray[np.void]) -> None:
    causes = pq.read_table(session.causes).to_pandas()
    sums = causes.groupby("cause")["size"].sum()
    assert set(sums.index) == {"FILL", "CANCEL", "ADD", "REPLENISHED"}
    assert sums["FILL"] == orders["size"][orders["action"] == b"F"].sum()
    first = orders[(orders["flags"] & 32) > 0]
    last = Queues()
    for record in orders:
        fields = (record["action"].decode(), record["side"].decode())
        last.apply(*fields, int(record["order_id"]), int(record["price"]), int(record["size"]))
    left = sum(size for _, _, size in last.standing.values())
    came = sums["ADD"] + sums["REPLENISHED"]
    assert first["size"].sum() + came - sums["FILL"] - sums["CANCEL"] == left


def test_a_trade_is_in_both_files_and_stands_before_the_change_that_it_causes(
    book: NDArray[np.void], trades: NDArray[np.void]
) -> None:
    at = np.flatnonzero(book["action"] == b"T")
    for field in ("ts_event", "ts_recv", "sequence", "price", "size", "side"):
        assert np.array_equal(book[field][at], trades[field])
    caused = book[at + 1]
    assert np.isin(caused["action"], [b"C", b"M"]).all()
    assert (caused["ts_event"] == book["ts_event"][at]).all()
    assert (caused["price"] == book["price"][at]).all()
    assert (caused["side"] != book["side"][at]).all()
    best = np.where(book["side"][at] == b"B", book["ask_px_00"][at], book["bid_px_00"][at])
    assert np.array_equal(book["price"][at], best)


def test_the_last_record_of_every_event_says_so(book: NDArray[np.void]) -> None:
    last = np.append(np.diff(book["ts_event"].astype(np.int64)) > 0, True)
    assert np.array_equal((book["flags"] & 128) > 0, last)
    assert np.flatnonzero(book["flags"] & 32).tolist() == [0]


def test_everything_that_the_vendor_would_send_can_be_read(session: Session) -> None:
    with Capture(session.capture, 0) as opened:
        for reader in opened.readers:
            while reader.read(10_000) is not None:
                pass
        assert opened.bad_count == 0


def test_the_stocks_quote_follows_es_over_a_ratio_that_moves(session: Session, records: dict[str, Batch]) -> None:
    quotes, book = records[STOCKS_QUOTES], vendor_array(session.book)
    mid = (book["bid_px_00"] + book["ask_px_00"]) / 2e9
    place = np.searchsorted(book["ts_event"].astype(np.int64), quotes["ts_event_ns"]) - 1
    good = place >= 0
    bid, ask = (quotes[name].astype(np.float64) for name in ("bid_px", "ask_px"))
    ratios = mid[place] / ((bid + ask) / 2)
    true = np.array([ratio_at(ns) for ns in quotes["ts_event_ns"].tolist()])
    # In ES points: a move that the quote has not followed yet, the quote's cent, and the basis.
    assert (np.abs(ratios - true)[good] * 597 < 0.5).all()
    assert true.max() - true.min() > 0.001
    assert (bid < ask).all()


def test_some_stock_trades_do_not_update_the_last_price(records: dict[str, Batch]) -> None:
    updates = records[STOCKS_TRADES].columns["updates_last"]
    assert updates.valid is not None and updates.valid.all()
    assert 0.2 < updates.values.mean() < 0.8


def test_a_few_messages_come_late_and_most_do_not(records: dict[str, Batch]) -> None:
    for topic in (STOCKS_QUOTES, OPTIONS_QUOTES, OPTIONS_TRADES):
        assert 0 < records[topic]["is_late"].mean() < 0.1


def test_customers_buy_where_moves_are_amplified_and_sell_where_they_are_dampened(
    records: dict[str, Batch], truth: dict[str, Any]
) -> None:
    trades = records[OPTIONS_TRADES]
    symbols = load(OPTIONS_TRADES).field("aggressor").symbols
    sign = np.array([{"BUY": 1, "SELL": -1, "MID": 0}[name] for name in symbols])[trades["aggressor"]]
    signed = sign * trades["size"]
    for episode in truth["episodes"]:
        during = (trades["ts_event_ns"] >= episode["begin_ns"]) & (trades["ts_event_ns"] < episode["end_ns"])
        assert np.sign(signed[during].sum()) == {"AMPLIFY": 1, "DAMPEN": -1}[episode["fuel"]]


def test_options_are_quoted_until_they_expire() -> None:
    spy, begin_ns = Underlying(), CLOSE_NS - 60_000_000_000
    spy.add(np.array([[begin_ns, 48_020]]))
    for seed in range(5):
        messages = Options(spy, seed, begin_ns, 3).until(CLOSE_NS, "NEUTRAL")
        assert max(message.recv_ns for message in messages) > CLOSE_NS - 1_000_000_000


def test_a_snapshot_of_the_chain_comes_every_half_minute_with_all_that_is_known(records: dict[str, Batch]) -> None:
    chain = records[OPTIONS_GREEKS]
    times, counts = np.unique(chain["ts_event_ns"], return_counts=True)
    assert (np.diff(times) == 30_000_000_000).all()
    assert set(counts.tolist()) == {34}
    for name in ("delta", "gamma", "theta", "vega", "implied_volatility", "open_interest"):
        valid = chain.columns[name].valid
        assert valid is not None and valid.all()
    rights = [parse_option_symbol(symbol or "").right for symbol in string_list(chain.columns["symbol"])]
    calls = np.array(rights) == CALL
    assert (chain["delta"][calls] > 0).all() and (chain["delta"][~calls] < 0).all()


def test_every_kind_is_staged_and_price_goes_where_the_truth_says(
    truth: dict[str, Any], judged: dict[str, list[dict[str, Any]]]
) -> None:
    """Each episode has the engine's own label at its round level, and nothing else has one there."""
    assert all(one["outcome"] == one["led_to"] for one in truth["episodes"])
    assert {one["kind"] for one in truth["episodes"]} == {"WALL", "ABSORPTION", "VACUUM", "CONSUMPTION", "SWEEP", "PIN"}
    labels = [row for row in judged[OUTCOMES] if row["level_kind"] == "ROUND"]
    assert [(row["level_id"], row["direction"], row["outcome_120s"]) for row in labels] == [
        (f"ROUND_{one['level']:.0f}", one["direction"], one["outcome"]) for one in truth["episodes"]
    ]


def test_the_engine_says_of_every_staged_fight_what_it_was_staged_for(
    truth: dict[str, Any], judged: dict[str, list[dict[str, Any]]]
) -> None:
    for one in truth["episodes"]:
        said = Counter(
            row["signal"]
            for row in judged[SIGNALS]
            if row["level_id"] == f"ROUND_{one['level']:.0f}"
            and one["fight_ns"] <= row["ts_event_ns"] < one["leave_ns"] + 2_000_000_000
        )
        assert said[one["signal"]] > 0, one
        assert not {"BREAK", "REJECT"} - {one["signal"]} & set(said), one
        fuel = {
            row["fuel_effect"]
            for row in judged[SIGNALS]
            if row["level_id"] == f"ROUND_{one['level']:.0f}"
            and one["fight_ns"] <= row["ts_event_ns"] < one["leave_ns"]
        }
        assert fuel == {one["fuel"]}, one


def test_walls_a_gamma_flip_and_a_live_ratio_arise(judged: dict[str, list[dict[str, Any]]]) -> None:
    rows = judged[FEATURES]
    assert any(row["fuel_call_wall"] for row in rows) and any(row["fuel_put_wall"] for row in rows)
    assert any(row["fuel_hvl"] for row in rows)
    assert {row["ratio_state"] for row in rows} == {"LIVE"}
