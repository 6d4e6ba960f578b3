"""Examples for the API's documents; the level is that of plan §6.4 with ES sizes.

Tests hold them against the models.
"""

from __future__ import annotations

from typing import Any

LEVEL_EXAMPLE: dict[str, Any] = {
    "id": "ROUND_545",
    "price": 545.0,
    "kind": "ROUND",
    "direction": "SUPPORT",
    "distance": 0.42,
    "break_score_raw": 88.0,
    "break_score_smooth": 81.3,
    "signal": "BREAK",
    "confidence": "HIGH",
    "confidence_value": 0.74,
    "scores": {"liquidity": 100.0, "hedge": 50.0, "tape": 100.0},
    "barrier": {
        "state": "VACUUM",
        "delta_liq": -820,
        "delta_liq_smooth": -801.5,
        "replenishment_ratio": 0.15,
        "replenishment_ratio_smooth": 0.17,
        "added": 310,
        "canceled": 980,
        "filled": 150,
        "hidden": 12,
        "churn": 1440,
        "depth": 205,
        "visible": True,
        "confidence": 1.0,
        "defending_quote": {"price": 545.41, "size": 38},
    },
    "tape": {
        "imbalance": -0.45,
        "buy_vol": 120,
        "sell_vol": 320,
        "velocity": -0.08,
        "velocity_smooth": -0.06,
        "sweep": {"detected": True, "direction": "DOWN", "notional": 1250000.0},
        "confidence": 0.9,
    },
    "fuel": {
        "effect": "NEUTRAL",
        "net_dealer_gamma": None,
        "net_dealer_gamma_smooth": None,
        "call_wall": None,
        "put_wall": None,
        "hvl": None,
        "available": False,
        "confidence": 0.0,
    },
    "runway": {
        "direction": "DOWN",
        "next_obstacle": {"id": "SESSION_LOW", "price": 542.0},
        "distance": 3.0,
        "quality": "CLEAR",
    },
    "episode": None,
    "validity": {"bits": ["FUEL_ABSENT"], "actionable": True},
    "note": "vacuum; sweep confirms",
}

MARKET_EXAMPLE: dict[str, Any] = {
    "ts": 1715629300250,
    "spy": {"spot": 545.42, "bid": 545.41, "ask": 545.43},
    "underlying": "SPY",
    "session_date": 20240513,
    "config_hash": "3b1f6c0d9a7e5521",
}

LEVELS_EXAMPLE: dict[str, Any] = {"seq": 18423, **MARKET_EXAMPLE, "levels": [LEVEL_EXAMPLE]}

HISTORY_EXAMPLE: dict[str, Any] = {
    "level_id": "ROUND_545",
    "points": [{**MARKET_EXAMPLE, "level": LEVEL_EXAMPLE}],
    "next_cursor": "MTcxNTYyOTMwMDI1MDAwMDAwMDpST1VORF81NDU",
    "complete": True,
}

HEALTH_EXAMPLE: dict[str, Any] = {
    "status": "ok",
    "parts": {
        "broker": {"ok": True, "detail": ""},
        "signals": {"ok": True, "detail": "seq 18423"},
        "tables": {"ok": True, "detail": ""},
    },
    "signals": {"lag_records": 0, "latest_seq": 18423, "latest_ts": 1715629300250, "ws_clients": 2},
    "tables": {"gold.levels_signals": {"exists": True, "snapshot_id": "7216435672094110023", "rows": 18424}},
}

CONFIG_EXAMPLE: dict[str, Any] = {
    "profile": "spy",
    "hash": "3b1f6c0d9a7e5521",
    "keys": [
        {
            "key": "W_b",
            "value": 10.0,
            "unit": "s",
            "source": "core.md, Configuration",
            "description": "Window of the barrier's flows.",
        }
    ],
}

PROBLEM_EXAMPLE: dict[str, Any] = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "from=yesterday is not a time",
    "instance": "/v1/levels/ROUND_545/history",
    "hint": "Give ISO 8601, such as 2023-12-25T23:00:00Z, or integer ns since the epoch.",
}

SNAPSHOT_FRAME: dict[str, Any] = {"type": "snapshot", **LEVELS_EXAMPLE}
