"""Where the exchange's records go: the files, and who follows price."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from producers.simulator.files import CausesFile, DbnFile

Follower = Callable[[NDArray[np.int64]], None]


class Recorder:
    """An `exchange.Sink`. ``orders``: None when the order-by-order feed is not wanted."""

    def __init__(
        self,
        book: DbnFile,
        trades: DbnFile,
        orders: DbnFile | None,
        causes: CausesFile,
        followers: tuple[Follower, ...],
    ) -> None:
        self._book = book
        self._trades = trades
        self._orders = orders
        self._causes = causes
        self._followers = followers

    def write(
        self,
        mbo: NDArray[np.uint64],
        mbp: NDArray[np.uint64],
        trades: NDArray[np.uint64],
        causes: NDArray[np.int64],
        path: NDArray[np.int64],
    ) -> None:
        """The next records of each kind."""
        if self._orders is not None:
            self._orders.add(mbo)
        self._book.add(mbp)
        self._trades.add(trades)
        self._causes.add(causes)
        for follow in self._followers:
            follow(path)
