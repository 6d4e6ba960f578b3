"""SPY's quotes and trades in the made-up session: they follow ES, a few milliseconds later, and a basis wanders."""

from __future__ import annotations

import random
from heapq import heappop, heappush

from producers.simulator.feed import NS_PER_MS, Clock, Message, Underlying, arrival
from producers.simulator.ratio import RTH_OPEN_NS

TRADE_MS, LOOK_MS = 140, 80
"""Mean time between trades, and between looks at what a quote should be."""

FOLLOW_MS = (3, 12)
"""How much later than ES the quote moves."""

BASIS_MAX_E6 = 4_000
VENUES = (11, 12, 15, 19, 21)
TRF = 4
CENTS = 100

ODD_LOT, FORM_T, ISO, EXEMPT, OFFICIAL_OPEN = 37, 12, 14, 41, 16
APART = ((2,), (10,), (52,), (53,))
"""Conditions of trades made at prices that are not the market's: averaged, derived, contingent."""


class Stocks:
    """SPY's messages from ``begin_ns`` on, ``density`` times as many as a demonstration has."""

    def __init__(self, spy: Underlying, seed: int, begin_ns: int, density: int) -> None:
        self._spy = spy
        self._rng = random.Random(f"stocks-{seed}")  # noqa: S311 - a market, not a secret
        self._trades = Clock(self._rng, begin_ns, TRADE_MS // density)
        self._looks = Clock(self._rng, begin_ns, LOOK_MS // density)
        self._seen_ns = begin_ns
        self._followed: list[int] = []
        self._opened = False
        self._basis_e6 = 0
        self._number = 0
        self._bid, self._ask = 0, 0
        self._quoted_ns = 0
        self._out: list[Message] = []

    def until(self, end_ns: int) -> list[Message]:
        """The next messages, of times before ``end_ns``, up to which the underlying is known."""
        self._out = []
        for moved_ns in self._spy.moves_ns(self._seen_ns, end_ns):
            heappush(self._followed, moved_ns + self._rng.randint(*FOLLOW_MS) * NS_PER_MS)
        self._seen_ns = end_ns
        times = [(ts_ns, True) for ts_ns in self._trades.until(end_ns)]
        times += [(ts_ns, False) for ts_ns in self._looks.until(end_ns)]
        while self._followed and self._followed[0] < end_ns:
            times.append((heappop(self._followed), False))
        for ts_ns, is_trade in sorted(times):
            if ts_ns >= RTH_OPEN_NS and not self._opened and self._bid:
                self._opened = True
                self._trade(ts_ns, self._bid, 100, [OFFICIAL_OPEN])
            if is_trade:
                self._usual_trade(ts_ns)
            else:
                self._quote(ts_ns)
        return self._out

    def _quote(self, ts_ns: int) -> None:
        self._basis_e6 += self._rng.randint(-300, 300)
        self._basis_e6 = max(-BASIS_MAX_E6, min(BASIS_MAX_E6, self._basis_e6))
        fair = self._spy.at(ts_ns - FOLLOW_MS[0] * NS_PER_MS) + self._basis_e6 / 1e6
        bid = int(fair * CENTS)
        ask = bid + (1 if self._rng.random() < 0.95 else 2)
        if (bid, ask) == (self._bid, self._ask) and ts_ns - self._quoted_ns < 40 * NS_PER_MS:
            return
        self._bid, self._ask, self._quoted_ns = bid, ask, ts_ns
        sizes = [self._rng.randint(1, 12) * 100 for _ in range(2)]
        bid_venue, ask_venue = self._rng.choice(VENUES), self._rng.choice(VENUES)
        quote = {"bx": bid_venue, "bp": bid / CENTS, "bs": sizes[0], "ax": ask_venue, "ap": ask / CENTS, "as": sizes[1]}
        self._add(ts_ns, {"ev": "Q", "sym": "SPY", **quote, "c": 1, "z": 2})

    def _usual_trade(self, ts_ns: int) -> None:
        if not self._bid:
            return
        rng = self._rng
        buys = rng.random() < 0.5 + 0.2 * self._spy.moved(ts_ns)
        price = self._ask if buys else self._bid
        size = rng.randint(1, 99) if rng.random() < 0.4 else rng.choice((100, 100, 100, 200, 300))
        conditions = [ISO, EXEMPT] if rng.random() < 0.4 else []
        if rng.random() < 0.03:
            conditions = list(rng.choice(APART))
            price += rng.randint(-30, 30)
        if size < 100:
            conditions.append(ODD_LOT)
        self._trade(ts_ns, price, size, conditions)

    def _trade(self, ts_ns: int, price: int, size: int, conditions: list[int]) -> None:
        if ts_ns < RTH_OPEN_NS:
            conditions = [*conditions, FORM_T]
        venue = TRF if self._rng.random() < 0.35 else self._rng.choice(VENUES)
        trade = {"x": venue, "i": str(50_000 + self._number), "z": 2, "p": price / CENTS, "s": size, "c": conditions}
        reported = {"trfi": 202, "trft": ts_ns // NS_PER_MS} if venue == TRF else {}
        self._add(ts_ns, {"ev": "T", "sym": "SPY", **trade, **reported})

    def _add(self, ts_ns: int, body: dict[str, object]) -> None:
        self._number += self._rng.randint(1, 4)
        stamped = {**body, "t": ts_ns // NS_PER_MS, "q": self._number}
        self._out.append(Message(arrival(self._rng, ts_ns, 2, 4, 60), "stocks", stamped))
