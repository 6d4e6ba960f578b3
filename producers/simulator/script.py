"""What happens in the made-up session: a walk between round levels, at each of which a wall stands or a vacuum opens.

A level rejects when its zone is replenished and the tape is quiet (core.md: WALL), and breaks when the zone is pulled
without trades while the tape sweeps towards it (VACUUM and sweep). Sizes and times are chosen for core.md's thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

from producers.simulator.market import ASK, BID, DEPTH_CONTRACTS, Market

START_NS = 1_748_961_000_000_000_000
"""2025-06-03 14:30 UTC, inside a regular session."""

TICKS_PER_POINT = 4
START_TICK = 6003 * TICKS_PER_POINT
ZONE_TICKS = 2
NS_PER_S = 1_000_000_000
PAUSE_NS = 4_500_000
"""Mean time between two events."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Price comes to ``level_points`` against its defending ``side`` (BID: support) and breaks it or not."""

    level_points: int
    side: int
    breaks: bool
    leave_points: float


EPISODES = (
    Episode(6000, BID, False, 6003.5),
    Episode(6000, BID, True, 5996.0),
    Episode(6000, ASK, False, 5995.0),
    Episode(5990, BID, True, 5986.0),
    Episode(5990, ASK, True, 5995.0),
    Episode(6000, ASK, True, 6004.0),
    Episode(6010, ASK, False, 6003.0),
)
"""One round of about three and a half minutes, which ends where it begins."""


@dataclass(frozen=True, slots=True)
class Mood:
    """How the crowd behaves in a phase. ``zone``: ticks that ``side`` defends; ``None``: an ordinary market.

    ``wall`` and ``pull`` are the chances per event that the zone gets or loses size; ``sweep_s`` is the mean time
    between sweeps against it, None for a quiet tape.
    """

    side: int = BID
    zone: tuple[int, int] | None = None
    wall: float = 0.0
    pull: float = 0.0
    sweep_s: float | None = None


ORDINARY = Mood()


def play(market: Market, length_ns: int) -> None:
    """Run rounds of episodes until ``length_ns`` have passed."""
    end_ns = market.ts_ns + length_ns
    _walk(market, START_TICK, START_TICK, 16.0, ORDINARY, end_ns)
    while market.ts_ns < end_ns:
        for episode in EPISODES:
            _play_one(market, episode, end_ns)


def _play_one(market: Market, episode: Episode, end_ns: int) -> None:
    """Approach, the fight at the level, and what follows. ``away`` is the tick step from the level to the approach."""
    level = episode.level_points * TICKS_PER_POINT
    away = 1 if episode.side == BID else -1
    zone = (level - ZONE_TICKS, level + ZONE_TICKS)
    here = market.best[BID]
    leave = round(episode.leave_points * TICKS_PER_POINT)

    def place(ticks_away: int) -> int:
        """Best bid at which the defending side's best price is so far from the level."""
        return level + away * ticks_away - (0 if episode.side == BID else 1)

    seconds = 4.0 + abs(here - level) / 7.0
    if episode.breaks:
        near, closer = place(6), place(4)
        _walk(market, here, near, seconds, ORDINARY, end_ns)
        _walk(market, near, near, 3.0, ORDINARY, end_ns)
        pulled = Mood(episode.side, zone, pull=0.5, sweep_s=0.6)
        _walk(market, near, near, 3.0, pulled, end_ns)
        _walk(market, near, closer, 5.5, pulled, end_ns)
        _walk(market, closer, leave, 4.0, Mood(episode.side, zone, pull=0.2, sweep_s=0.6), end_ns)
    else:
        touch = place(1)
        _walk(market, here, touch, seconds, ORDINARY, end_ns)
        _walk(market, touch, touch, 11.0, Mood(episode.side, zone, wall=0.12), end_ns)
        _walk(market, touch, leave, 5.0, ORDINARY, end_ns)
    _walk(market, leave, leave, 3.0, ORDINARY, end_ns)


def _walk(market: Market, begin: int, end: int, seconds: float, mood: Mood, end_ns: int) -> None:
    """Lead the best bid from ``begin`` to ``end`` in ``seconds`` of events."""
    begin_ns = market.ts_ns
    length_ns = round(seconds * NS_PER_S)
    sweep_ns = begin_ns + round((mood.sweep_s or 0.0) * NS_PER_S / 2)
    while market.ts_ns < min(begin_ns + length_ns, end_ns):
        market.wait(1 + int(-PAUSE_NS * _log(1.0 - market.random.random())))
        share = min((market.ts_ns - begin_ns) / length_ns, 1.0)
        target = round(begin + (end - begin) * share)
        if mood.sweep_s is not None and market.ts_ns >= sweep_ns:
            _sweep(market, mood.side)
            sweep_ns = market.ts_ns + round(mood.sweep_s * NS_PER_S * (0.7 + 0.6 * market.random.random()))
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
            quiet = mood.wall > 0
            if quiet or market.random.random() < 0.5:
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


def _sweep(market: Market, side: int) -> None:
    """Aggressive orders against ``side``, a few milliseconds apart."""
    for _ in range(market.random.randint(3, 5)):
        market.market(1 - side, market.random.randint(8, 16))
        market.wait(market.random.randint(3_000_000, 15_000_000))


def _crowd(market: Market, mood: Mood) -> None:
    """One event of the crowd: the zone's fate, a small trade, or an order come or gone somewhere in the book."""
    draw = market.random.random()
    if mood.zone is not None and draw < mood.wall + mood.pull:
        _zone_event(market, mood)
        return
    if market.random.random() < 0.05:
        # a fight has its tape: buyers at a wall of bids, sellers above a vacuum
        aggressor = market.random.randint(0, 1)
        if mood.zone is not None:
            aggressor = mood.side if mood.wall > 0 else 1 - mood.side
        if market.size(1 - aggressor, market.best[1 - aggressor]) > 12:
            market.market(aggressor, market.random.randint(1, 3))
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
        if market.random.random() < 0.8:
            return
    if adds:
        market.add(side, tick, size)
    elif there > size:
        market.cancel(side, tick, size)


def _zone_event(market: Market, mood: Mood) -> None:
    """Size comes into the zone, or leaves it without a trade."""
    assert mood.zone is not None
    tick = market.random.randint(*mood.zone)
    behind = (tick - market.best[mood.side]) * market.outwards(mood.side) >= 0
    if not behind:
        return
    if mood.wall > 0:
        market.add(mood.side, tick, market.random.randint(3, 9))
    else:
        left = market.size(mood.side, tick) - 6
        if left > 0:
            market.cancel(mood.side, tick, min(left, market.random.randint(6, 18)))
