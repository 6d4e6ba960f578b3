"""Staged sessions, one per barrier state, trigger and fuel effect: small enough to be read as what they claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common import topics
from tests.support.market import EXP_DAYS, NS, Market

LEVEL = 6000.0
"""ES price of the level that the scenes play at: ROUND_600 at the default ratio."""


@dataclass(frozen=True)
class Scene:
    """A session to play: what happens, how long it lasts, and what it must show at some snap of ROUND_600."""

    market: Market
    until_s: float
    shows: Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)


class Stage:
    """A market that is told as: the book stands so, then this happens."""

    def __init__(self, best_bid: float, size: int = 200, start_s: float = 1.0) -> None:
        self.market = Market()
        self.best_bid = best_bid
        self.sizes = {"bid": [size] * 10, "ask": [size] * 10}
        self.at_ns = round(start_s * NS)
        self.quote()

    def quote(self) -> None:
        """Tell the book as it stands."""
        bids = [(self.best_bid - 0.25 * k, size) for k, size in enumerate(self.sizes["bid"]) if size > 0]
        asks = [(self.best_bid + 0.25 * (k + 1), size) for k, size in enumerate(self.sizes["ask"]) if size > 0]
        self.market.book(self.at_ns, bids, asks)

    def wait(self, seconds: float) -> None:
        """Time passes; the book is told again every second."""
        for _ in range(round(seconds)):
            self.at_ns += NS
            self.quote()

    def resize(self, side: str, change: int, least: int = 1) -> None:
        """Every level of a side gains or loses displayed size without a trade."""
        self.at_ns += 1_000_000
        self.sizes[side] = [max(least, size + change) for size in self.sizes[side]]
        self.quote()

    def sell(self, size: int, *, refill: int = 0) -> None:
        """Sellers hit the best bid; ``refill`` contracts come back at once."""
        self._trade("bid", self.best_bid, size, refill, "SELL")

    def buy(self, size: int, *, refill: int = 0) -> None:
        """Buyers lift the best ask; ``refill`` contracts come back at once."""
        self._trade("ask", self.best_bid + 0.25, size, refill, "BUY")

    def _trade(self, side: str, price: float, size: int, refill: int, aggressor: str) -> None:
        self.at_ns += 1_000_000
        self.market.trade(self.at_ns, price, size, aggressor)
        self.sizes[side][0] = max(1, self.sizes[side][0] - size)
        self.quote()
        if refill:
            self.at_ns += 1_000_000
            self.sizes[side][0] += refill
            self.quote()

    def move(self, ticks: int) -> None:
        """The whole book moves."""
        self.at_ns += 1_000_000
        self.best_bid += 0.25 * ticks
        self.quote()

    def pause(self, milliseconds: int) -> None:
        """Time passes in silence."""
        self.at_ns += milliseconds * 1_000_000

    def customers(self, strike: float, right: str, aggressor: str, size: int, iv: float = 0.2) -> None:
        """Customers trade an option whose volatility a snapshot has just told."""
        self.at_ns += 1_000_000
        self.market.greeks(self.at_ns, strike, right, iv, open_interest=5_000, gamma=0.12)
        self.market.option_quote(self.at_ns, strike, right, 1.0, 1.1)
        price = 1.1 if aggressor == "BUY" else 1.0
        self.market.option_trade(self.at_ns, strike, right, price, size)

    def spy(self, *, spread: float = 0.01) -> None:
        """SPY is quoted at a tenth of the ES mid."""
        mid = (self.best_bid + 0.125) / 10.0
        self.market.spy_quote(self.at_ns, round(mid - spread / 2, 2), round(mid + spread / 2, 2))


def vacuum() -> Scene:
    """The bids at the level are pulled without trades."""
    stage = Stage(LEVEL + 0.5)
    stage.wait(11)
    for _ in range(8):
        stage.resize("bid", -22)
        stage.wait(1)
    return Scene(stage.market, 22.0, {"barrier_state": "VACUUM", "direction": "SUPPORT"})


def wall() -> Scene:
    """Bids at the level are added far beyond what goes."""
    stage = Stage(LEVEL + 0.5)
    stage.wait(11)
    for _ in range(6):
        stage.resize("bid", 40)
        stage.wait(1)
    return Scene(stage.market, 20.0, {"barrier_state": "WALL", "direction": "SUPPORT"})


def absorption() -> Scene:
    """Sellers hit the bid, and as much comes back each time."""
    stage = Stage(LEVEL)
    stage.wait(11)
    for _ in range(6):
        stage.sell(15, refill=15)
        stage.wait(1)
    return Scene(stage.market, 20.0, {"barrier_state": "ABSORPTION", "direction": "SUPPORT"})


def consumed() -> Scene:
    """The bid is eaten faster than it is refilled: contested."""
    stage = Stage(LEVEL)
    stage.wait(11)
    for _ in range(9):
        stage.sell(40, refill=19)
        stage.wait(1)
    return Scene(stage.market, 24.0, {"barrier_state": "CONSUMED", "signal": "CONTESTED"})


def weak() -> Scene:
    """After a deep minute the zone is thinner than most of its past, and nothing else happens."""
    stage = Stage(LEVEL)
    stage.wait(70)
    stage.resize("bid", -15)
    stage.wait(15)
    return Scene(stage.market, 87.0, {"barrier_state": "WEAK"})


def break_by_sweep() -> Scene:
    """Bids pulled while sellers sweep through them: BREAK without options."""
    stage = Stage(LEVEL + 0.5)
    stage.wait(11)
    for n in range(10):
        stage.resize("bid", -18)
        stage.sell(3)
        stage.sell(3)
        if n % 4 == 3:
            stage.move(-1)
        stage.wait(1)
    return Scene(stage.market, 24.0, {"signal": "BREAK", "tape_sweep_direction": "DOWN", "direction": "SUPPORT"})


def break_by_fuel() -> Scene:
    """Bids pulled while customers buy gamma from dealers: BREAK, and dealers amplify it."""
    stage = Stage(LEVEL + 0.5)
    stage.wait(11)
    for _ in range(10):
        stage.spy()
        stage.customers(600.0, "P", "BUY", 600)
        stage.resize("bid", -18)
        stage.sell(1)
        stage.wait(1)
    shows = {"signal": "BREAK", "fuel_effect": "AMPLIFY", "fuel_put_wall": None, "ratio_state": "LIVE"}
    return Scene(stage.market, 24.0, shows)


def reject_by_wall() -> Scene:
    """A growing wall at a touched level: REJECT."""
    stage = Stage(LEVEL)
    stage.wait(11)
    for _ in range(8):
        stage.resize("bid", 30)
        stage.buy(2)
        stage.wait(1)
    return Scene(stage.market, 22.0, {"signal": "REJECT", "barrier_state": "WALL"})


def reject_by_fuel() -> Scene:
    """Absorption at a touched level while customers sell gamma to dealers: REJECT, and dealers dampen."""
    stage = Stage(LEVEL)
    stage.wait(11)
    for _ in range(8):
        stage.spy()
        stage.customers(600.0, "C", "SELL", 600)
        stage.sell(1, refill=1)  # one contract a second is no sweep
        stage.wait(1)
    shows = {"signal": "REJECT", "fuel_effect": "DAMPEN", "barrier_state": "ABSORPTION"}
    return Scene(stage.market, 22.0, shows, {"ABSORB_MIN_FILLED": 5})


def walls_and_flip() -> Scene:
    """Customers buy calls above and puts below, and sell the middle: both walls and a gamma flip."""
    stage = Stage(LEVEL)
    stage.wait(2)
    for _ in range(8):
        stage.spy()
        stage.customers(604.0, "C", "BUY", 40_000, iv=0.08)
        stage.customers(596.0, "P", "BUY", 40_000, iv=0.08)
        stage.customers(600.0, "C", "SELL", 40_000, iv=0.08)
        stage.wait(1)
    shows = {"fuel_call_wall": 604.0, "fuel_put_wall": 596.0, "fuel_oi_call_wall": 604.0, "fuel_oi_put_wall": 596.0}
    return Scene(stage.market, 16.0, shows)


def prints() -> Scene:
    """Option prints at the edges: an old quote, an old snapshot, several legs, tomorrow's contract, no volatility."""
    stage = Stage(LEVEL)
    market = stage.market
    stage.wait(1)
    market.greeks(stage.at_ns, 601.0, "C", 0.2, open_interest=900, gamma=0.1)
    market.option_quote(stage.at_ns + 1, 601.0, "C", 1.0, 1.1)
    market.option_trade(stage.at_ns + 5 * NS, 601.0, "C", 1.1, 900)
    stage.wait(7)
    stage.spy()
    market.option_trade(stage.at_ns + 1, 601.0, "C", 1.1, 700, conditions=[209], aggressor="BUY")
    market.option_trade(stage.at_ns + 2, 601.0, "C", 1.1, 500, conditions=[233], aggressor="BUY")
    market.option_trade(stage.at_ns + 3, 599.0, "P", 1.1, 300, exp_days=EXP_DAYS + 1, aggressor="BUY")
    market.option_quote(stage.at_ns + 4, 599.0, "P", 1.0, 1.2)
    market.option_trade(stage.at_ns + 5, 599.0, "P", 1.2, 300)
    stage.wait(280)
    market.option_trade(stage.at_ns + 1, 601.0, "C", 1.2, 400, aggressor="BUY")
    stage.wait(30)
    return Scene(market, 320.0, {"fuel_available": True})


def last_minute() -> Scene:
    """Contracts that expire within the minute, at the close of New York."""
    stage = Stage(LEVEL, start_s=22 * 3600 - 60)
    stage.wait(15)
    stage.spy()
    stage.customers(600.0, "C", "BUY", 10)
    stage.wait(8)
    return Scene(stage.market, 22 * 3600 - 30, {"fuel_available": True})


def opening_range() -> Scene:
    """The first seconds of regular hours leave their high and low behind."""
    stage = Stage(LEVEL, start_s=15.5 * 3600 - 5)
    stage.sell(1)
    for move in (2, -3, 4, -2):
        stage.wait(3)
        stage.move(move)
        stage.sell(1)
    stage.wait(4)
    return Scene(stage.market, 15.5 * 3600 + 14, {"session_date": 20250603}, {"OPENING_RANGE_S": 6.0})


def stock_sweep() -> Scene:
    """SPY is lifted on one venue, twice within the gap, and then once more beyond it."""
    stage = Stage(LEVEL)
    stage.wait(2)
    stage.spy()
    for pause_ms in (0, 100, 150):
        stage.pause(pause_ms)
        stage.market.spy_trade(stage.at_ns, 600.02, 500, exchange=11)
    stage.wait(8)
    return Scene(stage.market, 12.0, {"tape_sweep_detected": True, "tape_sweep_direction": "UP"})


def silence() -> Scene:
    """ES says nothing for longer than the pause; an option traded just before."""
    stage = Stage(LEVEL)
    stage.spy()
    stage.customers(600.0, "C", "BUY", 100)
    stage.pause(75_000)
    stage.quote()
    return Scene(stage.market, 80.0, {"validity_bits": 1 | 2 | 4 | 256})


def desk() -> Scene:
    """Thresholds that follow the market, and smoothing by the median."""
    stage = Stage(LEVEL)
    for n in range(14):
        stage.resize("bid", 12 if n % 2 else -9)
        stage.sell(9 + n)
        stage.move(1 if n % 3 == 0 else -1 if n % 3 == 1 else 0)
        stage.wait(1)
    overrides = {"NORMALISE": True, "SMOOTHING": "HYBRID", "WEAK_MIN_HISTORY_S": 4.0, "NORMALISE_WINDOW_S": 5.0}
    return Scene(stage.market, 18.0, {"barrier_visible": True}, overrides)


def halt() -> Scene:
    """Trading halts at a touched level and goes on."""
    stage = Stage(LEVEL)
    stage.wait(12)
    stage.market.add(topics.FUTURES_STATUS, stage.at_ns + 1, action="HALT")
    stage.wait(4)
    stage.market.add(topics.FUTURES_STATUS, stage.at_ns + 1, action="TRADING")
    stage.wait(6)
    return Scene(stage.market, 24.0, {"signal": "NEUTRAL", "actionable": False})


def episodes() -> Scene:
    """Three touches of the level: a bounce, a bounce, and a break."""
    stage = Stage(LEVEL + 1.0)
    for move in (-4, 10, -10, 10, -10, -9):
        stage.wait(3)
        stage.move(move)
        stage.sell(2)
    stage.wait(4)
    return Scene(stage.market, 26.0, {"episode_touches": 2})


SCENES: Mapping[str, Callable[[], Scene]] = {
    scene.__name__: scene
    for scene in (
        vacuum,
        wall,
        absorption,
        consumed,
        weak,
        break_by_sweep,
        break_by_fuel,
        reject_by_wall,
        reject_by_fuel,
        walls_and_flip,
        prints,
        last_minute,
        opening_range,
        stock_sweep,
        silence,
        desk,
        halt,
        episodes,
    )
}
