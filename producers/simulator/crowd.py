"""Who trades in the made-up market: a crowd that behaves as the moment's mood says."""

from __future__ import annotations

from dataclasses import dataclass

from producers.simulator.market import ASK, BID, DEPTH_CONTRACTS, Market
from producers.simulator.ratio import NS_PER_S

CALM_NS = 22_000_000
"""Mean time between two events of a calm market."""

FIGHT_NS = 8_000_000
"""Mean time between two events where a level is fought over."""

LEAST_GAP_NS = 130_000_000
"""Single contracts this far apart are no sweep (SWEEP_MAX_GAP_MS)."""


@dataclass(frozen=True, slots=True)
class Mood:
    """How the crowd behaves in a phase.

    ``zone``: first and last tick that ``side`` defends, None in an ordinary market. ``wall`` and ``pull`` are the
    chances per event that the zone gets or loses size without a trade. ``sweep_s`` is the mean time between sweeps
    against it (None: none) of ``sweep_contracts``, of which the share ``refill`` comes back. ``absorb``: single
    contracts are sold into the best price and replaced. ``pause_ns``: mean time between events.
    """

    side: int = BID
    zone: tuple[int, int] | None = None
    wall: float = 0.0
    pull: float = 0.0
    sweep_s: float | None = None
    sweep_contracts: tuple[int, int] = (8, 16)
    refill: float = 0.0
    absorb: bool = False
    pause_ns: int = FIGHT_NS


ORDINARY = Mood(pause_ns=CALM_NS)


def walk(market: Market, begin: int, end: int, seconds: float, mood: Mood, end_ns: int) -> None:
    """Lead the best bid from ``begin`` to ``end`` in ``seconds`` of events, not beyond ``end_ns``."""
    begin_ns = market.ts_ns
    length_ns = round(seconds * NS_PER_S)
    sweep_ns = begin_ns + round((mood.sweep_s or 0.0) * NS_PER_S / 2)
    absorb_ns = begin_ns
    while market.ts_ns < min(begin_ns + length_ns, end_ns):
        market.wait(1 + int(-mood.pause_ns * _log(1.0 - market.random.random())))
        share = min((market.ts_ns - begin_ns) / length_ns, 1.0)
        target = round(begin + (end - begin) * share)
        if mood.sweep_s is not None and market.ts_ns >= sweep_ns:
            _sweep(market, mood)
            sweep_ns = market.ts_ns + round(mood.sweep_s * NS_PER_S * (0.7 + 0.6 * market.random.random()))
        elif mood.absorb and market.ts_ns >= absorb_ns:
            _absorb(market, mood.side)
            absorb_ns = market.ts_ns + LEAST_GAP_NS + market.random.randint(0, 80_000_000)
        elif not _follow(market, target, mood):
            _crowd(market, mood)


def _log(x: float) -> float:
    """Natural logarithm in basic operations, so that files agree between machines to the byte."""
    exponent = 0
    while x < 0.75:
        x *= 2.0
        exponent -= 1
    y = (x - 1.0) / (x + 1.0)
    term, total = y, 0.0
    for n in range(1, 30, 2):
        total += term / n
        term *= y * y
    return 2.0 * total + exponent * 0.6931471805599453


def _follow(market: Market, target: int, mood: Mood) -> bool:
    """One order that brings the best prices towards ``target`` and the tick above it; False when they are there."""
    for side, place in ((BID, target), (ASK, target + 1)):
        best, sign = market.best[side], market.outwards(side)
        if (place - best) * sign > 0:
            quiet = mood.wall > 0 or mood.absorb
            if quiet or (mood.refill == 0 and market.random.random() < 0.5):
                market.cancel(side, best, market.size(side, best))
            else:
                market.market(1 - side, min(market.size(side, best), market.random.randint(8, 30)))
            return True
    for side, place in ((BID, target), (ASK, target + 1)):
        best, sign = market.best[side], market.outwards(side)
        if (place - best) * sign < 0:
            market.add(side, best - sign, market.random.randint(20, 50))
            return True
    return False


def _sweep(market: Market, mood: Mood) -> None:
    """Aggressive orders against the side, a few milliseconds apart, and what comes back behind them."""
    for _ in range(market.random.randint(3, 5)):
        size = market.random.randint(*mood.sweep_contracts)
        market.market(1 - mood.side, size)
        market.wait(market.random.randint(3_000_000, 15_000_000))
        back = int(size * mood.refill)
        if back > 0:
            market.add(mood.side, market.best[mood.side], back)


def _absorb(market: Market, side: int) -> None:
    """One contract traded against the side's best price, and one or two that take its place."""
    tick = market.best[side]
    market.market(1 - side, 1)
    market.wait(market.random.randint(500_000, 3_000_000))
    market.add(side, tick, market.random.randint(1, 2))


def _crowd(market: Market, mood: Mood) -> None:
    """One event of the crowd: the zone's fate, a small trade, or an order come or gone somewhere in the book."""
    draw = market.random.random()
    if mood.zone is not None and draw < mood.wall + mood.pull:
        _zone_event(market, mood, mood.zone)
        return
    if market.random.random() < 0.08:
        _small_trade(market, mood)
        return
    side = market.random.randint(0, 1)
    depth = 0
    if market.random.random() > 0.5:
        depth = market.random.randint(1, 9)
    tick = market.best[side] + market.outwards(side) * depth
    there = market.size(side, tick)
    size = market.random.randint(1, 3)
    adds = there < DEPTH_CONTRACTS * 0.6 or (there < DEPTH_CONTRACTS * 1.4 and market.random.random() < 0.5)
    if mood.zone is not None and side == mood.side and mood.zone[0] <= tick <= mood.zone[1]:
        adds = mood.wall > 0
        if market.random.random() < 0.8 or mood.absorb:
            return
    if adds:
        market.add(side, tick, size)
    elif there > size:
        market.cancel(side, tick, size)


def _small_trade(market: Market, mood: Mood) -> None:
    """A fight has its tape: buyers at a wall of bids, sellers above a vacuum; absorption has its own."""
    if mood.absorb:
        return
    aggressor = market.random.randint(0, 1)
    if mood.zone is not None:
        aggressor = mood.side if mood.wall > 0 else 1 - mood.side
    if market.size(1 - aggressor, market.best[1 - aggressor]) > 12:
        market.market(aggressor, market.random.randint(1, 3))


def _zone_event(market: Market, mood: Mood, zone: tuple[int, int]) -> None:
    """Size comes into the zone, or leaves it without a trade."""
    tick = market.random.randint(*zone)
    behind = (tick - market.best[mood.side]) * market.outwards(mood.side) >= 0
    if not behind:
        return
    if mood.wall > 0:
        market.add(mood.side, tick, market.random.randint(3, 9))
    else:
        left = market.size(mood.side, tick) - 6
        if left > 0:
            market.cancel(mood.side, tick, min(left, market.random.randint(6, 18)))
