"""``silver.options_trades_enriched``: each trade with the newest snapshot of its contract's greeks at or before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyiceberg.table import Table

from common.config import NS_PER_S, EngineConfig
from lakehouse.silver.hours import pieces_of_hour, rows_between

TRADES = "silver.options_trades"
GREEKS = "silver.options_greeks_snapshots"

_GREEKS_COLUMNS = (
    "ts_event_ns",
    "option_symbol",
    "snapshot_id",
    "delta",
    "gamma",
    "implied_volatility",
    "_partition",
    "_offset",
)


def build(hour: int, sources: Mapping[str, Table], config: EngineConfig) -> Iterator[pa.Table]:
    """The hour's trades in their order, with the greeks of that time."""
    tolerance_ns = int(config.GREEKS_MAX_AGE_S * NS_PER_S)
    for low, high, rows in pieces_of_hour(sources[TRADES], hour):
        trades = rows.sort_by([("ts_event_ns", "ascending"), ("_partition", "ascending"), ("_offset", "ascending")])
        greeks = None
        if GREEKS in sources:
            greeks = rows_between(sources[GREEKS], low - tolerance_ns, high, _GREEKS_COLUMNS)
        yield enrich(trades, greeks, tolerance_ns, config.OPTION_MULTIPLIER)


def enrich(trades: pa.Table, greeks: pa.Table | None, tolerance_ns: int, multiplier: int) -> pa.Table:
    """The trades with the columns of `records.enriched`; of snapshots at one time the one later in the topic counts."""
    found = np.full(trades.num_rows, -1, np.int64)
    if greeks is not None and greeks.num_rows and trades.num_rows:
        greeks = greeks.sort_by(
            [("ts_event_ns", "ascending"), ("_partition", "ascending"), ("_offset", "ascending")]
        ).combine_chunks()
        found = as_of(trades, greeks, tolerance_ns)
    known = found >= 0
    index = pa.array(found, pa.int64(), mask=~known)

    def joined(name: str, kind: pa.DataType) -> pa.Array:
        if greeks is None or not greeks.num_rows:
            return pa.nulls(trades.num_rows, kind)
        column = greeks[name].combine_chunks() if isinstance(greeks[name], pa.ChunkedArray) else greeks[name]
        return column.take(index)

    size = pc.cast(trades["size"], pa.float64())
    contracts = pc.multiply(size, float(multiplier))
    times = joined("ts_event_ns", pa.int64())
    delta, gamma = joined("delta", pa.float64()), joined("gamma", pa.float64())
    count = trades.num_rows
    added: dict[str, pa.Array] = {
        "greeks_snapshot_id": joined("snapshot_id", pa.string()),
        "ts_greeks_ns": times,
        "greeks_age_ns": pc.subtract(trades["ts_event_ns"], times),
        "greeks_tolerance_ns": pa.array(np.full(count, tolerance_ns)),
        "delta": delta,
        "gamma": gamma,
        "implied_volatility": joined("implied_volatility", pa.float64()),
        "contract_multiplier": pa.array(np.full(count, multiplier, np.int32)),
        "premium_notional": pc.multiply(trades["price"], contracts),
        "delta_notional": pc.multiply(delta, contracts),
        "gamma_notional": pc.multiply(gamma, contracts),
    }
    out = trades
    for name, column in added.items():
        out = out.append_column(name, column)
    return out


def as_of(trades: pa.Table, greeks: pa.Table, tolerance_ns: int) -> NDArray[np.int64]:
    """Place of each trade's snapshot in ``greeks`` (which rises in time), -1 where none is near enough."""
    symbols = pa.chunked_array([*trades["option_symbol"].chunks, *greeks["option_symbol"].chunks]).dictionary_encode()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in symbols.unify_dictionaries().chunks]).astype(np.int64)
    ours, theirs = codes[: trades.num_rows], codes[trades.num_rows :]
    at, since = trades["ts_event_ns"].to_numpy(), greeks["ts_event_ns"].to_numpy()
    base = min(int(at.min()), int(since.min()))
    span = max(int(at.max()), int(since.max())) - base + 1
    by_contract = np.argsort(theirs, kind="stable")
    keys = theirs[by_contract] * span + (since[by_contract] - base)
    place = np.searchsorted(keys, ours * span + (at - base), side="right") - 1
    found = by_contract[np.maximum(place, 0)]
    near = (place >= 0) & (theirs[found] == ours) & (at - since[found] <= tolerance_ns)
    return np.where(near, found, -1)
