"""Feature rows as the kernels write them, and as the columns of ``levels.features.v1``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column, repeated_string, strings
from processors.engine.levels import level_name

SCHEMA = schemas.load(topics.FEATURES)

ROW = np.dtype(
    [
        ("ts_event_ns", np.int64),
        ("session_date", np.int32),
        ("spot", np.float64),
        ("bid", np.float64),  # NaN is null, in every nullable float here
        ("ask", np.float64),
        ("kind", np.int32),
        ("key", np.int64),
        ("level_price", np.float64),
        ("level_tick", np.int32),
        ("direction", np.int32),
        ("distance", np.float64),
        ("ratio", np.float64),
        ("ratio_state", np.int32),
        ("barrier_state", np.int32),
        ("barrier_delta_liq", np.int64),
        ("barrier_replenishment_ratio", np.float64),
        ("barrier_added", np.int64),
        ("barrier_canceled", np.int64),
        ("barrier_filled", np.int64),
        ("barrier_hidden", np.int64),
        ("barrier_churn", np.int64),
        ("barrier_depth", np.int64),
        ("barrier_visible", np.bool_),
        ("barrier_confidence", np.float64),
        ("barrier_defending_px", np.float64),
        ("barrier_defending_sz", np.int32),  # -1 is null
        ("barrier_depth_rank", np.float64),
        ("queue_imbalance", np.float64),
        ("ofi", np.int64),
        ("ofi_multi_level", np.int64),
        ("tape_imbalance", np.float64),
        ("tape_buy_vol", np.int64),
        ("tape_sell_vol", np.int64),
        ("tape_velocity", np.float64),
        ("tape_sweep_detected", np.bool_),
        ("tape_sweep_direction", np.int32),
        ("tape_sweep_notional", np.float64),
        ("tape_confidence", np.float64),
        ("tape_volume", np.int64),
        ("cumulative_delta", np.int64),
        ("fuel_effect", np.int32),
        ("fuel_available", np.bool_),
        ("fuel_net_dealer_gamma", np.float64),
        ("fuel_call_wall", np.float64),
        ("fuel_put_wall", np.float64),
        ("fuel_hvl", np.float64),
        ("fuel_confidence", np.float64),
        ("up_kind", np.int32),  # -1 when there is no level above
        ("up_key", np.int64),
        ("runway_up_level_price", np.float64),
        ("runway_up_distance", np.float64),
        ("runway_up_quality", np.int32),
        ("down_kind", np.int32),
        ("down_key", np.int64),
        ("runway_down_level_price", np.float64),
        ("runway_down_distance", np.float64),
        ("runway_down_quality", np.int32),
        ("validity_bits", np.int32),
        ("actionable", np.bool_),
    ],
    align=True,
)


def _codes(kind: NDArray[np.int32], key: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct (kind, key) pairs as [n, 2], and each row's place among them."""
    pairs = np.stack([kind.astype(np.int64), key], axis=1)
    distinct, place = np.unique(pairs, axis=0, return_inverse=True)
    return distinct, place.reshape(-1)


def _names(distinct: NDArray[np.int64], spacing: float, hotzones: NDArray[np.float64]) -> list[str]:
    return [level_name(int(kind), int(key), spacing, hotzones) if kind >= 0 else "" for kind, key in distinct]


def to_batch(rows: NDArray[np.void], underlying: str, spacing: float, hotzones: NDArray[np.float64]) -> Batch:
    """Rows of whole snaps, in time order, as a batch; within a snap ordered by level_id."""
    distinct, place = _codes(rows["kind"], rows["key"])
    names = _names(distinct, spacing, hotzones)
    rank = np.empty(len(names), np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    order = np.lexsort((rank[place], rows["ts_event_ns"]))
    rows = rows[order]
    place = place[order]
    ts = np.ascontiguousarray(rows["ts_event_ns"])
    _, first, count = np.unique(ts, return_index=True, return_counts=True)
    snap_rows = np.repeat(count, count).astype(np.int32)
    snap_row = (np.arange(len(ts)) - np.repeat(first, count)).astype(np.int32)

    columns: dict[str, Column] = {
        "underlying": repeated_string(underlying, len(rows)),
        "snap_row": Column(snap_row),
        "snap_rows": Column(snap_rows),
        "level_id": strings(names).take(place),
        "level_kind": Column(np.ascontiguousarray(rows["kind"])),
    }
    for side in ("up", "down"):
        near, where = _codes(rows[f"{side}_kind"], rows[f"{side}_key"])
        column = strings(_names(near, spacing, hotzones)).take(where)
        columns[f"runway_{side}_level_id"] = Column(column.values, rows[f"{side}_kind"] >= 0, column.offsets)
    for field in SCHEMA.fields:
        if field.name in columns:
            continue
        values = np.ascontiguousarray(rows[field.name])
        valid = None
        if field.nullable:
            valid = ~np.isnan(values) if field.kind == "double" else values >= 0
            values = np.where(valid, values, np.zeros(1, values.dtype))
        columns[field.name] = Column(values, valid)
    return Batch(SCHEMA.name, len(rows), {field.name: columns[field.name] for field in SCHEMA.fields})
