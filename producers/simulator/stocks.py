"""SPY's quotes and trades in the made-up session: they follow ES, a few milliseconds later, and a basis wanders."""

from __future__ import annotations

import random
from collections.abc import Iterator

from producers.simulator.feed import NS_PER_MS, Message, Underlying, arrival, pauses
from producers.simulator.ratio import NS_PER_S, START_NS

RTH_OPEN_NS = START_NS + 30 * NS_PER_S
"""2025-06-03 13:30 UTC."""

FOLLOW_MS = (3, 12)
"""How much later than ES the quote moves."""

BASIS_MAX_E6 = 4_000
VENUES = (11, 12, 15, 19, 21)
TRF = 4
CENTS = 100

ODD_LOT, FORM_T, ISO, EXEMPT, OFFICIAL_OPEN = 37, 12, 14, 41, 16
APART = ((2,), (10,), (52,), (53,))
"""Conditions of trades made at prices that are not the market's: averaged, derived, contingent."""


def stock_messages(spy: Underlying, seed: int) -> list[Message]:
    """Quotes and trades of SPY, in the order of their times."""
    return _Stocks(spy, random.Random(f"stocks-{seed}")).run()  # noqa: S311 - a market, not a secret


class _Stocks:
    def __init__(self, spy: Underlying, rng: random.Random) -> None:
        self._spy = spy
        self._rng = rng
        self._basis_e6 = 0
        self._number = 0
        self._bid, self._ask = 0, 0
        self._quoted_ns = 0
        self._out: list[Message] = []

    def run(self) -> list[Message]:
        trades = pauses(self._rng, self._spy.begin_ns, self._spy.end_ns, 140)
        times = [(ts_ns, True) for ts_ns in trades]
        times += [(ts_ns, False) for ts_ns in self._quote_times()]
        opened = False
        for ts_ns, is_trade in sorted(times):
            if ts_ns >= RTH_OPEN_NS and not opened and self._bid:
                opened = True
                self._trade(ts_ns, self._bid, 100, [OFFICIAL_OPEN])
            if is_trade:
                self._usual_trade(ts_ns)
            else:
                self._quote(ts_ns)
        return self._out

    def _quote_times(self) -> Iterator[int]:
        for moved_ns in self._spy.moves_ns:
            yield moved_ns + self._rng.randint(*FOLLOW_MS) * NS_PER_MS
        yield from pauses(self._rng, self._spy.begin_ns, self._spy.end_ns, 80)

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
