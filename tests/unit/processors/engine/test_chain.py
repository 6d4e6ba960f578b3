"""A whole real option chain in the engine: open interest and volatilities as published (DESIGN §4.7)."""

from __future__ import annotations

import csv
import datetime
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest

from common import topics
from common.settings import settings
from processors.engine import fuel, options
from processors.engine.blackscholes import gamma, implied_volatility
from processors.engine.option_inputs import NO_CLOSES, greeks
from tests.support.event_batches import filled
from tests.support.option_book import OptionBook, S

SPOT = 3900.86
TAKEN_S = 19_153 * 86_400 + 20 * 3600
"""16:00 New York on that Friday, the last trade of the index."""


class Quoted(NamedTuple):
    days: int
    strike: float
    right: int
    bid: float
    ask: float
    iv: float
    delta: float
    gamma: float
    open_interest: int

    @property
    def years(self) -> float:
        return (self.days * 86_400 + 21 * 3600 - TAKEN_S) / (365 * 86_400)


def chain() -> list[Quoted]:
    """The chain's contracts; of an AM and a PM contract of one date, strike and right the last in the file."""
    path = settings().sample_data / "chain" / "spx-chain-20220611.csv"
    found: dict[tuple[int, float, int], Quoted] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if len(row) < 22 or row[0] == "Expiration Date":
                continue
            expiration = datetime.datetime.strptime(row[0] + " +0000", "%a %b %d %Y %z")
            days = int(expiration.timestamp()) // 86_400
            for right, first in ((0, 4), (1, 15)):
                bid, ask, _, iv, delta, per_share, interest = map(float, row[first : first + 7])
                key = days, float(row[11]), right
                found[key] = Quoted(*key, bid, ask, iv, delta, per_share, int(interest))
    return list(found.values())


@pytest.fixture(scope="module")
def contracts() -> list[Quoted]:
    return chain()


def test_gex_and_open_interest_walls_of_the_chain_are_those_of_a_plain_sum(contracts: list[Quoted]) -> None:
    n = len(contracts)
    batch = filled(
        topics.OPTIONS_GREEKS,
        n,
        {
            "ts_event_ns": [TAKEN_S * S] * n,
            "exp_date": [c.days for c in contracts],
            "strike": [c.strike for c in contracts],
            "right": [c.right for c in contracts],
            "gamma": [c.gamma for c in contracts],
            "open_interest": [c.open_interest for c in contracts],
        },
    )
    records = greeks(batch, NO_CLOSES)
    assert records.ok.all()
    book = OptionBook()
    for i in range(n):
        if not options.has_contract_room(book.op):
            book.op = options.grown(book.op)
        options.apply_greeks(book.op, book.p, records, i)
    assert book.op.scalars["contract_count"][0] == n > 10_000
    fuel.refresh(book.op, book.p, (TAKEN_S + 5) * S, SPOT)

    by_strike: tuple[dict[float, float], dict[float, float]] = (defaultdict(float), defaultdict(float))
    for c in contracts:
        by_strike[c.right][c.strike] += c.gamma * c.open_interest * 100 * SPOT**2 * 0.01
    calls, puts = by_strike
    s = book.op.scalars[0]
    assert s["gex"] == pytest.approx(sum(calls.values()) - sum(puts.values()), rel=1e-9)
    assert s["oi_call_wall_milli"] == 1000 * max((k for k in calls if k > SPOT), key=calls.__getitem__)
    assert s["oi_put_wall_milli"] == 1000 * max((k for k in puts if k < SPOT), key=puts.__getitem__)


def test_volatility_and_gamma_agree_with_the_published_ones_where_interest_hardly_matters(
    contracts: list[Quoted],
) -> None:
    """Published with interest and dividends and rounded to four places, so only about the same."""
    near = [c for c in contracts if 3 / 365 < c.years < 0.1 and 0.2 < abs(c.delta) < 0.8 and c.ask > c.bid > 0]
    implied = np.array(
        [implied_volatility((c.bid + c.ask) / 2, SPOT, c.strike, c.years, c.right == 0) - c.iv for c in near]
    )
    bend = np.array([gamma(SPOT, c.strike, c.iv, c.years) - c.gamma for c in near])
    assert len(near) > 500
    assert np.isfinite(implied).mean() > 0.99
    assert np.nanmedian(np.abs(implied)) < 0.03
    assert np.median(np.abs(bend)) < 1e-4
