"""Cancel versus fill, hidden volume, visibility, windows (DESIGN 4.3, 4.5; plan §5.1.1).

Spec: plan 5.1; plan 5.1.1; core BarrierEngine.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.market import NS, SNAP_NS, Market, ladder

BIDS = ladder(6000.0, [50, 60, 70, 80, 90, 100, 110, 120, 130, 140], "bid")
ASKS = ladder(6000.25, [50, 60, 70, 80, 90, 100, 110, 120, 130, 140], "ask")
LEVEL = "ROUND_600"


def with_size(side: list[tuple[float, int]], price: float, size: int) -> list[tuple[float, int]]:
    return [(p, size if p == price else s) for p, s in side]


@pytest.fixture
def market() -> Market:
    """Two groups of the same book: the first is the baseline, after the second trading is continuous."""
    market = Market()
    market.book(NS, BIDS, ASKS)
    market.book(NS + 1, BIDS, ASKS)
    return market


def flows(row: dict[str, Any]) -> tuple[int, int, int, int]:
    return tuple(row[f"barrier_{name}"] for name in ("added", "canceled", "filled", "hidden"))  # type: ignore[return-value]


def test_lost_depth_without_a_trade_was_pulled(market: Market) -> None:
    market.book(2 * NS, with_size(BIDS, 5999.75, 20), ASKS)
    assert flows(market.last(2.5, LEVEL)) == (0, 40, 0, 0)


def test_lost_depth_is_filled_up_to_the_volume_sold_at_that_tick_and_time(market: Market) -> None:
    market.trade(2 * NS, 6000.0, 30, "SELL")
    market.book(2 * NS, with_size(BIDS, 6000.0, 10), ASKS)
    assert flows(market.last(2.5, LEVEL)) == (0, 10, 30, 0)


def test_volume_beyond_the_lost_depth_is_hidden(market: Market) -> None:
    market.trade(2 * NS, 6000.0, 30, "SELL")
    market.book(2 * NS, with_size(BIDS, 6000.0, 45), ASKS)
    assert flows(market.last(2.5, LEVEL)) == (0, 0, 5, 25)


def test_a_trade_at_another_time_explains_nothing(market: Market) -> None:
    market.trade(2 * NS, 6000.0, 30, "SELL")
    market.book(2 * NS + 1, with_size(BIDS, 6000.0, 20), ASKS)
    assert flows(market.last(2.5, LEVEL)) == (0, 30, 0, 30)


def test_a_buyer_never_fills_bids(market: Market) -> None:
    market.trade(2 * NS, 6000.0, 30, "BUY")
    market.book(2 * NS, with_size(BIDS, 6000.0, 20), ASKS)
    assert flows(market.last(2.5, LEVEL))[1:3] == (30, 0)


def test_an_unsigned_trade_is_volume_but_no_fill_and_no_aggression(market: Market) -> None:
    market.trade(2 * NS, 6000.0, 30, "MID")
    market.book(2 * NS, with_size(BIDS, 6000.0, 20), ASKS)
    row = market.last(2.5, LEVEL)
    assert flows(row) == (0, 30, 0, 0)
    assert (row["tape_buy_vol"], row["tape_sell_vol"], row["tape_volume"]) == (0, 0, 30)


def test_two_records_of_one_event_share_the_traded_volume(market: Market) -> None:
    market.trade(2 * NS, 6000.0, 30, "SELL")
    market.book(2 * NS, with_size(BIDS, 6000.0, 30), ASKS, flags=0)
    market.book(2 * NS, with_size(BIDS, 6000.0, 10), ASKS)
    assert flows(market.last(2.5, LEVEL)) == (0, 10, 30, 0)


def test_flows_count_each_record_of_a_group_not_its_net(market: Market) -> None:
    market.book(2 * NS, with_size(BIDS, 6000.0, 10), ASKS, flags=0)
    market.book(2 * NS, BIDS, ASKS)
    row = market.last(2.5, LEVEL)
    assert flows(row) == (40, 40, 0, 0)
    assert (row["barrier_churn"], row["barrier_delta_liq"]) == (80, 0)


def test_a_tick_that_leaves_the_visible_ten_is_not_counted(market: Market) -> None:
    better = [(6000.25, 5), *BIDS[:9]]
    market.book(2 * NS, better, ladder(6000.5, [50] * 10, "ask"))
    row = market.last(2.5, LEVEL, BARRIER_ZONE_TICKS=9)
    assert flows(row) == (5, 0, 0, 0)


def test_a_price_between_levels_counts_as_empty(market: Market) -> None:
    market.book(2 * NS, [p for p in BIDS if p[0] != 5999.75], ASKS)
    market.book(3 * NS, BIDS, ASKS)
    assert flows(market.last(3.5, LEVEL)) == (60, 60, 0, 0)


def test_a_trade_record_of_the_book_changes_no_flow(market: Market) -> None:
    market.book(2 * NS, with_size(BIDS, 6000.0, 1), ASKS, action="TRADE")
    assert flows(market.last(2.5, LEVEL)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("action", "flags"), [("ADD", 128 | 32), ("MODIFY", 128 | 8)], ids=["snapshot", "maybe bad book"]
)
def test_a_doubtful_book_is_a_baseline_only(market: Market, action: str, flags: int) -> None:
    market.book(2 * NS, with_size(BIDS, 6000.0, 1), ASKS, action=action, flags=flags)
    market.book(3 * NS, with_size(BIDS, 6000.0, 4), ASKS)
    assert flows(market.last(3.5, LEVEL)) == (3, 0, 0, 0)


def test_after_a_clear_the_next_book_is_a_baseline(market: Market) -> None:
    market.book(2 * NS, [], [], action="CLEAR")
    market.book(3 * NS, with_size(BIDS, 6000.0, 1), ASKS)
    market.book(4 * NS, with_size(BIDS, 6000.0, 4), ASKS)
    assert flows(market.last(4.5, LEVEL)) == (3, 0, 0, 0)


def test_another_contract_is_not_followed(market: Market) -> None:
    market.book(2 * NS, with_size(BIDS, 6000.0, 1), ASKS, instrument=7)
    market.trade(2 * NS, 6000.0, 5, "BUY", instrument=7)
    row = market.last(2.5, LEVEL)
    assert flows(row) == (0, 0, 0, 0)
    assert row["tape_volume"] == 0


def test_the_window_holds_exactly_w_b(market: Market) -> None:
    market.book(2 * NS, with_size(BIDS, 6000.0, 40), ASKS)
    market.book(2 * NS + SNAP_NS + 1, with_size(BIDS, 6000.0, 37), ASKS)
    rows = {r["ts_event_ns"]: r for r in market.rows(14.0) if r["level_id"] == LEVEL}
    canceled = {(ts - min(rows)) // SNAP_NS: row["barrier_canceled"] for ts, row in rows.items()}
    first = (2 * NS - NS) // SNAP_NS
    # the snap at t covers (t - 10 s, t]: the event at exactly 2 s is in the snaps from 2 s to 11.75 s
    assert [canceled[first - 1], canceled[first], canceled[first + 1]] == [0, 10, 10]
    assert canceled[first + 2] == 13
    assert [canceled[first + 39], canceled[first + 40], canceled[first + 41], canceled[first + 42]] == [13, 3, 3, 0]


def test_flows_stay_frozen_while_groups_end_crossed(market: Market) -> None:
    crossed = [(6000.5, 5), *BIDS[:9]]
    market.book(2 * NS, crossed, ASKS)
    market.book(3 * NS, with_size(BIDS, 6000.0, 1), ASKS)
    rows = market.rows(3.5)
    halted = [r for r in rows if r["ts_event_ns"] % (10 * NS) == 2 * NS and r["level_id"] == LEVEL]
    assert all(r["validity_bits"] & 32 and not r["actionable"] for r in halted)
    last = [r for r in rows if r["level_id"] == LEVEL][-1]
    assert not last["validity_bits"] & 32
    assert last["barrier_canceled"] == 0


def test_a_book_crossed_only_inside_its_group_counts(market: Market) -> None:
    crossed = [(6000.5, 5), *BIDS[:9]]
    market.book(2 * NS, crossed, ASKS, flags=0)
    market.book(2 * NS, with_size(BIDS, 6000.0, 45), ASKS)
    row = market.last(2.5, LEVEL)
    assert not row["validity_bits"] & 32
    assert row["barrier_canceled"] == 10  # 5 at 6000.50, 5 at 6000.00


def test_a_price_off_the_tick_grid_is_skipped_and_nothing_else_is(market: Market) -> None:
    market.book(2 * NS, [*with_size(BIDS, 6000.0, 45)[:-1], (5997.6, 1)], ASKS)
    market.book(3 * NS, with_size(BIDS, 6000.0, 30), ASKS)
    assert flows(market.last(3.5, LEVEL)) == (0, 20, 0, 0)


def test_depth_and_visibility_are_read_at_the_group_end(market: Market) -> None:
    row = market.last(1.5, LEVEL)
    assert (row["barrier_depth"], row["barrier_visible"]) == (50 + 60 + 70, True)
    deep = market.last(1.5, LEVEL, BARRIER_ZONE_TICKS=9)
    assert (deep["barrier_depth"], deep["barrier_visible"]) == (sum(s for _, s in BIDS), True)
    hidden = Market()
    hidden.book(NS, BIDS[:2] + [(p - 5, s) for p, s in BIDS[2:]], ASKS)
    assert hidden.last(1.5, LEVEL)["barrier_visible"] is True
    hidden.book(2 * NS, ladder(6002.0, [9] * 10, "bid"), ladder(6002.25, [9] * 10, "ask"))
    row = hidden.last(2.5, LEVEL)
    assert (row["barrier_visible"], row["barrier_state"], row["barrier_confidence"]) == (False, "NEUTRAL", 0.0)
    assert row["validity_bits"] & 64


def test_order_flow_imbalance_follows_cont_kukanov_and_stoikov(market: Market) -> None:
    market.book(2 * NS, with_size(BIDS, 6000.0, 70), ASKS)  # bid size +20
    market.book(3 * NS, with_size(BIDS, 6000.0, 70), with_size(ASKS, 6000.25, 45))  # ask size -5
    lifted = ladder(6000.5, [60, 70, 80, 90, 100, 110, 120, 130, 140, 150], "ask")
    market.book(4 * NS, with_size(BIDS, 6000.0, 70), lifted)  # ask price up: + the 45 that stood there
    row = market.last(4.5, LEVEL)
    assert row["ofi"] == 20 + 5 + 45
    assert row["queue_imbalance"] == pytest.approx((70 - 60) / 130)


def test_multi_level_imbalance_is_the_plain_sum_over_the_ten_levels(market: Market) -> None:
    bids = with_size(with_size(with_size(BIDS, 6000.0, 70), 5999.5, 60), 5997.75, 147)
    asks = with_size(with_size(ASKS, 6000.5, 65), 6002.5, 1)
    market.book(2 * NS, bids, asks)
    row = market.last(2.5, LEVEL)
    assert row["ofi"] == 70 - dict(BIDS)[6000.0]
    more_bid = sum(size for _, size in bids) - sum(size for _, size in BIDS)
    more_asked = sum(size for _, size in asks) - sum(size for _, size in ASKS)
    assert row["ofi_multi_level"] == more_bid - more_asked != row["ofi"]
