"""A snap of levels.signals.v1 as the payload of plan §6.4, and one of options.flow.v1 beside it. Pure.

Columns of Python values in, plain data or JSON bytes out.

Beyond §6.4 a level carries what the record has and a reader of a judgement needs: the score's components and what each
gives to it, smoothed measures, confidence values, the prior from the ground ahead, the episode and the validity. Times
are ms (snaps lie on whole ms); prices are in USD of the underlying.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import orjson

from common import schemas, topics
from common.columns import Batch, string_list
from common.config import NS_PER_MS

EPOCH = date(1970, 1, 1)

Columns = Mapping[str, Sequence[Any]]
"""Field name to the Python values of its rows: enums as their symbols, null as None."""


@cache
def validity_names() -> tuple[tuple[int, str], ...]:
    """Each bit of ``validity_bits`` and its name, from the schema's doc (``1 warming up`` is ``WARMING_UP``)."""
    doc = schemas.load(topics.SIGNALS).field("validity_bits").doc
    found = re.findall(r"(\d+) ([^,.]+)", doc)
    return tuple((int(bit), name.strip().upper().replace(" ", "_")) for bit, name in found)


def columns_of(batch: Batch) -> Columns:
    """The rows of a batch as Python values."""
    out: dict[str, Sequence[Any]] = {}
    for field in schemas.load(batch.name).fields:
        column = batch.columns[field.name]
        if field.kind == "string":
            out[field.name] = string_list(column)
            continue
        values = column.values.tolist()
        if field.kind == "enum":
            values = [field.symbols[index] for index in values]
        if column.valid is not None:
            values = [value if ok else None for value, ok in zip(values, column.valid.tolist(), strict=True)]
        out[field.name] = values
    return out


def level_payload(columns: Columns, row: int) -> dict[str, Any]:
    """One level's judgement: row ``row`` of the columns."""

    def get(name: str) -> Any:
        return columns[name][row]

    return {
        "id": get("level_id"),
        "price": get("level_price"),
        "kind": get("level_kind"),
        "strength": get("level_strength"),
        "confluence": get("confluence"),
        "direction": get("direction"),
        "distance": get("distance"),
        "break_score_raw": get("break_score_raw"),
        "break_score_smooth": get("break_score_smooth"),
        "signal": get("signal"),
        "confidence": get("confidence"),
        "confidence_value": get("confidence_value"),
        "scores": {"liquidity": get("score_liquidity"), "hedge": get("score_hedge"), "tape": get("score_tape")},
        "score": _score(get),
        "feasibility": _feasibility(get),
        "barrier": _barrier(get),
        "tape": _tape(get),
        "fuel": _fuel(get),
        "runway": _runway(get),
        "episode": _episode(get),
        "validity": _validity(get),
        "note": get("note"),
    }


def _score(get: Callable[[str], Any]) -> dict[str, Any]:
    return {
        "liquidity": get("contribution_liquidity"),
        "hedge": get("contribution_hedge"),
        "tape": get("contribution_tape"),
        "tape_velocity": get("score_tape_velocity"),
        "tape_imbalance": get("score_tape_imbalance"),
    }


def _feasibility(get: Callable[[str], Any]) -> dict[str, Any]:
    return {"logit": get("feasibility_logit"), "prior": get("feasibility_prior")}


def _barrier(get: Callable[[str], Any]) -> dict[str, Any]:
    price = get("barrier_defending_px")
    return {
        "state": get("barrier_state"),
        "delta_liq": get("barrier_delta_liq"),
        "delta_liq_smooth": get("barrier_delta_liq_smooth"),
        "replenishment_ratio": get("barrier_replenishment_ratio"),
        "replenishment_ratio_smooth": get("barrier_replenishment_ratio_smooth"),
        "added": get("barrier_added"),
        "canceled": get("barrier_canceled"),
        "filled": get("barrier_filled"),
        "hidden": get("barrier_hidden"),
        "churn": get("barrier_churn"),
        "depth": get("barrier_depth"),
        "visible": get("barrier_visible"),
        "confidence": get("barrier_confidence"),
        "defending_quote": None if price is None else {"price": price, "size": get("barrier_defending_sz")},
    }


def _tape(get: Callable[[str], Any]) -> dict[str, Any]:
    return {
        "imbalance": get("tape_imbalance"),
        "spy_imbalance": get("tape_spy_imbalance"),
        "buy_vol": get("tape_buy_vol"),
        "sell_vol": get("tape_sell_vol"),
        "velocity": get("tape_velocity"),
        "velocity_smooth": get("tape_velocity_smooth"),
        "sweep": {
            "detected": get("tape_sweep_detected"),
            "direction": get("tape_sweep_direction"),
            "notional": get("tape_sweep_notional"),
        },
        "confidence": get("tape_confidence"),
    }


def _fuel(get: Callable[[str], Any]) -> dict[str, Any]:
    return {
        "effect": get("fuel_effect"),
        "net_dealer_gamma": get("fuel_net_dealer_gamma"),
        "net_dealer_gamma_smooth": get("fuel_net_dealer_gamma_smooth"),
        "call_wall": get("fuel_call_wall"),
        "put_wall": get("fuel_put_wall"),
        "hvl": get("fuel_hvl"),
        "gex": get("fuel_gex"),
        "oi_call_wall": get("fuel_oi_call_wall"),
        "oi_put_wall": get("fuel_oi_put_wall"),
        "oi_age_s": get("fuel_oi_age_s"),
        "available": get("fuel_available"),
        "confidence": get("fuel_confidence"),
    }


def _runway(get: Callable[[str], Any]) -> dict[str, Any]:
    following, strong = get("runway_next_level_id"), get("runway_obstacle_level_id")
    obstacle = None
    if strong is not None:
        price, distance = get("runway_obstacle_level_price"), get("runway_obstacle_distance")
        obstacle = {"id": strong, "price": price, "distance": distance}
    return {
        "direction": get("runway_direction"),
        "next_obstacle": None if following is None else {"id": following, "price": get("runway_next_level_price")},
        "distance": get("runway_distance"),
        "quality": get("runway_quality"),
        "obstacle": obstacle,
    }


def _episode(get: Callable[[str], Any]) -> dict[str, Any] | None:
    episode_id = get("episode_id")
    return None if episode_id is None else {"id": episode_id, "touches": get("episode_touches")}


def _validity(get: Callable[[str], Any]) -> dict[str, Any]:
    bits = get("validity_bits")
    return {"bits": [name for bit, name in validity_names() if bits & bit], "actionable": get("actionable")}


def spot_payload(columns: Columns, row: int) -> dict[str, Any]:
    """What was the same for every level of the snap that row ``row`` belongs to."""
    return {
        "ts": columns["ts_event_ns"][row] // NS_PER_MS,
        "spy": {"spot": columns["spot"][row], "bid": columns["bid"][row], "ask": columns["ask"][row]},
        "underlying": columns["underlying"][row],
        "ratio": columns["ratio"][row],
        "session_date": columns["session_date"][row],
        "config_hash": columns["config_hash"][row],
    }


def snap_payload(columns: Columns, only: Collection[str] | None = None) -> dict[str, Any]:
    """One whole snap: the market and its levels, nearest first. ``only`` keeps the levels of these ids."""
    levels = [level_payload(columns, row) for row in range(len(columns["level_id"]))]
    levels = [level for level in levels if only is None or level["id"] in only]
    levels.sort(key=lambda level: (level["distance"], level["id"]))
    return {**spot_payload(columns, 0), "levels": levels}


def strike_id(right: str, strike: float) -> str:
    """How clients name a strike and right: ``C545``, ``P542.5``."""
    return f"{right}{strike:.10g}"


def flow_payload(columns: Columns, only: Collection[str] | None = None) -> dict[str, Any]:
    """One whole snap of option flow, by expiration, strike and right. ``only`` keeps the strikes of these ids."""
    strikes = []
    for row, (right, strike) in enumerate(zip(columns["right"], columns["strike"], strict=True)):
        name = strike_id(right, strike)
        if only is not None and name not in only:
            continue
        expiration = EPOCH + timedelta(days=columns["exp_date"][row])
        measures = {key: columns[key][row] for key in ("volume", "premium", "net_dealer_gamma", "net_dealer_delta")}
        strikes.append({"id": name, "expiration": expiration.isoformat(), "strike": strike, "right": right, **measures})
    strikes.sort(key=lambda found: (found["expiration"], found["strike"], found["right"]))
    ts_ms = columns["ts_event_ns"][0] // NS_PER_MS
    return {"ts": ts_ms, "underlying": columns["underlying"][0], "strikes": strikes}


def to_json(payload: Any) -> bytes:
    """Plain data as JSON bytes. A number that is not finite becomes null, as JSON has none."""
    return orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY)


def int_column(batch: Batch, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """An integer column of a batch as int64."""
    return batch[name].astype(np.int64, copy=False)
