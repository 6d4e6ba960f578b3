"""The order book: queues of orders per tick, first come first served, and every change told as it happens.

An event is opened with :func:`records.begin` and closed with :func:`records.finish`; what lies between has one time.
Ticks count from the book's own base.
"""

from __future__ import annotations

from common.jit import inlined, kernel
from producers.simulator.records import tell_cause, tell_order, tell_shown, tell_trade
from producers.simulator.shapes import (
    ADD,
    AFTER,
    ASK,
    BEFORE,
    CANCEL,
    COUNT,
    EMPTY,
    FILL,
    HEAD,
    HIDDEN,
    LEVELS,
    NONE,
    ORDER_ID,
    PEAK,
    REPLENISHED,
    RESERVE,
    SHOWN,
    SIZE,
    SPAN_TICKS,
    TAIL,
    TICK,
    World,
)

_ADD, _CANCEL, _FILL, _REPLENISHED, _NONE, _ASK, _LEVELS = ADD, CANCEL, FILL, REPLENISHED, NONE, ASK, LEVELS
_LETTER_ADD, _LETTER_CANCEL, _LETTER_MODIFY, _LETTER_TRADE, _LETTER_FILL = (ord(letter) for letter in "ACMTF")


@inlined
def outwards(side: int) -> int:
    """Tick step away from the middle of the book."""
    return 1 if side == _ASK else -1


@inlined
def best(w: World, side: int) -> int:
    """The side's best tick."""
    tick: int = w.market.best[side]
    return tick


@inlined
def _link(w: World, slot: int, side: int, tick: int) -> None:
    """Put an order at the end of a queue; totals are the caller's."""
    last = w.ticks[side, tick, TAIL]
    w.orders[slot, TICK] = tick
    w.orders[slot, BEFORE] = last
    w.orders[slot, AFTER] = _NONE
    if last == _NONE:
        w.ticks[side, tick, HEAD] = slot
    else:
        w.orders[last, AFTER] = slot
    w.ticks[side, tick, TAIL] = slot


@inlined
def _unlink(w: World, slot: int, side: int, tick: int) -> None:
    prior, later = w.orders[slot, BEFORE], w.orders[slot, AFTER]
    if prior == _NONE:
        w.ticks[side, tick, HEAD] = later
    else:
        w.orders[prior, AFTER] = later
    if later == _NONE:
        w.ticks[side, tick, TAIL] = prior
    else:
        w.orders[later, BEFORE] = prior


@kernel
def _look(w: World, side: int) -> None:
    """Find the side's best ten levels anew, from the tick that may be its best."""
    step = outwards(side)
    tick = w.market.best[side]
    while 0 <= tick < SPAN_TICKS and w.ticks[side, tick, COUNT] == 0:
        tick += step
    w.market.best[side] = tick
    found = 0
    while found < _LEVELS and 0 <= tick < SPAN_TICKS:
        if w.ticks[side, tick, COUNT] > 0:
            w.levels[side, found, 0] = tick
            w.levels[side, found, 1] = w.ticks[side, tick, SIZE]
            w.levels[side, found, 2] = w.ticks[side, tick, COUNT]
            found += 1
        tick += step
    w.market.tenth[side] = tick - step
    while found < _LEVELS:
        w.levels[side, found, 0] = _NONE
        found += 1


@kernel
def _changed(w: World, letter: int, side: int, tick: int, size: int) -> None:
    """The tick's totals have changed: show it when it is among the ten best, or was."""
    step = outwards(side)
    if (tick - w.market.tenth[side]) * step > 0:
        return
    if (tick - w.market.best[side]) * step < 0:
        w.market.best[side] = tick
    _look(w, side)
    tell_shown(w, letter, side, tick, size)


@kernel
def enter(w: World, side: int, tick: int, size: int, peak: int, reserve: int) -> None:
    """A new limit order, which must not cross; ``peak`` and ``reserve`` are an iceberg's, else 0."""
    w.market.free -= 1
    slot = w.orders[w.market.free, EMPTY]
    w.market.next_id += 1
    w.orders[slot, ORDER_ID] = w.market.next_id
    w.orders[slot, SHOWN] = size
    w.orders[slot, PEAK] = peak
    w.orders[slot, RESERVE] = reserve
    w.ticks[side, tick, SIZE] += size
    w.ticks[side, tick, HIDDEN] += reserve
    w.ticks[side, tick, COUNT] += 1
    _link(w, slot, side, tick)
    tell_order(w, _LETTER_ADD, side, tick, size, w.orders[slot, ORDER_ID])
    tell_cause(w, side, tick, size, _ADD)
    _changed(w, _LETTER_ADD, side, tick, size)


@kernel
def withdraw(w: World, slot: int, side: int) -> None:
    """Cancel an order, with what it hides."""
    tick, size = w.orders[slot, TICK], w.orders[slot, SHOWN]
    _unlink(w, slot, side, tick)
    w.ticks[side, tick, SIZE] -= size
    w.ticks[side, tick, HIDDEN] -= w.orders[slot, RESERVE]
    w.ticks[side, tick, COUNT] -= 1
    w.orders[w.market.free, EMPTY] = slot
    w.market.free += 1
    tell_order(w, _LETTER_CANCEL, side, tick, size, w.orders[slot, ORDER_ID])
    tell_cause(w, side, tick, size, _CANCEL)
    _changed(w, _LETTER_CANCEL, side, tick, size)


@kernel
def reduce(w: World, slot: int, side: int, size: int) -> None:
    """Take ``size`` (less than there is) off an order, which keeps its place."""
    tick = w.orders[slot, TICK]
    w.orders[slot, SHOWN] -= size
    w.ticks[side, tick, SIZE] -= size
    tell_order(w, _LETTER_MODIFY, side, tick, w.orders[slot, SHOWN], w.orders[slot, ORDER_ID])
    tell_cause(w, side, tick, size, _CANCEL)
    _changed(w, _LETTER_MODIFY, side, tick, w.orders[slot, SHOWN])


@kernel
def move(w: World, slot: int, side: int, tick: int) -> None:
    """Change an order's price: it goes to the end of the other queue. One record, as the exchange sends it."""
    old, size, reserve = w.orders[slot, TICK], w.orders[slot, SHOWN], w.orders[slot, RESERVE]
    _unlink(w, slot, side, old)
    w.ticks[side, old, SIZE] -= size
    w.ticks[side, old, HIDDEN] -= reserve
    w.ticks[side, old, COUNT] -= 1
    _link(w, slot, side, tick)
    w.ticks[side, tick, SIZE] += size
    w.ticks[side, tick, HIDDEN] += reserve
    w.ticks[side, tick, COUNT] += 1
    tell_order(w, _LETTER_MODIFY, side, tick, size, w.orders[slot, ORDER_ID])
    tell_cause(w, side, old, size, _CANCEL)
    tell_cause(w, side, tick, size, _ADD)
    step = outwards(side)
    tenth = w.market.tenth[side]
    nearer = tick if (tick - old) * step < 0 else old
    if (nearer - tenth) * step > 0:
        return
    if (tick - w.market.best[side]) * step < 0:
        w.market.best[side] = tick
    _look(w, side)
    tell_shown(w, _LETTER_MODIFY, side, tick, size)


@kernel
def _replenish(w: World, slot: int, side: int, tick: int) -> None:
    """An iceberg's next piece comes up, at the end of the queue."""
    size = min(w.orders[slot, PEAK], w.orders[slot, RESERVE])
    w.orders[slot, RESERVE] -= size
    w.orders[slot, SHOWN] = size
    w.ticks[side, tick, SIZE] += size
    w.ticks[side, tick, HIDDEN] -= size
    w.ticks[side, tick, COUNT] += 1
    _link(w, slot, side, tick)
    tell_order(w, _LETTER_ADD, side, tick, size, w.orders[slot, ORDER_ID])
    tell_cause(w, side, tick, size, _REPLENISHED)
    _changed(w, _LETTER_ADD, side, tick, size)


@kernel
def _trade_at(w: World, side: int, tick: int, size: int) -> None:
    """Fill the first ``size`` contracts of a queue, hidden ones included."""
    while size > 0:
        slot = w.ticks[side, tick, HEAD]
        order_id = w.orders[slot, ORDER_ID]
        filled = min(size, w.orders[slot, SHOWN])
        size -= filled
        tell_order(w, _LETTER_FILL, side, tick, filled, order_id)
        w.orders[slot, SHOWN] -= filled
        w.ticks[side, tick, SIZE] -= filled
        tell_cause(w, side, tick, filled, _FILL)
        if w.orders[slot, SHOWN] > 0:
            tell_order(w, _LETTER_MODIFY, side, tick, w.orders[slot, SHOWN], order_id)
            _changed(w, _LETTER_MODIFY, side, tick, w.orders[slot, SHOWN])
            continue
        _unlink(w, slot, side, tick)
        w.ticks[side, tick, COUNT] -= 1
        tell_order(w, _LETTER_CANCEL, side, tick, filled, order_id)
        _changed(w, _LETTER_CANCEL, side, tick, filled)
        if w.orders[slot, RESERVE] > 0:
            _replenish(w, slot, side, tick)
        else:
            w.orders[w.market.free, EMPTY] = slot
            w.market.free += 1


@kernel
def take(w: World, aggressor: int, size: int) -> None:
    """A market order: trades with the best levels of the other side, all at one time."""
    resting = 1 - aggressor
    while size > 0:
        tick = w.market.best[resting]
        traded = min(size, w.ticks[resting, tick, SIZE] + w.ticks[resting, tick, HIDDEN])
        if traded == 0:
            return
        tell_trade(w, aggressor, tick, traded)
        _trade_at(w, resting, tick, traded)
        size -= traded
