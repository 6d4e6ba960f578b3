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
    ABSORB_NS,
    BACK_SIZE,
    BEFORE,
    BURST_LEFT,
    BURST_SIDE,
    BURST_TICK,
    COUNT,
    CROWD_NS,
    DISTANCE,
    HEAT,
    HIDDEN,
    M_ABSORB,
    M_BEGIN_NS,
    M_FROM,
    M_LENGTH_NS,
    M_PAUSE_NS,
    M_PULL_NS,
    M_REFILL,
    M_SIDE,
    M_SWEEP_HIGH,
    M_SWEEP_LOW,
    M_SWEEP_NS,
    M_TO,
    M_WALL_NS,
    M_WOBBLE,
    M_ZONE_HIGH,
    M_ZONE_LOW,
    NOISE,
    NOISE_NS,
    NONE,
    NOW,
    ORDER_SIZE,
    SHORT_NS,
    SHOWN,
    SIZE,
    SWEEP_NS,
    SWEEPS_LEFT,
    TAIL,
    TRADE_SIZE,
    USUAL,
    ZONE_NS,
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
    s = w.s
    passed_ns = min(ts_ns - s[M_BEGIN_NS], s[M_LENGTH_NS])
    way = s[M_TO] - s[M_FROM]
    # in milliseconds, so that the product stays far below 2^63
    target: int = s[M_FROM] + (way * (passed_ns // _NS_PER_MS)) // max(s[M_LENGTH_NS] // _NS_PER_MS, 1) + s[NOISE]
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
    s, rng = w.s, w.rng
    target = _target(w, w.s[NOW])
    for side in range(2):
        place, here = target + side, best(w, side)
        if (place - here) * outwards(side) > 0:
            quiet = s[M_WALL_NS] > 0 or s[M_ABSORB] > 0
            if quiet or (s[M_REFILL] == 0 and happens(rng, EVASION_CHANCE)):
                _cancel(w, side, here, between(rng, 4, 24))
            else:
                take(w, 1 - side, min(w.ticks[side, here, SIZE], between(rng, 8, 30)))
            return True
    for side in range(2):
        place, here = target + side, best(w, side)
        if (place - here) * outwards(side) < 0 and happens(rng, RETREAT_CHANCE):
            tick = here - outwards(side)
            enter(w, side, tick, picked(w, ORDER_SIZE), 0, 0)
            w.s[BURST_LEFT] = between(rng, 25, 50)
            w.s[BURST_SIDE] = side
            w.s[BURST_TICK] = tick
            return True
    return False


@kernel
def _burst(w: World) -> bool:
    """The next order at a new level; False when it is as deep as it becomes at once."""
    s = w.s
    if s[BURST_LEFT] <= 0:
        return False
    side, tick = s[BURST_SIDE], s[BURST_TICK]
    if (tick - best(w, 1 - side)) * outwards(side) <= 0:
        s[BURST_LEFT] = 0
        return False
    size = between(w.rng, 1, 5)
    s[BURST_LEFT] -= size
    enter(w, side, tick, size, 0, 0)
    return True


@kernel
def _crowd_trade(w: World) -> None:
    """A market order. Buyers trade at a wall of bids, sellers above a vacuum; absorption has its own tape."""
    s, rng = w.s, w.rng
    if s[M_ABSORB] > 0:
        return
    aggressor = below(rng, 2)
    size = picked(w, TRADE_SIZE)
    if s[M_SIDE] != NONE:
        aggressor = s[M_SIDE] if s[M_WALL_NS] > 0 else 1 - s[M_SIDE]
        size = min(size, 3)
    resting = 1 - aggressor
    there = w.ticks[resting, best(w, resting), SIZE]
    if size >= there and (s[M_SIDE] != NONE or happens(rng, 900)):
        size = there - 1
    if size > 0:
        take(w, aggressor, size)
        w.s[HEAT] = min(w.s[HEAT] + HOTTER, HOTTEST)


@kernel
def _come_or_go(w: World) -> None:
    """An order comes, changes or goes somewhere in the book, so that levels stay about as deep as usual."""
    s, rng = w.s, w.rng
    side = below(rng, 2)
    distance = picked(w, DISTANCE)
    tick = best(w, side) + outwards(side) * distance
    there, usual = w.ticks[side, tick, SIZE], w.tables[USUAL, distance]
    adds = happens(rng, 512 + (usual - there) * 1024 // usual)
    if side == s[M_SIDE] and s[M_ZONE_LOW] <= tick <= s[M_ZONE_HIGH]:
        if happens(rng, STAND_BACK_CHANCE) or s[M_ABSORB] > 0:
            return
        adds = s[M_WALL_NS] > 0
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
        if other != tick and not (side == s[M_SIDE] and s[M_ZONE_LOW] <= other <= s[M_ZONE_HIGH]):
            move(w, slot, side, other)
    else:
        withdraw(w, slot, side)


@kernel
def _crowd(w: World) -> None:
    s, rng = w.s, w.rng
    if s[NOW] >= s[NOISE_NS]:
        s[NOISE_NS] = s[NOW] + exponential(w, NOISE_PAUSES * s[M_PAUSE_NS])
        s[NOISE] = max(min(s[NOISE] + 2 * below(rng, 2) - 1, s[M_WOBBLE]), -s[M_WOBBLE])
    hurried = _burst(w) or _follow(w)
    if not hurried:
        if happens(rng, TRADE_CHANCE):
            _crowd_trade(w)
        else:
            _come_or_go(w)
    s[HEAT] -= (s[HEAT] + 15) // 16
    if hurried or happens(rng, BURST_CHANCE):
        s[CROWD_NS] = s[NOW] + picked(w, SHORT_NS)
    else:
        mean_ns = s[M_PAUSE_NS] * HEAT_ONE // (HEAT_ONE + s[HEAT])
        s[CROWD_NS] = s[NOW] + exponential(w, mean_ns)


@kernel
def _zone(w: World) -> None:
    """Size comes into the zone, or leaves it without a trade."""
    s, rng = w.s, w.rng
    side = s[M_SIDE]
    tick = between(rng, s[M_ZONE_LOW], s[M_ZONE_HIGH])
    mean_ns = s[M_WALL_NS] if s[M_WALL_NS] > 0 else s[M_PULL_NS]
    w.s[ZONE_NS] = w.s[NOW] + exponential(w, mean_ns)
    if (tick - best(w, side)) * outwards(side) < 0:
        return
    if s[M_WALL_NS] > 0:
        enter(w, side, tick, between(rng, 3, 9), 0, 0)
        return
    left = w.ticks[side, tick, SIZE] - _PULLED_TO
    if left > 0:
        _cancel(w, side, tick, min(left, between(rng, 6, 18)))


@kernel
def _sweep(w: World) -> None:
    """Aggressive orders against the side, a few milliseconds apart, and what comes back behind them."""
    s, rng = w.s, w.rng
    side = s[M_SIDE]
    if s[BACK_SIZE] > 0:
        enter(w, side, best(w, side), s[BACK_SIZE], 0, 0)
        s[BACK_SIZE] = 0
    elif s[SWEEPS_LEFT] > 0:
        size = between(rng, s[M_SWEEP_LOW], s[M_SWEEP_HIGH])
        take(w, 1 - side, size)
        s[BACK_SIZE] = size * s[M_REFILL] // 1024
        s[SWEEPS_LEFT] -= 1
    if s[SWEEPS_LEFT] > 0 or s[BACK_SIZE] > 0:
        s[SWEEP_NS] = s[NOW] + between(rng, 3, 15) * _NS_PER_MS
    else:
        s[SWEEPS_LEFT] = between(rng, 3, 5)
        s[SWEEP_NS] = s[NOW] + s[M_SWEEP_NS] // 1024 * between(rng, 717, 1331)


@kernel
def _absorb(w: World) -> None:
    """One contract traded against the side's best price, and one or two that take its place beside an iceberg."""
    s, rng = w.s, w.rng
    side = s[M_SIDE]
    tick = best(w, side)
    if s[BACK_SIZE] > 0:
        if w.ticks[side, tick, HIDDEN] == 0:
            enter(w, side, tick, 3, 3, between(rng, 40, 90))
        else:
            enter(w, side, tick, s[BACK_SIZE], 0, 0)
        s[BACK_SIZE] = 0
        s[ABSORB_NS] = s[NOW] + LEAST_GAP_NS + below(rng, 80) * _NS_PER_MS
    else:
        take(w, 1 - side, 1)
        s[BACK_SIZE] = between(rng, 1, 2)
        s[ABSORB_NS] = s[NOW] + between(rng, 500, 3_000) * 1_000


@kernel
def start(w: World) -> None:
    """A phase begins: the actors' clocks are set."""
    s, now_ns = w.s, w.s[M_BEGIN_NS]
    s[BACK_SIZE] = 0
    s[SWEEPS_LEFT] = between(w.rng, 3, 5)
    s[ZONE_NS] = now_ns if s[M_WALL_NS] > 0 or s[M_PULL_NS] > 0 else NEVER_NS
    s[SWEEP_NS] = now_ns + s[M_SWEEP_NS] // 2 if s[M_SWEEP_NS] > 0 else NEVER_NS
    s[ABSORB_NS] = now_ns if s[M_ABSORB] > 0 else NEVER_NS
    s[CROWD_NS] = max(s[CROWD_NS], now_ns)
    s[NOISE] = max(min(s[NOISE], s[M_WOBBLE]), -s[M_WOBBLE])


@kernel
def run(w: World, until_ns: int) -> bool:
    """Let the market act until ``until_ns``; False when the buffers have to be emptied before it can go on."""
    s = w.s
    while not is_full(w):
        next_ns = min(s[CROWD_NS], s[ZONE_NS], s[SWEEP_NS], s[ABSORB_NS])
        if next_ns >= until_ns:
            return True
        begin(w, next_ns)
        if next_ns == s[CROWD_NS]:
            _crowd(w)
        elif next_ns == s[ZONE_NS]:
            _zone(w)
        elif next_ns == s[SWEEP_NS]:
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
