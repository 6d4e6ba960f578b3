"""Who trades in the made-up market: a crowd that keeps the book as deep as usual, and actors who stage a fight.

The crowd acts in bursts; it leads the best prices along the phase's path and lets no level stay empty or grow out of
proportion. In a zone that is fought over it stands back, and the phase's actors act, each by its own clock: one fills
the zone or pulls it, one sweeps against it, one sells single contracts into it that an iceberg takes in.
"""

from __future__ import annotations

from common.jit import inlined, kernel
from producers.simulator.book import best, enter, move, outwards, reduce, take, withdraw
from producers.simulator.draws import below, between, exponential, happens, picked
from producers.simulator.records import begin, finish, is_full
from producers.simulator.shapes import (
    BEFORE,
    COUNT,
    DISTANCE,
    HIDDEN,
    NONE,
    ORDER_SIZE,
    SHORT_NS,
    SHOWN,
    SIZE,
    TAIL,
    TRADE_SIZE,
    USUAL,
    World,
)

_NS_PER_MS = 1_000_000
NEVER_NS = 2**62

BURST_CHANCE = 720
"""That the crowd's next event follows at once (of 1024)."""

TRADE_CHANCE = 88
EVASION_CHANCE = 960
"""That who stands in price's way leaves, rather than being traded away."""

RETREAT_CHANCE = 400
"""That a gap between the best prices and the path is filled at once."""

ICEBERG_CHANCE = 40
STAND_BACK_CHANCE = 819
_PULLED_TO = 6
"""Contracts that are left of a tick whose size is pulled."""

NOISE_PAUSES = 10
"""Price strays by a tick after so many of the crowd's pauses, in the mean."""

HOTTER, HOTTEST, HEAT_ONE = 8, 64, 16
LEAST_GAP_NS = 130 * _NS_PER_MS
"""Single contracts this far apart are no sweep (SWEEP_MAX_GAP_MS)."""


@inlined
def _target(w: World, ts_ns: int) -> int:
    """Where the path wants the best bid."""
    mood = w.mood
    passed_ns = min(ts_ns - mood.begin_ns, mood.length_ns)
    way = mood.to_tick - mood.from_tick
    # in milliseconds, so that the product stays far below 2^63
    gone = (way * (passed_ns // _NS_PER_MS)) // max(mood.length_ns // _NS_PER_MS, 1)
    target: int = mood.from_tick + gone + w.market.noise
    return target


@kernel
def _cancel(w: World, side: int, tick: int, wanted: int) -> None:
    """Cancel orders at the end of a queue until ``wanted`` contracts are gone, or all."""
    gone = 0
    while gone < wanted:
        slot = w.ticks[side, tick, TAIL]
        if slot == NONE:
            break
        gone += w.orders[slot, SHOWN]
        withdraw(w, slot, side)


@kernel
def _follow(w: World) -> bool:
    """One order that brings the best prices towards the path; False when they are there."""
    rng = w.rng
    target = _target(w, w.market.now_ns)
    for side in range(2):
        place, here = target + side, best(w, side)
        if (place - here) * outwards(side) > 0:
            quiet = w.mood.wall_ns > 0 or w.mood.absorb > 0
            if quiet or (w.mood.refill == 0 and happens(rng, EVASION_CHANCE)):
                _cancel(w, side, here, between(rng, 4, 24))
            else:
                take(w, 1 - side, min(w.ticks[side, here, SIZE], between(rng, 8, 30)))
            return True
    for side in range(2):
        place, here = target + side, best(w, side)
        if (place - here) * outwards(side) < 0 and happens(rng, RETREAT_CHANCE):
            tick = here - outwards(side)
            enter(w, side, tick, picked(w, ORDER_SIZE), 0, 0)
            w.market.burst_left = between(rng, 25, 50)
            w.market.burst_side = side
            w.market.burst_tick = tick
            return True
    return False


@kernel
def _burst(w: World) -> bool:
    """The next order at a new level; False when it is as deep as it becomes at once."""
    s = w.market
    if s.burst_left <= 0:
        return False
    side, tick = s.burst_side, s.burst_tick
    if (tick - best(w, 1 - side)) * outwards(side) <= 0:
        s.burst_left = 0
        return False
    size = between(w.rng, 1, 5)
    s.burst_left -= size
    enter(w, side, tick, size, 0, 0)
    return True


@kernel
def _crowd_trade(w: World) -> None:
    """A market order. Buyers trade at a wall of bids, sellers above a vacuum; absorption has its own tape."""
    rng = w.rng
    if w.mood.absorb > 0:
        return
    aggressor = below(rng, 2)
    size = picked(w, TRADE_SIZE)
    if w.mood.side != NONE:
        aggressor = w.mood.side if w.mood.wall_ns > 0 else 1 - w.mood.side
        size = min(size, 3)
    resting = 1 - aggressor
    there = w.ticks[resting, best(w, resting), SIZE]
    if size >= there and (w.mood.side != NONE or happens(rng, 900)):
        size = there - 1
    if size > 0:
        take(w, aggressor, size)
        w.market.heat = min(w.market.heat + HOTTER, HOTTEST)


@kernel
def _come_or_go(w: World) -> None:
    """An order comes, changes or goes somewhere in the book, so that levels stay about as deep as usual."""
    rng = w.rng
    side = below(rng, 2)
    distance = picked(w, DISTANCE)
    tick = best(w, side) + outwards(side) * distance
    there, usual = w.ticks[side, tick, SIZE], w.tables[USUAL, distance]
    adds = happens(rng, 512 + (usual - there) * 1024 // usual)
    if side == w.mood.side and w.mood.zone_low <= tick <= w.mood.zone_high:
        if happens(rng, STAND_BACK_CHANCE) or w.mood.absorb > 0:
            return
        adds = w.mood.wall_ns > 0
    if adds:
        size = picked(w, ORDER_SIZE)
        if distance <= 2 and happens(rng, ICEBERG_CHANCE):
            enter(w, side, tick, size + 1, size + 1, between(rng, 4, 40))
        else:
            enter(w, side, tick, size, 0, 0)
        return
    if there > 3 * usual:
        _cancel(w, side, tick, there // 6)
        return
    slot = w.ticks[side, tick, TAIL]
    for _ in range(min(below(rng, 12), below(rng, 12))):
        if slot != NONE and w.orders[slot, BEFORE] != NONE:
            slot = w.orders[slot, BEFORE]
    if slot == NONE or (distance == 0 and w.ticks[side, tick, COUNT] == 1):
        return
    fate = below(rng, 8)
    if fate < 2 and w.orders[slot, SHOWN] > 1:
        reduce(w, slot, side, between(rng, 1, w.orders[slot, SHOWN] - 1))
    elif fate < 4:
        other = best(w, side) + outwards(side) * picked(w, DISTANCE)
        if other != tick and not (side == w.mood.side and w.mood.zone_low <= other <= w.mood.zone_high):
            move(w, slot, side, other)
    else:
        withdraw(w, slot, side)


@kernel
def _crowd(w: World) -> None:
    s, rng = w.market, w.rng
    if s.now_ns >= s.noise_ns:
        s.noise_ns = s.now_ns + exponential(w, NOISE_PAUSES * w.mood.pause_ns)
        s.noise = max(min(s.noise + 2 * below(rng, 2) - 1, w.mood.wobble), -w.mood.wobble)
    hurried = _burst(w) or _follow(w)
    if not hurried:
        if happens(rng, TRADE_CHANCE):
            _crowd_trade(w)
        else:
            _come_or_go(w)
    s.heat -= (s.heat + 15) // 16
    if hurried or happens(rng, BURST_CHANCE):
        s.crowd_ns = s.now_ns + picked(w, SHORT_NS)
    else:
        mean_ns = w.mood.pause_ns * HEAT_ONE // (HEAT_ONE + s.heat)
        s.crowd_ns = s.now_ns + exponential(w, mean_ns)


@kernel
def _zone(w: World) -> None:
    """Size comes into the zone, or leaves it without a trade."""
    rng = w.rng
    side = w.mood.side
    tick = between(rng, w.mood.zone_low, w.mood.zone_high)
    mean_ns = w.mood.wall_ns if w.mood.wall_ns > 0 else w.mood.pull_ns
    w.market.zone_ns = w.market.now_ns + exponential(w, mean_ns)
    if (tick - best(w, side)) * outwards(side) < 0:
        return
    if w.mood.wall_ns > 0:
        enter(w, side, tick, between(rng, 3, 9), 0, 0)
        return
    left = w.ticks[side, tick, SIZE] - _PULLED_TO
    if left > 0:
        _cancel(w, side, tick, min(left, between(rng, 6, 18)))


@kernel
def _sweep(w: World) -> None:
    """Aggressive orders against the side, a few milliseconds apart, and what comes back behind them."""
    s, rng = w.market, w.rng
    side = w.mood.side
    if s.back_size > 0:
        enter(w, side, best(w, side), s.back_size, 0, 0)
        s.back_size = 0
    elif s.sweeps_left > 0:
        size = between(rng, w.mood.sweep_low, w.mood.sweep_high)
        take(w, 1 - side, size)
        s.back_size = size * w.mood.refill // 1024
        s.sweeps_left -= 1
    if s.sweeps_left > 0 or s.back_size > 0:
        s.sweep_ns = s.now_ns + between(rng, 3, 15) * _NS_PER_MS
    else:
        s.sweeps_left = between(rng, 3, 5)
        s.sweep_ns = s.now_ns + w.mood.sweep_ns // 1024 * between(rng, 717, 1331)


@kernel
def _absorb(w: World) -> None:
    """One contract traded against the side's best price, and one or two that take its place beside an iceberg."""
    s, rng = w.market, w.rng
    side = w.mood.side
    tick = best(w, side)
    if s.back_size > 0:
        if w.ticks[side, tick, HIDDEN] == 0:
            enter(w, side, tick, 3, 3, between(rng, 40, 90))
        else:
            enter(w, side, tick, s.back_size, 0, 0)
        s.back_size = 0
        s.absorb_ns = s.now_ns + LEAST_GAP_NS + below(rng, 80) * _NS_PER_MS
    else:
        take(w, 1 - side, 1)
        s.back_size = between(rng, 1, 2)
        s.absorb_ns = s.now_ns + between(rng, 500, 3_000) * 1_000


@kernel
def start(w: World) -> None:
    """A phase begins: the actors' clocks are set."""
    s, now_ns = w.market, w.mood.begin_ns
    s.back_size = 0
    s.sweeps_left = between(w.rng, 3, 5)
    s.zone_ns = now_ns if w.mood.wall_ns > 0 or w.mood.pull_ns > 0 else NEVER_NS
    s.sweep_ns = now_ns + w.mood.sweep_ns // 2 if w.mood.sweep_ns > 0 else NEVER_NS
    s.absorb_ns = now_ns if w.mood.absorb > 0 else NEVER_NS
    s.crowd_ns = max(s.crowd_ns, now_ns)
    s.noise = max(min(s.noise, w.mood.wobble), -w.mood.wobble)


@kernel
def run(w: World, until_ns: int) -> bool:
    """Let the market act until ``until_ns``; False when the buffers have to be emptied before it can go on."""
    s = w.market
    while not is_full(w):
        next_ns = min(s.crowd_ns, s.zone_ns, s.sweep_ns, s.absorb_ns)
        if next_ns >= until_ns:
            return True
        begin(w, next_ns)
        if next_ns == s.crowd_ns:
            _crowd(w)
        elif next_ns == s.zone_ns:
            _zone(w)
        elif next_ns == s.sweep_ns:
            _sweep(w)
        else:
            _absorb(w)
        finish(w)
    return False


@kernel
def fill(w: World, side: int, distance: int) -> None:
    """A level of the first book, as deep as usual."""
    left = w.tables[USUAL, distance]
    while left > 0:
        size = min(left, picked(w, ORDER_SIZE))
        enter(w, side, best(w, side) + outwards(side) * distance, size, 0, 0)
        left -= size
