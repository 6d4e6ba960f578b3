"""One chaos run: feed, strike, heal, count."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import endpoints, iceberg
from common.errors import UnavailableError
from common.registry import Registry
from infra.chaos import ledger, strikes
from infra.chaos.feed import FED, Feed
from infra.chaos.strikes import Later
from infra.chaos.world import NAMESPACE, World
from infra.local.progress import Reporter
from lakehouse import read

TEND_S = 0.5
SETTLE_S = 240.0
"""How long the tables may take, when nothing is broken any more, to show what the topics hold."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, what the sinks said of it, and what became of the records."""

    strikes: Counter[str]
    told: Counter[str]
    accounts: list[ledger.Account]
    seconds: float

    @property
    def holds(self) -> bool:
        """True when nothing is lost, doubled or different."""
        return all(account.holds for account in self.accounts)


def run(home: Path, *, kills: int, seed: int, with_lake: bool, report: Reporter) -> Outcome:
    """Strike ``kills`` times while two sinks store what is fed and maintenance tidies it, heal everything, and compare.

    Raises UnavailableError when the tables do not reach the topics' ends afterwards.
    """
    began = time.monotonic()
    world = World(home, with_lake=with_lake, report=report)
    done: Counter[str] = Counter()
    try:
        told, accounts = _run(world, kills, seed, with_lake, report, done)
    finally:
        world.end()
    return Outcome(done, told, accounts, time.monotonic() - began)


def _run(
    world: World, kills: int, seed: int, with_lake: bool, report: Reporter, done: Counter[str]
) -> tuple[Counter[str], list[ledger.Account]]:
    world.start()
    random = np.random.default_rng(seed)
    kinds = strikes.WITH_LAKE if with_lake else strikes.EMBEDDED
    with Registry(endpoints.resolve().registry_url) as registry:
        feed = Feed(registry, NAMESPACE, seed)
    feed.start()
    try:
        _first_rows(world)
        later: list[Later] = []
        for number, (calm_s, name) in enumerate(strikes.plan(kinds, kills, random), start=1):
            _wait(world, time.monotonic() + calm_s, later)
            report.step(f"{number} of {kills}: {name}")
            done[name] += 1
            if (after := kinds[name](world, random)) is not None:
                later.append(after)
        for after in sorted(later, key=lambda one: one.at_s):
            _wait(world, after.at_s, [])
            after.action()
        while not world.whole:
            _wait(world, time.monotonic() + TEND_S, [])
    finally:
        feed.end()
    _settle(world)
    world.end_writers()
    report.step("a last maintenance that lets everything go which may go")
    world.care_once_more()
    return world.told(), ledger.audit(NAMESPACE)


def _first_rows(world: World) -> None:
    deadline = time.monotonic() + SETTLE_S
    while not all(read.committed_offsets(iceberg.TABLES[topic]) for topic in FED):
        world.tend()
        if time.monotonic() > deadline:
            raise UnavailableError(f"no rows after {SETTLE_S:.0f} s", hint="Look at the sinks' logs.")
        time.sleep(TEND_S)


def _wait(world: World, until_s: float, later: list[Later]) -> None:
    """Let time pass; what ended is started again, what is due is done."""
    while True:
        world.tend()
        for after in [one for one in later if one.at_s <= time.monotonic()]:
            later.remove(after)
            after.action()
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(TEND_S, left_s))


def _settle(world: World) -> None:
    world.tend()
    ends = ledger.ends(NAMESPACE)
    deadline = time.monotonic() + SETTLE_S
    while True:
        world.tend()
        stand = {place: at for topic in FED for place, at in _offsets(topic).items()}
        behind = {place: end - stand.get(place, 0) for place, end in ends.items() if stand.get(place, 0) < end}
        if not behind:
            return
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{SETTLE_S:.0f} s after the last strike the tables still lack {behind}",
                hint="Look at the sinks' logs.",
            )
        time.sleep(TEND_S)


def _offsets(topic: str) -> dict[tuple[str, int], int]:
    return read.committed_offsets(iceberg.TABLES[topic])
