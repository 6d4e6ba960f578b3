"""What happens in the made-up session: a walk between round prices of SPY, at each of which something is staged.

A level rejects when its zone is replenished and the tape is quiet (core.md: WALL) or when aggression is taken in
(ABSORPTION); it breaks when the zone is pulled without trades while the tape sweeps towards it (VACUUM), when it is
traded away faster than it comes back (CONSUMED), or when sweeps run through it; and it pins when price stays around it
for a while. What customers do in options meanwhile makes dealers amplify breaks or dampen moves (core.md §8). Sizes and
times are chosen for core.md's thresholds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from producers.simulator.exchange import Exchange, Mood
from producers.simulator.ratio import NS_PER_S, START_NS, TICKS_PER_POINT, ratio_at, tick_at
from producers.simulator.shapes import ASK, BID

ZONE_TICKS = 2
START_USD = 597.35
WARM_UP_S = 25.0
NEAR_TICKS = 6
"""How far from the level price waits before it breaks; elsewhere it comes to the level itself."""

TICKS_PER_S = 7.0
"""Speed at which price comes to a level."""

Kind = Literal["WALL", "ABSORPTION", "VACUUM", "CONSUMPTION", "SWEEP", "PIN"]
Fuel = Literal["NEUTRAL", "AMPLIFY", "DAMPEN"]
Side = Literal["SUPPORT", "RESISTANCE"]

BREAKS: dict[Kind, bool] = {
    "WALL": False,
    "ABSORPTION": False,
    "VACUUM": True,
    "CONSUMPTION": True,
    "SWEEP": True,
    "PIN": False,
}


@dataclass(frozen=True, slots=True)
class Episode:
    """After ``quiet_s`` price comes to ``level`` and leaves for ``leave`` (both USD of SPY).

    ``fuel``: what dealers' hedging will do, by what customers trade from the end of the episode before.
    """

    kind: Kind
    level: float
    side: Side
    leave: float
    fuel: Fuel
    quiet_s: float = 16.0


@dataclass(frozen=True, slots=True)
class Staged:
    """An episode as it was played: from ``begin_ns`` its fuel is made, from ``fight_ns`` the level is fought over, and
    from ``leave_ns`` price leaves, to ``end_ns``.
    """

    episode: Episode
    begin_ns: int
    fight_ns: int
    leave_ns: int
    end_ns: int

    @property
    def outcome(self) -> str:
        """Where price is led from the level: BREAK or REJECT (DESIGN 4.9)."""
        return "BREAK" if BREAKS[self.episode.kind] else "REJECT"

    @property
    def signal(self) -> str:
        """What the fight is staged to show before price leaves: NEUTRAL for a pin, CONTESTED where a level is consumed
        against dampening dealers, else the outcome.
        """
        if self.episode.kind == "PIN":
            return "NEUTRAL"
        if self.episode.kind == "CONSUMPTION" and self.episode.fuel == "DAMPEN":
            return "CONTESTED"
        return self.outcome


EPISODES = (
    Episode("WALL", 597.0, "SUPPORT", 597.40, "DAMPEN", 30.0),
    Episode("ABSORPTION", 598.0, "RESISTANCE", 597.60, "DAMPEN"),
    Episode("PIN", 597.0, "SUPPORT", 597.35, "DAMPEN"),
    Episode("VACUUM", 597.0, "SUPPORT", 596.50, "AMPLIFY", 45.0),
    Episode("CONSUMPTION", 596.0, "SUPPORT", 595.60, "AMPLIFY"),
    Episode("SWEEP", 596.0, "RESISTANCE", 596.45, "AMPLIFY"),
    Episode("VACUUM", 597.0, "RESISTANCE", 597.45, "AMPLIFY"),
    Episode("WALL", 598.0, "RESISTANCE", 597.55, "DAMPEN", 45.0),
    Episode("ABSORPTION", 597.0, "SUPPORT", 597.45, "DAMPEN"),
    Episode("CONSUMPTION", 598.0, "RESISTANCE", 598.40, "DAMPEN"),
)
"""One of each and more, in a bit less than ten minutes; then :func:`invented` ones follow."""

WEIGHTS: dict[Kind, int] = {"WALL": 4, "ABSORPTION": 3, "VACUUM": 4, "CONSUMPTION": 3, "SWEEP": 3, "PIN": 2}
LOWEST_USD, HIGHEST_USD = 593.0, 602.0
"""Invented episodes stay between them, so that there are options around."""

STRAY_TICKS = 3
PIECE_S = 10.0
"""A quiet market is led to a new place near by this often."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Mean pause between two bursts of the crowd at ordinary activity, and where a level is fought over."""

    calm_ms: int
    fight_ms: int


DEMO = Pace(calm_ms=260, fight_ms=110)
"""A thin market: what a demonstration has to carry."""

FULL = Pace(calm_ms=15, fight_ms=11)
"""About 10 million book updates in a regular session."""

_ACTIVITY = (
    (0, 40),
    (30, 40),
    (31, 300),
    (150, 220),
    (930, 140),
    (3_630, 90),
    (14_430, 70),
    (21_630, 130),
    (23_430, 260),
)
"""Events per time against the session's mean, in percent, from so many seconds after the start on: the rush of the open
and of the close, and midday's calm. Between two points on a straight line.
"""


def activity(ts_ns: int) -> int:
    """The market's activity at a time, in percent of a regular session's mean."""
    at = (ts_ns - START_NS) // NS_PER_S
    for (begin, low), (end, high) in pairwise(_ACTIVITY):
        if at < end:
            return low + (high - low) * (at - begin) // (end - begin)
    return _ACTIVITY[-1][1]


def play(exchange: Exchange, end_ns: int, seed: int, pace: Pace, phase: Callable[[Episode], None]) -> Iterator[Staged]:
    """Stage episodes until ``end_ns``; each as it ends, the last one as far as it came.

    ``phase`` is called after every piece of the market's time with the episode that it belongs to.
    """
    stage = _Stage(exchange, end_ns, pace, random.Random(f"script-{seed}"), phase)  # noqa: S311 - a market, not a secret
    stage.quiet(WARM_UP_S, replace(EPISODES[0], fuel="NEUTRAL"))
    for episode in stage.episodes():
        if exchange.ts_ns >= end_ns:
            return
        yield stage.run(episode)


def invented(rng: random.Random, spot: float) -> Episode:
    """An episode at a round level next to ``spot`` (USD of SPY)."""
    below = math.floor(spot)
    support = rng.random() < 0.5
    if below < LOWEST_USD or below + 1 > HIGHEST_USD:
        support = below + 1 > HIGHEST_USD
    level = float(below if support else below + 1)
    kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    onwards = -1.0 if support == BREAKS[kind] else 1.0
    if not LOWEST_USD < level + onwards < HIGHEST_USD:
        kind, onwards = "WALL", 1.0 if support else -1.0
    fuel: Fuel = "AMPLIFY" if BREAKS[kind] else "DAMPEN"
    if kind == "CONSUMPTION" and rng.random() < 0.4:
        fuel = "DAMPEN"
    leave = level + onwards * rng.randint(35, 50) / 100
    return Episode(kind, level, "SUPPORT" if support else "RESISTANCE", leave, fuel, float(rng.randint(45, 110)))


class _Stage:
    """Where episodes are played: quiet, approach, the fight at the level, and what follows."""

    def __init__(
        self, exchange: Exchange, end_ns: int, pace: Pace, rng: random.Random, phase: Callable[[Episode], None]
    ) -> None:
        self._exchange = exchange
        self._end_ns = end_ns
        self._pace = pace
        self._rng = rng
        self._phase = phase
        self._episode = EPISODES[0]

    def episodes(self) -> Iterator[Episode]:
        """First the written ones, then invented ones without end."""
        yield from EPISODES
        while True:
            ts_ns = self._exchange.ts_ns
            yield invented(self._rng, self._exchange.best_bid / (TICKS_PER_POINT * ratio_at(ts_ns)))

    def run(self, episode: Episode) -> Staged:
        """Play one."""
        begin_ns = self._exchange.ts_ns
        self.quiet(episode.quiet_s, episode)
        approach = NEAR_TICKS if BREAKS[episode.kind] else 0
        self._go(self._place(approach), self._seconds_to(self._place(approach)), self._calm())
        fight_ns = self._exchange.ts_ns
        self._fight()
        leave_ns = self._exchange.ts_ns
        leave = tick_at(episode.leave, leave_ns)
        self._go(leave, max(4.0, self._seconds_to(leave)), self._leaving())
        self._go(leave, 3.0, self._calm())
        return Staged(episode, begin_ns, fight_ns, leave_ns, self._exchange.ts_ns)

    def quiet(self, seconds: float, episode: Episode) -> None:
        """Nothing in particular happens, while customers trade options as the episode wants."""
        self._episode = episode
        here = self._exchange.best_bid
        while seconds > 0:
            piece_s = min(seconds, PIECE_S)
            seconds -= piece_s
            self._go(here + self._rng.randint(-STRAY_TICKS, STRAY_TICKS), piece_s, self._calm())

    def _fight(self) -> None:
        kind = self._episode.kind
        fought = self._mood()
        if kind == "WALL":
            self._go(self._place(0), 11.0, replace(fought, wall_ms=27))
        elif kind == "ABSORPTION":
            self._go(self._place(0), 16.0, replace(fought, absorb=True))
        elif kind == "PIN":
            for ticks in (0, 1, -1, 2, 0, -2, 1, 0):
                self._go(self._place(ticks), 3.5, replace(self._calm(), wobble=0))
        elif kind == "VACUUM":
            pulled = replace(fought, pull_ms=13, sweep_ms=600)
            self._go(self._place(NEAR_TICKS), 3.0, pulled)
            self._go(self._place(4), 5.5, pulled)
        elif kind == "CONSUMPTION":
            eaten = replace(fought, sweep_ms=700, refill=0.6)
            self._go(self._place(2), 3.0, eaten)
            self._go(self._place(0), 7.0, eaten)
        else:
            swept = replace(fought, sweep_ms=450, sweep_contracts=(14, 26))
            self._go(self._place(2), 5.0, swept)
            self._go(self._place(0), 5.0, swept)

    def _leaving(self) -> Mood:
        if BREAKS[self._episode.kind]:
            return replace(self._mood(), pull_ms=40, sweep_ms=600)
        return replace(self._calm(), wobble=0)

    def _calm(self) -> Mood:
        return Mood(self._pause_ms(self._pace.calm_ms), wobble=1)

    def _mood(self) -> Mood:
        level = tick_at(self._episode.level, self._exchange.ts_ns)
        zone = (level - ZONE_TICKS, level + ZONE_TICKS)
        return Mood(self._pause_ms(self._pace.fight_ms), side=BID if self._support else ASK, zone=zone)

    def _pause_ms(self, ordinary_ms: int) -> int:
        return max(ordinary_ms * 100 // activity(self._exchange.ts_ns), 1)

    @property
    def _support(self) -> bool:
        return self._episode.side == "SUPPORT"

    def _place(self, ticks_away: int) -> int:
        """Best bid at which the defending side's best price is so far from the level."""
        level = tick_at(self._episode.level, self._exchange.ts_ns)
        return level + ticks_away if self._support else level - ticks_away - 1

    def _seconds_to(self, tick: int) -> float:
        return 4.0 + abs(self._exchange.best_bid - tick) / TICKS_PER_S

    def _go(self, tick: int, seconds: float, mood: Mood) -> None:
        if self._exchange.ts_ns < self._end_ns:
            self._exchange.lead(tick, seconds, mood, self._end_ns)
            self._phase(self._episode)
