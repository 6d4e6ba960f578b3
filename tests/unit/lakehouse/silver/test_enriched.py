"""The as-of join: the newest snapshot of the same contract, not after the trade, not older than the tolerance."""

from __future__ import annotations

import pyarrow as pa

from lakehouse.silver.enriched import enrich
from lakehouse.silver.records import enriched

CALL, PUT = "O:SPY231225C00470000", "O:SPY231225P00470000"


def trades(*rows: tuple[str, int]) -> pa.Table:
    return pa.table(
        {
            "option_symbol": pa.array([symbol for symbol, _ in rows], pa.string()),
            "ts_event_ns": pa.array([at for _, at in rows], pa.int64()),
            "price": pa.array([2.5] * len(rows), pa.float64()),
            "size": pa.array([10] * len(rows), pa.int32()),
        }
    )


def greeks(*rows: tuple[str, int, str, float | None]) -> pa.Table:
    return pa.table(
        {
            "option_symbol": pa.array([row[0] for row in rows], pa.string()),
            "ts_event_ns": pa.array([row[1] for row in rows], pa.int64()),
            "snapshot_id": pa.array([row[2] for row in rows], pa.string()),
            "delta": pa.array([row[3] for row in rows], pa.float64()),
            "gamma": pa.array([0.035] * len(rows), pa.float64()),
            "implied_volatility": pa.array([0.14] * len(rows), pa.float64()),
            "_partition": pa.array([0] * len(rows), pa.int32()),
            "_offset": pa.array(range(len(rows)), pa.int64()),
        }
    )


def joined(trade: tuple[str, int], *snapshots: tuple[str, int, str, float | None]) -> str | None:
    rows = enrich(trades(trade), greeks(*snapshots), 100, 100)
    found: str | None = rows["greeks_snapshot_id"][0].as_py()
    return found


def test_a_snapshot_after_the_trade_is_not_joined() -> None:
    assert joined((CALL, 50), (CALL, 51, "later", 0.5)) is None
    assert joined((CALL, 50), (CALL, 50, "same", 0.5), (CALL, 51, "later", 0.5)) == "same"


def test_a_snapshot_of_another_contract_is_not_joined() -> None:
    assert joined((CALL, 50), (PUT, 49, "put", 0.5)) is None
    assert joined((CALL, 50), (CALL, 10, "call", 0.5), (PUT, 49, "put", 0.5)) == "call"


def test_the_tolerance_is_the_oldest_age_that_is_joined() -> None:
    assert joined((CALL, 150), (CALL, 50, "old", 0.5)) == "old"
    assert joined((CALL, 151), (CALL, 50, "old", 0.5)) is None


def test_of_two_snapshots_at_one_time_the_later_in_the_topic_is_joined() -> None:
    assert joined((CALL, 50), (CALL, 40, "first", 0.5), (CALL, 40, "second", 0.6)) == "second"


def test_notionals_are_those_of_the_specification() -> None:
    (row,) = enrich(trades((CALL, 50)), greeks((CALL, 40, "s", 0.52)), 100, 100).to_pylist()
    assert row["delta_notional"] == 0.52 * 1000 and row["gamma_notional"] == 0.035 * 1000
    assert row["premium_notional"] == 2500.0
    assert (row["ts_greeks_ns"], row["greeks_age_ns"], row["greeks_tolerance_ns"]) == (40, 10, 100)


def test_a_trade_without_greeks_keeps_its_row_and_says_so() -> None:
    for snapshots in (greeks(), greeks((CALL, 40, "s", None)), None):
        (row,) = enrich(trades((CALL, 50)), snapshots, 100, 100).to_pylist()
        assert row["delta"] is None and row["delta_notional"] is None
        assert row["premium_notional"] == 2500.0 and row["greeks_tolerance_ns"] == 100


def test_every_added_column_has_a_place_in_the_table() -> None:
    names = {field.name for field in enriched().fields}
    assert set(enrich(trades((CALL, 50)), greeks(), 100, 100).column_names) <= names
