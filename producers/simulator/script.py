"""What happens in the made-up session: a walk between round prices of SPY, at each of which something is staged.

A level rejects when its zone is replenished and the tape is quiet (core.md: WALL) or when aggression is taken in
(ABSORPTION); it breaks when the zone is pulled without trades while the tape sweeps towards it (VACUUM), when it is
traded away faster than it comes back (CONSUMED), or when sweeps run through it; and it pins when price stays around it
for a while. What customers do in options meanwhile makes dealers amplify breaks or dampen moves (core.md §8). Sizes and
times are chosen for core.md's thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from producers.simulator.crowd import ORDINARY, Mood, walk
from producers.simulator.market import BID, Market
from producers.simulator.ratio import tick_at

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
        """Where price was led from the level: BREAK or REJECT (DESIGN 4.9)."""
        return "BREAK" if BREAKS[self.episode.kind] else "REJECT"

    @property
    def signal(self) -> str:
        """What the fight is staged to show before price leaves: the outcome, and NEUTRAL for a pin."""
        return "NEUTRAL" if self.episode.kind == "PIN" else self.outcome


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
    Episode("WALL", 598.0, "RESISTANCE", 597.35, "DAMPEN"),
)
"""One round of a bit less than ten minutes, which ends where it begins."""


def play(market: Market, length_ns: int) -> list[Staged]:
    """Run rounds of episodes until ``length_ns`` have passed; what was staged, the last one as far as it came."""
    end_ns = market.ts_ns + length_ns
    here = market.best[BID]
    walk(market, here, here, WARM_UP_S, ORDINARY, end_ns)
    staged: list[Staged] = []
    while market.ts_ns < end_ns:
        for episode in EPISODES:
            if market.ts_ns < end_ns:
                staged.append(_Play(market, episode, end_ns).run())
    return staged


class _Play:
    """One episode: quiet, approach, the fight at the level, and what follows."""

    def __init__(self, market: Market, episode: Episode, end_ns: int) -> None:
        self._market = market
        self._episode = episode
        self._end_ns = end_ns
        self._support = episode.side == "SUPPORT"

    def run(self) -> Staged:
        begin_ns = self._market.ts_ns
        self._stay(self._episode.quiet_s, ORDINARY)
        approach = NEAR_TICKS if BREAKS[self._episode.kind] else 0
        self._go(self._place(approach), self._seconds_to(self._place(approach)), ORDINARY)
        fight_ns = self._market.ts_ns
        self._fight()
        leave_ns = self._market.ts_ns
        leave = tick_at(self._episode.leave, leave_ns)
        self._go(leave, max(4.0, self._seconds_to(leave)), self._leaving())
        self._stay(3.0, ORDINARY)
        return Staged(self._episode, begin_ns, fight_ns, leave_ns, self._market.ts_ns)

    def _fight(self) -> None:
        kind = self._episode.kind
        calm = self._mood()
        if kind == "WALL":
            self._stay(11.0, replace(calm, wall=0.3))
        elif kind == "ABSORPTION":
            self._stay(16.0, replace(calm, absorb=True))
        elif kind == "PIN":
            for ticks in (0, 1, -1, 2, 0, -2, 1, 0):
                self._go(self._place(ticks), 3.5, ORDINARY)
        elif kind == "VACUUM":
            pulled = replace(calm, pull=0.6, sweep_s=0.6)
            self._stay(3.0, pulled)
            self._go(self._place(4), 5.5, pulled)
        elif kind == "CONSUMPTION":
            eaten = replace(calm, sweep_s=0.7, refill=0.45)
            self._go(self._place(2), 3.0, eaten)
            self._go(self._place(0), 7.0, eaten)
        else:
            swept = replace(calm, sweep_s=0.45, sweep_contracts=(14, 26))
            self._go(self._place(2), 4.0, swept)
            self._go(self._place(0), 3.5, swept)

    def _leaving(self) -> Mood:
        if BREAKS[self._episode.kind]:
            return replace(self._mood(), pull=0.2, sweep_s=0.6)
        return ORDINARY

    def _mood(self) -> Mood:
        level = tick_at(self._episode.level, self._market.ts_ns)
        return Mood(self._defender, (level - ZONE_TICKS, level + ZONE_TICKS))

    @property
    def _defender(self) -> int:
        return BID if self._support else 1 - BID

    def _place(self, ticks_away: int) -> int:
        """Best bid at which the defending side's best price is so far from the level."""
        level = tick_at(self._episode.level, self._market.ts_ns)
        return level + ticks_away if self._support else level - ticks_away - 1

    def _seconds_to(self, tick: int) -> float:
        return 4.0 + abs(self._market.best[BID] - tick) / TICKS_PER_S

    def _go(self, tick: int, seconds: float, mood: Mood) -> None:
        walk(self._market, self._market.best[BID], tick, seconds, mood, self._end_ns)

    def _stay(self, seconds: float, mood: Mood) -> None:
        self._go(self._market.best[BID], seconds, mood)
