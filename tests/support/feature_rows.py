"""Feature rows for tests of the signal stage: plain dictionaries to and from batches, and seeded random snaps."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common import schemas, topics
from common.columns import Batch, Column, string_list, strings

INTERVAL_NS = 250_000_000
START_NS = 1_703_500_000_000_000_000
"""A point of the snap grid."""

_DEFAULTS: dict[str, Any] = {
    "underlying": "SPY",
    "snap_rows": 1,
    "session_date": 20231225,
    "ts_event_ns": START_NS,
    "spot": 472.02,
    "level_id": "ROUND_472",
    "level_price": 472.0,
    "direction": "SUPPORT",
    "distance": 0.02,
    "level_tick": 18880,
    "ratio": 10.0,
    "ratio_state": "DEFAULT",
    "barrier_visible": True,
    "barrier_confidence": 1.0,
    "tape_confidence": 1.0,
    "validity_bits": 128,
    "actionable": True,
}


def column(field: schemas.Field, items: Sequence[Any]) -> Column:
    """One field's items (symbols as strings, None for null) as a column."""
    if field.kind == "string":
        made = strings(items)
        valid = np.array([item is not None for item in items], np.bool_)
        return Column(made.values, valid if field.nullable else None, made.offsets)
    if field.kind == "enum":
        items = [field.symbols.index(item) for item in items]
    valid = np.array([item is not None for item in items], np.bool_)
    values = np.array([0 if item is None else item for item in items], field.dtype)
    return Column(values, valid if field.nullable else None)


def _zero(field: schemas.Field) -> Any:
    if field.nullable:
        return None
    return {"string": "", "enum": field.symbols[0] if field.symbols else None}.get(field.kind, 0)


def feature_batch(rows: Sequence[Mapping[str, Any]]) -> Batch:
    """Feature rows from the fields given; the others are a quiet level's, zero or null."""
    columns = {}
    for field in schemas.load(topics.FEATURES).fields:
        default = _DEFAULTS.get(field.name, _zero(field))
        columns[field.name] = column(field, [row.get(field.name, default) for row in rows])
    return Batch(topics.FEATURES, len(rows), columns)


def row_dicts(batch: Batch) -> list[dict[str, Any]]:
    """Every row of a batch, enums as their symbols, nulls as None."""
    lists: dict[str, list[Any]] = {}
    for field in schemas.load(batch.name).fields:
        made = batch.columns[field.name]
        items: list[Any] = string_list(made) if field.kind == "string" else made.values.tolist()
        if field.kind == "enum":
            items = [field.symbols[item] for item in items]
        if made.valid is not None:
            items = [item if ok else None for item, ok in zip(items, made.valid.tolist(), strict=True)]
        lists[field.name] = items
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


class Episodes:
    """The episodes of a session: each level's open, close and follow each other at random."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._count: dict[int, int] = {}
        self._open: set[int] = set()

    def of(self, level: int) -> dict[str, Any]:
        """The level's episode columns at the next snap."""
        if level in self._open and self._rng.random() < 0.08:
            self._open.remove(level)
        if level not in self._open and self._rng.random() < 0.15:
            self._open.add(level)
            self._count[level] = self._count.get(level, 0) + 1
        if level not in self._open:
            return {"episode": None, "episode_id": None, "episode_touches": None}
        count = self._count[level]
        return {"episode": count, "episode_id": f"{level}-{count}", "episode_touches": count - 1}


def _later_columns(rng: random.Random) -> dict[str, Any]:
    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.8 else None

    out: dict[str, Any] = {
        "level_kind": rng.choice(("ROUND", "VWAP", "CALL_WALL", "POC")),
        "level_strength": maybe(rng.gauss(0, 50_000)),
        "confluence": maybe(rng.randrange(4)),
        "tape_spy_imbalance": maybe(rng.uniform(-1, 1)),
        "fuel_gex": maybe(rng.gauss(0, 1e9)),
        "fuel_oi_call_wall": maybe(475.0),
        "fuel_oi_put_wall": maybe(465.0),
        "fuel_oi_age_s": maybe(rng.random() * 300),
        "scale_depth": maybe(rng.choice((0.0, 1.0, 0.1 + rng.random()))),
        "scale_volume": maybe(rng.choice((0.0, 1.0, 0.1 + rng.random()))),
        "scale_velocity": maybe(rng.choice((0.0, 1.0, 0.1 + rng.random()))),
    }
    for way, sign in (("up", 1), ("down", -1)):
        if rng.random() < 0.7:
            distance = rng.choice((0.1, 0.2, 0.3, 0.4, 1.0))
            out[f"runway_{way}_obstacle_level_id"] = f"{way.upper()}_WALL"
            out[f"runway_{way}_obstacle_level_price"] = 472.0 + sign * distance
            out[f"runway_{way}_obstacle_distance"] = distance
    return out


def random_snaps(seed: int, snaps: int, levels: int = 4) -> list[list[dict[str, Any]]]:
    """Whole snaps of a lively market: levels come and go, flip, halt, have episodes, change session; one list of rows
    per snap.

    Every fifth seed is of an engine that fills none of the record's later columns.
    """
    rng = random.Random(seed)
    early = seed % 5 == 0
    states = list(schemas.load(topics.FEATURES).field("barrier_state").symbols)
    out = []
    ts_ns, session = START_NS, 20231225
    regime = {level: (rng.choice(states), rng.random()) for level in range(levels)}
    episodes = Episodes(rng)
    for _ in range(snaps):
        ts_ns += INTERVAL_NS * (1 if rng.random() < 0.97 else rng.randrange(2, 9))
        if rng.random() < 0.01:
            session += 1
            episodes = Episodes(rng)
        halted = 32 if rng.random() < 0.03 else 0
        present = sorted(f"ROUND_{470 + level}" for level in range(levels) if rng.random() < 0.98)
        rows: list[dict[str, Any]] = []
        for number, level_id in enumerate(present):
            level = int(level_id.removeprefix("ROUND_")) - 470
            if rng.random() < 0.06:
                regime[level] = (rng.choice(states), rng.random())
            state, tilt = regime[level]
            gamma = rng.gauss(0, 20_000) if rng.random() < 0.8 else None
            rows.append(
                {
                    "ts_event_ns": ts_ns,
                    "session_date": session,
                    "snap_row": number,
                    "snap_rows": len(present),
                    "level_id": level_id,
                    "level_price": 470.0 + level,
                    "direction": "SUPPORT" if rng.random() < 0.99 else "RESISTANCE",
                    "distance": rng.random() * 0.06,
                    "ratio": 10.0 + rng.random() * 0.2,
                    "barrier_state": state,
                    "barrier_delta_liq": rng.randrange(-400, 400),
                    "barrier_added": rng.randrange(0, 300) if tilt > 0.2 else 0,
                    "barrier_canceled": rng.randrange(0, 300) if tilt > 0.3 else 0,
                    "barrier_filled": rng.randrange(0, 100) if tilt > 0.3 else 0,
                    "barrier_confidence": rng.random(),
                    "tape_imbalance": rng.uniform(-1, 1),
                    "tape_velocity": rng.gauss(0, 0.05),
                    "tape_volume": rng.randrange(0, 300),
                    "tape_sweep_detected": tilt > 0.5,
                    "tape_sweep_direction": "DOWN" if tilt > 0.6 else "UP",
                    "tape_confidence": rng.random(),
                    "fuel_effect": "AMPLIFY" if state == "VACUUM" else "DAMPEN" if state == "WALL" else "NEUTRAL",
                    "fuel_available": gamma is not None,
                    "fuel_net_dealer_gamma": gamma,
                    "runway_up_level_id": f"ROUND_{471 + level}" if rng.random() < 0.8 else None,
                    "runway_up_level_price": 471.0 + level,
                    "runway_down_level_id": "SESSION_LOW",
                    "runway_down_level_price": 466.5,
                    "runway_down_distance": 3.5 + level,
                    "runway_down_quality": "CLEAR",
                    "validity_bits": 128 | halted | rng.choice((0, 512)),
                    **({} if early else {**episodes.of(level), **_later_columns(rng)}),
                }
            )
        if rows:
            out.append(rows)
    return out
