"""The made-up exchange against a real one: its statistics beside those of the recorded ES session."""

from __future__ import annotations

import databento
import databento_dbn
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from common.settings import settings
from producers.simulator.exchange import NS_PER_S, Exchange, Mood
from producers.simulator.ratio import START_NS
from producers.simulator.shapes import CANCEL, FILL
from tests.support.market_statistics import Statistics, statistics

OPEN_NS = 1_703_545_200_000_000_000
"""2023-12-25 23:00 UTC: from here on the recorded session trades."""

HOUR_S = 3_600
PAUSE_MS = 400
"""The crowd's pause with which an hour has about as many events as the recorded one."""

START_TICK = 24_010


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.book: list[NDArray[np.uint64]] = []
        self.causes: list[NDArray[np.int64]] = []

    def write(
        self,
        mbo: NDArray[np.uint64],
        mbp: NDArray[np.uint64],
        trades: NDArray[np.uint64],
        causes: NDArray[np.int64],
        path: NDArray[np.int64],
    ) -> None:
        """Copy the book's records and the causes."""
        self.book.append(mbp.copy())
        self.causes.append(causes.copy())


@pytest.fixture(scope="module")
def recorded() -> Statistics:
    folder = settings().sample_data / "es"
    book = databento.DBNStore.from_bytes((folder / "esh4-20231225.mbp-10.dbn.zst").read_bytes()).to_ndarray()
    removals = pq.read_table(folder / "esh4-20231225.removals.parquet", columns=["size", "cause"])
    size, cause = removals["size"].to_numpy(), removals["cause"].to_numpy(zero_copy_only=False)
    trading = book[book["ts_event"].astype(np.int64) >= OPEN_NS]
    return statistics(trading, int(size[cause == "FILL"].sum()), int(size[cause == "CANCEL"].sum()))


@pytest.fixture(scope="module")
def made_up() -> Statistics:
    """A quiet hour: price strays to a new place near by every ten seconds, and nothing is staged."""
    kept, draws = Kept(), np.random.Generator(np.random.PCG64(1))
    exchange = Exchange(7, START_NS, START_TICK, kept)
    end_ns = START_NS + HOUR_S * NS_PER_S
    for _ in range(HOUR_S // 10):
        exchange.lead(exchange.best_bid + int(draws.integers(-2, 3)), 10.0, Mood(PAUSE_MS, wobble=2), end_ns)
    exchange.flush()
    book = np.concatenate(kept.book).view(np.dtype(databento_dbn.MBP10Msg._dtypes)).reshape(-1)
    causes = np.concatenate(kept.causes)
    filled, cancelled = (int(causes[causes[:, 4] == cause, 3].sum()) for cause in (FILL, CANCEL))
    return statistics(book, filled, cancelled)


def test_the_spread_is_one_tick_about_as_often(made_up: Statistics, recorded: Statistics) -> None:
    """Within 0.05: shares of the recorded quarter hours themselves differ by that much."""
    assert np.abs(made_up.spread - recorded.spread).max() < 0.05


def test_depth_rises_from_the_best_level_and_is_flat_behind_it(made_up: Statistics, recorded: Statistics) -> None:
    """Within 0.2 of the mean level: the recorded bids and asks differ from each other by 0.1."""
    assert np.abs(made_up.depth - recorded.depth).max() < 0.2
    assert made_up.depth[0] == made_up.depth.min()


def test_levels_are_twice_as_deep_as_in_the_recorded_holiday_night(made_up: Statistics, recorded: Statistics) -> None:
    """A regular session's book is deeper, and twice is a choice (docs/decisions.md); within a quarter of that."""
    assert made_up.level_contracts == pytest.approx(2 * recorded.level_contracts, rel=0.25)


def test_orders_are_about_as_large(made_up: Statistics, recorded: Statistics) -> None:
    """Within a quarter: most orders of both are for one contract or two."""
    assert made_up.order_contracts == pytest.approx(recorded.order_contracts, rel=0.25)


def test_events_come_in_bursts_over_five_orders_of_magnitude(made_up: Statistics, recorded: Statistics) -> None:
    """Each quantile within a factor of 2, where they span 3 microseconds to 0.2 s; a Poisson process of the same rate
    would miss the median by a factor of 500. The deviation over the mean is within a quarter; Poisson has 1.
    """
    assert np.abs(np.log(made_up.pause_ns / recorded.pause_ns)).max() < np.log(2)
    assert made_up.clustering == pytest.approx(recorded.clustering, rel=0.25)


def test_most_size_leaves_by_cancellation(made_up: Statistics, recorded: Statistics) -> None:
    """Within a factor of 1.5: 2,973 trades of heavy-tailed sizes do not say it better than that."""
    assert abs(np.log(made_up.cancel_to_fill / recorded.cancel_to_fill)) < np.log(1.5)


def test_trades_are_about_as_frequent_among_events(made_up: Statistics, recorded: Statistics) -> None:
    """Within a factor of 1.5, as above."""
    assert abs(np.log(made_up.trade_share / recorded.trade_share)) < np.log(1.5)
