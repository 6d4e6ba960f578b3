"""Examples for the API's documents; the level is that of plan §6.4 with ES sizes.

Tests hold them against the models.
"""

from __future__ import annotations

from typing import Any

LEVEL_EXAMPLE: dict[str, Any] = {
    "id": "ROUND_545",
    "price": 545.0,
    "kind": "ROUND",
    "strength": None,
    "confluence": 1,
    "direction": "SUPPORT",
    "distance": 0.04,
    "break_score_raw": 100.0,
    "break_score_smooth": 91.3,
    "signal": "BREAK",
    "confidence": "HIGH",
    "confidence_value": 0.91,
    "scores": {"liquidity": 100.0, "hedge": 100.0, "tape": 100.0},
    "score": {"liquidity": 45.0, "hedge": 35.0, "tape": 20.0, "tape_velocity": None, "tape_imbalance": None},
    "feasibility": {"logit": 2.0, "prior": 0.8807970779778823},
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
        "defending_quote": {"price": 545.03, "size": 38},
    },
    "tape": {
        "imbalance": -0.45,
        "spy_imbalance": -0.38,
        "buy_vol": 120,
        "sell_vol": 320,
        "velocity": -0.08,
        "velocity_smooth": -0.06,
        "sweep": {"detected": True, "direction": "DOWN", "notional": 1250000.0},
        "confidence": 0.9,
    },
    "fuel": {
        "effect": "AMPLIFY",
        "net_dealer_gamma": -185000.0,
        "net_dealer_gamma_smooth": -171300.0,
        "call_wall": 548.0,
        "put_wall": 542.0,
        "hvl": 545.0,
        "gex": -2.4e9,
        "oi_call_wall": 550.0,
        "oi_put_wall": 540.0,
        "oi_age_s": 41.5,
        "available": True,
        "confidence": 0.8,
    },
    "runway": {
        "direction": "DOWN",
        "next_obstacle": {"id": "SESSION_LOW", "price": 542.0},
        "distance": 3.0,
        "quality": "OBSTRUCTED",
        "obstacle": {"id": "SESSION_LOW", "price": 542.0, "distance": 3.0},
    },
    "episode": {"id": "20240513/ROUND_545/3", "touches": 2},
    "validity": {"bits": [], "actionable": True},
    "note": "Vacuum + dealers chase; sweep confirms; third touch",
}

MARKET_EXAMPLE: dict[str, Any] = {
    "ts": 1715629300250,
    "spy": {"spot": 545.04, "bid": 545.03, "ask": 545.05},
    "underlying": "SPY",
    "ratio": 10.0142,
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
        "flow": {"ok": True, "detail": "seq 9120"},
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
