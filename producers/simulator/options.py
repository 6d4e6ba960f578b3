"""SPY's options of the made-up session, all expiring that day: quotes, customers' trades in phases, chain snapshots."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from producers.massive.symbols import PUT, OptionSymbol
from producers.simulator.feed import NS_PER_MS, Clock, Message, Underlying, arrival
from producers.simulator.pricing import Value, value
from producers.simulator.ratio import CLOSE_NS, NS_PER_S, START_NS
from producers.simulator.script import Fuel

EXPIRY_DAY = START_NS // (86_400 * NS_PER_S)
EXPIRY = "2025-06-03"
STRIKES = range(589, 606)
LIVELY_USD = 4.0
"""Strikes this near to spot are quoted often."""

LIVELY_NS = NS_PER_S // 2
CHAIN_S = 30
TRADE_MS, LOOK_MS = 170, 100
QUOTE_VENUES = (300, 302, 303, 309, 312, 313, 316)
AUTOMATIC, SWEEP, AUCTION, MULTI_LEG = 209, 219, 227, 232

SIZES: dict[Fuel, tuple[int, int]] = {"NEUTRAL": (1, 12), "AMPLIFY": (10, 60), "DAMPEN": (10, 60)}
BUYS: dict[Fuel, float] = {"NEUTRAL": 0.5, "AMPLIFY": 0.88, "DAMPEN": 0.12}
"""Share of customers' trades that buy: who buys options leaves dealers short of gamma."""


@dataclass(slots=True)
class _Contract:
    strike: int
    right: int
    bid: int = 0
    ask: int = 0
    quoted_ns: int = 0
    traded: tuple[int, int, int] = (0, 0, 0)  # ns, cents, contracts

    @property
    def ticker(self) -> str:
        return str(OptionSymbol("SPY", EXPIRY_DAY, self.right, self.strike * 1_000))


class Options:
    """The options' messages from ``begin_ns`` on, ``density`` times as many as a demonstration has."""

    def __init__(self, spy: Underlying, seed: int, begin_ns: int, density: int) -> None:
        self._spy = spy
        self._rng = random.Random(f"options-{seed}")  # noqa: S311 - a market, not a secret
        self._chain_ns = begin_ns + NS_PER_S
        self._looks = Clock(self._rng, begin_ns, LOOK_MS // density)
        self._trades = Clock(self._rng, begin_ns + 2 * NS_PER_S, TRADE_MS // density)
        self._fuel: Fuel = "NEUTRAL"
        self._contracts = {(k, right): _Contract(k, right) for k in STRIKES for right in (0, PUT)}
        self._number = 0
        self._out: list[Message] = []

    def until(self, end_ns: int, fuel: Fuel) -> list[Message]:
        """The next messages, of times before ``end_ns``, while customers trade so that dealers come to ``fuel``."""
        self._out = []
        self._fuel = fuel
        times = [(ts_ns, 1) for ts_ns in self._looks.until(end_ns)]
        times += [(ts_ns, 2) for ts_ns in self._trades.until(end_ns)]
        while self._chain_ns < end_ns:
            times.append((self._chain_ns, 0))
            self._chain_ns += CHAIN_S * NS_PER_S
        for ts_ns, what in sorted(times):
            (self._snapshot, self._look, self._trade)[what](ts_ns)
        return self._out

    def _value(self, contract: _Contract, ts_ns: int) -> Value:
        spot = self._spy.at(ts_ns)
        left_ns = max(CLOSE_NS - ts_ns, NS_PER_S)
        return value(spot, contract.strike, left_ns, is_put=contract.right == PUT)

    def _prices(self, contract: _Contract, ts_ns: int) -> tuple[int, int]:
        """Bid and ask in cents; a bid of 0 is none."""
        cents = self._value(contract, ts_ns).price * 100.0
        half = 0.7 + cents / 200.0
        return max(math.floor(cents - half), 0), max(math.ceil(cents + half), 1)

    def _look(self, ts_ns: int) -> None:
        """Quote what has moved: near strikes at most twice a second, others now and then."""
        spot = self._spy.at(ts_ns)
        for contract in self._contracts.values():
            lively = abs(contract.strike - spot) <= LIVELY_USD
            age_ns = ts_ns - contract.quoted_ns
            if age_ns < (LIVELY_NS if lively else 10 * NS_PER_S):
                continue
            if self._prices(contract, ts_ns) != (contract.bid, contract.ask) or age_ns > 20 * NS_PER_S:
                self._quote(contract, ts_ns + self._rng.randint(0, 40) * NS_PER_MS)

    def _quote(self, contract: _Contract, ts_ns: int) -> None:
        contract.bid, contract.ask = self._prices(contract, ts_ns)
        contract.quoted_ns = ts_ns
        bid_size = self._rng.randint(5, 400) if contract.bid else 0
        sides = {"bp": contract.bid / 100, "ap": contract.ask / 100, "bs": bid_size, "as": self._rng.randint(5, 400)}
        venues = {"bx": self._rng.choice(QUOTE_VENUES), "ax": self._rng.choice(QUOTE_VENUES)}
        self._add(ts_ns, {"ev": "Q", "sym": contract.ticker, **venues, **sides})

    def _trade(self, ts_ns: int) -> None:
        fuel = self._fuel
        contract = self._chosen(fuel, self._spy.at(ts_ns))
        if ts_ns - contract.quoted_ns > NS_PER_S or self._prices(contract, ts_ns) != (contract.bid, contract.ask):
            self._quote(contract, max(ts_ns - self._rng.randint(5, 30) * NS_PER_MS, contract.quoted_ns))
        buys = self._rng.random() < BUYS[fuel] or contract.bid == 0
        condition = self._rng.choice((AUTOMATIC, AUTOMATIC, AUTOMATIC, SWEEP, AUCTION))
        cents = contract.ask if buys else contract.bid
        if self._rng.random() < 0.05:
            condition, cents = MULTI_LEG, (contract.bid + contract.ask + 1) // 2
        size = self._rng.randint(*SIZES[fuel])
        contract.traded = (ts_ns, cents, size)
        trade = {"x": self._rng.choice(QUOTE_VENUES), "p": cents / 100, "s": size, "c": [condition]}
        self._add(ts_ns, {"ev": "T", "sym": contract.ticker, **trade})

    def _chosen(self, fuel: Fuel, spot: float) -> _Contract:
        """Buyers of gamma take options a bit out of the money, which makes walls of two strikes; sellers write what is
        near.
        """
        right = self._rng.randint(0, 1)
        outwards = -1 if right == PUT else 1
        away = self._rng.choice((1, 1, 1, 2) if fuel == "AMPLIFY" else (0, 0, 1, 1, 2))
        strike = round(spot) + outwards * away
        return self._contracts[min(max(strike, STRIKES[0]), STRIKES[-1]), right]

    def _snapshot(self, ts_ns: int) -> None:
        recv_ns = ts_ns + self._rng.randint(80, 220) * NS_PER_MS
        spot = self._spy.at(ts_ns)
        for contract in self._contracts.values():
            self._out.append(Message(recv_ns, "chain", self._entry(contract, ts_ns, spot)))

    def _entry(self, contract: _Contract, ts_ns: int, spot: float) -> dict[str, Any]:
        worth = self._value(contract, ts_ns)
        kind = "put" if contract.right == PUT else "call"
        entry: dict[str, Any] = {
            "details": {
                "contract_type": kind,
                "exercise_style": "american",
                "expiration_date": EXPIRY,
                "shares_per_contract": 100,
                "strike_price": contract.strike,
                "ticker": contract.ticker,
            },
            "greeks": {name: round(getattr(worth, name), 6) for name in ("delta", "gamma", "theta", "vega")},
            "implied_volatility": round(worth.sigma, 6),
            "open_interest": open_interest(contract.strike, contract.right),
            "underlying_asset": {
                "ticker": "SPY",
                "price": round(spot, 4),
                "last_updated": ts_ns,
                "timeframe": "REAL-TIME",
            },
        }
        if contract.quoted_ns:
            entry["last_quote"] = {
                "bid": contract.bid / 100,
                "ask": contract.ask / 100,
                "midpoint": (contract.bid + contract.ask) / 200,
                "last_updated": contract.quoted_ns,
                "timeframe": "REAL-TIME",
            }
        traded_ns, cents, size = contract.traded
        if traded_ns:
            entry["last_trade"] = {"price": cents / 100, "size": size, "sip_timestamp": traded_ns}
        return entry

    def _add(self, ts_ns: int, body: dict[str, Any]) -> None:
        self._number += self._rng.randint(1, 9)
        stamped = {**body, "t": ts_ns // NS_PER_MS, "q": self._number}
        self._out.append(Message(arrival(self._rng, ts_ns, 5, 8, 400), "options", stamped))


def open_interest(strike: int, right: int) -> int:
    """Contracts open: more at strikes that end in 0 or 5, calls above the money and puts below."""
    outside = (597 - strike) if right == PUT else (strike - 597)
    return max(500, 6_000 + 900 * outside - 120 * outside * outside) + (18_000 if strike % 5 == 0 else 0)
