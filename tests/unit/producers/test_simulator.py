"""The made-up session: real DBN files, a consistent book, and levels that break and reject."""

from __future__ import annotations

from pathlib import Path

import databento
import numpy as np
import pytest
from numpy.typing import NDArray

from common import topics
from common.columns import concat, string_list
from common.config import EngineConfig
from common.schemas import load
from common.sessions import cme_es_sessions
from processors.engine import features, signals
from processors.engine.order import Merger
from producers.simulator import simulate
from producers.stream import stamped_batches

SIGNALS = load("levels.signals.v1").field("signal").symbols
DIRECTIONS = load("levels.signals.v1").field("direction").symbols


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return simulate(tmp_path_factory.mktemp("sim"), seed=7, minutes=4)


def vendor_array(path: Path) -> NDArray[np.void]:
    return databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()


@pytest.fixture(scope="module")
def book(session: tuple[Path, Path]) -> NDArray[np.void]:
    return vendor_array(session[0])


@pytest.fixture(scope="module")
def trades(session: tuple[Path, Path]) -> NDArray[np.void]:
    return vendor_array(session[1])


def test_equal_seeds_write_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    first, second = simulate(tmp_path / "a", 3, 0.5), simulate(tmp_path / "b", 3, 0.5)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert simulate(tmp_path / "c", 4, 0.5)[0].read_bytes() != first[0].read_bytes()


def test_it_is_a_moderate_session_of_the_length_asked_for(book: NDArray[np.void], trades: NDArray[np.void]) -> None:
    seconds = int(book["ts_event"][-1] - book["ts_event"][0]) / 1e9
    assert 235 < seconds <= 241
    assert 40_000 < len(book) < 80_000
    assert len(trades) > 1_000


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


def test_levels_break_and_reject_in_both_directions(session: tuple[Path, Path]) -> None:
    """At least three episodes of each kind at round levels, judged by the engine itself with core.md's numbers."""
    config = EngineConfig()
    inputs = (topics.FUTURES_MBP10, topics.FUTURES_TRADES)
    merger = Merger(inputs)
    offsets = dict.fromkeys(inputs, 0)
    feature_state, signal_state = features.initial_state(config, cme_es_sessions()), signals.initial_state()
    judged = []
    for step in stamped_batches(session, config):
        for batch in step.batches:
            first = offsets[batch.name]
            offsets[batch.name] += batch.length
            merger.push(batch.name, batch, np.arange(first, offsets[batch.name], dtype=np.int64))
        for topic, offset in offsets.items():
            merger.promise(topic, offset, step.watermark_ns)
        events = merger.pop()
        judged.append(
            signals.step(config, signal_state, features.step(feature_state, events, events.until_ns).features)
        )
    rows = concat(judged)
    last: dict[str | None, str] = {}
    begun: list[tuple[str, str]] = []
    names = string_list(rows.columns["level_id"])
    for level, code, way in zip(names, rows["signal"].tolist(), rows["direction"].tolist(), strict=True):
        signal = SIGNALS[code]
        if level is not None and level.startswith("ROUND") and last.get(level) != signal:
            begun.append((signal, DIRECTIONS[way]))
        last[level] = signal
    for signal in ("BREAK", "REJECT"):
        assert sum(kind == signal for kind, _ in begun) >= 3
        for direction in ("SUPPORT", "RESISTANCE"):
            assert (signal, direction) in begun
