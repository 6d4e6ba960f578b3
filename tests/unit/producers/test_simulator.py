"""The made-up session: real DBN files, a consistent book, SPY and its options that follow, levels as staged."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import databento
import numpy as np
import pyarrow as pa
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
from producers.simulator.ratio import ratio_at
from producers.stream import stamped_batches

LEAST = {
    FUTURES_MBP10: 30_000,
    FUTURES_TRADES: 2_000,
    STOCKS_QUOTES: 4_000,
    STOCKS_TRADES: 3_000,
    OPTIONS_QUOTES: 4_000,
    OPTIONS_TRADES: 2_500,
    OPTIONS_GREEKS: 600,
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return simulate(tmp_path_factory.mktemp("sim"))


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


def test_equal_seeds_write_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    first, second = simulate(tmp_path / "a", 3, 0.5), simulate(tmp_path / "b", 3, 0.5)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert simulate(tmp_path / "c", 4, 0.5)[0].read_bytes() != first[0].read_bytes()


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


def test_every_change_of_size_is_what_its_record_says(book: NDArray[np.void]) -> None:
    """A tick that is seen before and after changes by the order's size, and only the order's tick does."""
    for at in range(1, 5_000):
        before, after = (
            {
                (side, int(record[f"{side}_px_{level:02d}"])): int(record[f"{side}_sz_{level:02d}"])
                for side in ("bid", "ask")
                for level in range(10)
            }
            for record in (book[at - 1], book[at])
        )
        action = book["action"][at]
        own = ("bid" if book["side"][at] == b"B" else "ask", int(book["price"][at]))
        size = int(book["size"][at])
        for tick in before.keys() & after.keys():
            change = after[tick] - before[tick]
            expected = 0 if action == b"T" or tick != own else (size if action == b"A" else -size)
            assert change == expected, (at, tick)


def test_a_trade_is_in_both_files_and_stands_before_the_change_that_it_causes(
    book: NDArray[np.void], trades: NDArray[np.void]
) -> None:
    at = np.flatnonzero(book["action"] == b"T")
    for field in ("ts_event", "ts_recv", "sequence", "price", "size", "side"):
        assert np.array_equal(book[field][at], trades[field])
    caused = book[at + 1]
    assert (caused["action"] == b"C").all()
    assert (caused["ts_event"] == book["ts_event"][at]).all()
    assert (caused["price"] == book["price"][at]).all() and (caused["size"] == book["size"][at]).all()
    assert (caused["side"] != book["side"][at]).all()
    best = np.where(book["side"][at] == b"B", book["ask_px_00"][at], book["bid_px_00"][at])
    assert np.array_equal(book["price"][at], best)


def test_the_last_record_of_every_event_says_so(book: NDArray[np.void]) -> None:
    last = np.append(np.diff(book["ts_event"].astype(np.int64)) > 0, True)
    assert np.array_equal(book["flags"] == 128, last)


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
