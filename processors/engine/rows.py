"""Rows as the kernels write them, and as the columns of ``levels.features.v1`` and ``levels.outcomes.v1``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column, repeated_string, string_list, strings
from processors.engine.inputs import no_records
from processors.engine.texts import numbered, picked
from processors.engine.universe import level_name

SCHEMA = schemas.load(topics.FEATURES)
OUTCOMES = schemas.load(topics.OUTCOMES)

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
        ("episode", np.int32),  # -1 outside, here and in every nullable integer
        ("episode_touches", np.int32),
        ("level_strength", np.float64),
        ("confluence", np.int32),
        ("up_obstacle_kind", np.int32),
        ("up_obstacle_key", np.int64),
        ("runway_up_obstacle_level_price", np.float64),
        ("runway_up_obstacle_distance", np.float64),
        ("down_obstacle_kind", np.int32),
        ("down_obstacle_key", np.int64),
        ("runway_down_obstacle_level_price", np.float64),
        ("runway_down_obstacle_distance", np.float64),
        ("tape_spy_buy_vol", np.int64),
        ("tape_spy_sell_vol", np.int64),
        ("tape_spy_imbalance", np.float64),
        ("fuel_gex", np.float64),
        ("fuel_oi_call_wall", np.float64),
        ("fuel_oi_put_wall", np.float64),
        ("fuel_oi_age_s", np.float64),
        ("scale_depth", np.float64),
        ("scale_volume", np.float64),
        ("scale_velocity", np.float64),
    ],
    align=True,
)


_NEIGHBOURS = ("up", "down", "up_obstacle", "down_obstacle")


def _level_names(kind: NDArray[Any], key: NDArray[np.int64], spacing: float) -> tuple[list[str], NDArray[np.int64]]:
    """The different names of (kind, key) pairs, and each pair's place among them; a kind of -1 has none."""
    codes, place = numbered((key.astype(np.int64) << 6) | (kind.astype(np.int64) + 1))
    pairs = (((code & 63) - 1, code >> 6) for code in codes.tolist())
    return [level_name(kind, key, spacing) if kind >= 0 else "" for kind, key in pairs], place


def framed(ts_ns: NDArray[np.int64]) -> dict[str, Column]:
    """snap_row and snap_rows of rows in time order."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(ts_ns)), np.bool_), ts_ns[1:] != ts_ns[:-1]]))
    count = np.diff(np.append(starts, len(ts_ns)))
    return {
        "snap_row": Column((np.arange(len(ts_ns)) - np.repeat(starts, count)).astype(np.int32)),
        "snap_rows": Column(np.repeat(count, count).astype(np.int32)),
    }


def _numbers(values: NDArray[Any], nullable: bool) -> Column:
    values = np.ascontiguousarray(values)
    if not nullable:
        return Column(values)
    valid = ~np.isnan(values) if values.dtype.kind == "f" else values >= 0
    return Column(values if valid.all() else np.where(valid, values, np.zeros(1, values.dtype)), valid)


def _episode_ids(date: NDArray[Any], names: list[str], place: NDArray[np.int64], number: NDArray[Any]) -> Column:
    """``20250603-ROUND_600-2`` for the second episode of the session; null where the number is negative."""
    inside = number >= 0
    days = date.astype(np.int64)
    distinct, code = numbered(np.where(inside, (days << 36) | (place << 20) | number.astype(np.int64), -1))
    texts = [f"{c >> 36}-{names[c >> 20 & 0xFFFF]}-{c & 0xFFFFF}" if c >= 0 else "" for c in distinct.tolist()]
    column = picked(strings(texts), code)
    return Column(column.values, inside, column.offsets)


def to_batch(rows: NDArray[np.void], underlying: str, spacing: float) -> Batch:
    """Rows of whole snaps (ROW), in time order, as a batch of ``levels.features.v1``; in a snap ordered by level_id."""
    if len(rows) == 0:
        return no_records(SCHEMA.name)
    count = len(rows)
    sides = ("", *(f"{side}_" for side in _NEIGHBOURS))
    kind, key = (np.concatenate([rows[side + name] for side in sides]) for name in ("kind", "key"))
    names, place = _level_names(kind, key, spacing)
    rank = np.empty(len(names), np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    order = np.lexsort((rank[place[:count]], rows["ts_event_ns"]))
    ids = strings(names)
    ts_ns = rows["ts_event_ns"][order]
    own = place[:count][order]
    columns: dict[str, Column] = {
        "ts_event_ns": Column(ts_ns),
        "underlying": repeated_string(underlying, count),
        **framed(ts_ns),
        "level_id": picked(ids, own),
        "level_kind": Column(rows["kind"][order]),
        "episode_id": _episode_ids(rows["session_date"][order], names, own, rows["episode"][order]),
    }
    for n, side in enumerate(_NEIGHBOURS, start=1):
        there = slice(n * count, (n + 1) * count)
        column = picked(ids, place[there][order])
        columns[f"runway_{side}_level_id"] = Column(column.values, kind[there][order] >= 0, column.offsets)
    for field in SCHEMA.fields:
        if field.name not in columns:
            columns[field.name] = _numbers(rows[field.name][order], field.nullable)
    return Batch(SCHEMA.name, count, {field.name: columns[field.name] for field in SCHEMA.fields})


def to_outcomes(rows: NDArray[np.void], underlying: str, spacing: float, config_hash: str) -> Batch:
    """Known outcomes (OUTCOME), in time order, as a batch of ``levels.outcomes.v1``; of one time ordered by episode."""
    if len(rows) == 0:
        return no_records(OUTCOMES.name)
    names, place = _level_names(rows["kind"], rows["key"], spacing)
    ids = _episode_ids(rows["session_date"], names, place, rows["number"])
    texts = string_list(Column(ids.values, None, ids.offsets))
    order = np.array(sorted(range(len(rows)), key=lambda n: (int(rows["ts_event_ns"][n]), texts[n])), np.int64)
    rows, place = rows[order], place[order]
    columns = {
        "underlying": repeated_string(underlying, len(rows)),
        "episode_id": picked(Column(ids.values, None, ids.offsets), order),
        "level_id": picked(strings(names), place),
        "level_kind": Column(rows["kind"].astype(np.int32)),
        "level_price": Column(np.ascontiguousarray(rows["price"])),
        "direction": Column(rows["direction"].astype(np.int32)),
        "ts_touch_ns": Column(np.ascontiguousarray(rows["touch_ns"])),
        "config_hash": repeated_string(config_hash, len(rows)),
        "session_date": _numbers(rows["session_date"].astype(np.int32), True),
        "episode_touches": _numbers(rows["touches"].astype(np.int32), True),
        "ts_passage_ns": Column(np.ascontiguousarray(rows["passage_ns"]), rows["passage_ns"] > 0),
        "spot_at_touch": _numbers(rows["spot"], True),
        "ts_event_ns": Column(np.ascontiguousarray(rows["ts_event_ns"])),
    }
    for k, seconds in enumerate((120, 240, 480)):
        columns[f"outcome_{seconds}s"] = Column(rows["result"][:, k].astype(np.int32))
    return Batch(OUTCOMES.name, len(rows), {field.name: columns[field.name] for field in OUTCOMES.fields})
