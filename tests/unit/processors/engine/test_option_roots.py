"""Options whose root is not the underlying's name are not its options: they are left out and counted (DESIGN 4.7).

Spec: core FuelEngine; core MarketState.
"""

from __future__ import annotations

import pytest

from common import topics
from common.config import PROFILES, make_config
from tests.support.market import NS, Market, ladder, run, to_rows

SIZES = [50] * 10


def market(symbol: str, underlying: str = "SPY") -> Market:
    """A book, and a call that customers bought, known by ``symbol``."""
    made = Market()
    made.book(NS, ladder(6000.0, SIZES, "bid"), ladder(6000.25, SIZES, "ask"))
    made.greeks(NS, 600.0, "C", 0.2, open_interest=1_000, gamma=0.05)
    made.option_quote(NS, 600.0, "C", 1.0, 1.1)
    made.option_trade(2 * NS, 600.0, "C", 1.1, 100, aggressor="BUY")
    for topic in (topics.OPTIONS_GREEKS, topics.OPTIONS_QUOTES, topics.OPTIONS_TRADES):
        made.others[topic][-1].update(option_symbol=symbol, underlying=underlying)
    return made


def test_the_underlying_s_own_options_are_its_fuel() -> None:
    output, state = run(market("O:SPY250603C00600000").batches(), 7 * NS)
    assert state.skipped == 0
    assert [row["volume"] for row in to_rows(output.flow)] == [100]
    last = to_rows(output.features)[-1]
    assert last["fuel_net_dealer_gamma"] < 0.0
    assert last["fuel_gex"] > 0.0


@pytest.mark.parametrize(
    ("symbol", "underlying"),
    [("O:SPXW250603C00600000", "SPXW"), ("O:SPXW250603C00600000", "SPY"), ("O:SPY1250603C00600000", "SPY")],
)
def test_options_of_another_root_leave_no_trace_and_are_counted(symbol: str, underlying: str) -> None:
    output, state = run(market(symbol, underlying).batches(), 7 * NS)
    assert state.skipped == 3
    assert to_rows(output.flow) == []
    assert all(row["fuel_gex"] is None and not row["fuel_available"] for row in to_rows(output.features))
    assert int(state.arrays.options.scalars["contract_count"][0]) == 0


def test_where_levels_are_es_prices_only_es_options_are_fuel() -> None:
    """Profile ``es`` (DESIGN 4.11): a strike of SPY's says nothing about a level of ES."""
    config = make_config(PROFILES["es"])
    output, state = run(market("O:SPY250603C00600000").batches(), 7 * NS, config)
    assert (state.skipped, to_rows(output.flow)) == (3, [])
    own = market("O:ES250603C06000000", "ES")
    for records in own.others.values():
        records[-1]["strike"] = 6000.0
    output, state = run(own.batches(), 7 * NS, config)
    assert state.skipped == 0
    assert [(row["strike"], row["volume"]) for row in to_rows(output.flow)] == [(6000.0, 100)]
    assert to_rows(output.features)[-1]["fuel_net_dealer_gamma"] < 0.0
