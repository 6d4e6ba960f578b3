"""The payload of plan §6.4."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api import examples, models
from api.payload import columns_of, level_payload, snap_payload, validity_names
from common import schemas, topics
from common.columns import string_list
from processors.engine.notes import VOCABULARY
from tests.support.signal_rows import signal_batch, signal_snaps, snap_rows

PLAN_LEVEL: dict[str, Any] = {
    "id": "STRIKE_545",
    "price": 545.0,
    "kind": "STRIKE",
    "direction": "SUPPORT",
    "distance": 0.42,
    "break_score_raw": 88,
    "break_score_smooth": 81,
    "signal": "BREAK",
    "confidence": "HIGH",
    "barrier": {
        "state": "VACUUM",
        "delta_liq": -8200,
        "replenishment_ratio": 0.15,
        "added": 3100,
        "canceled": 9800,
        "filled": 1500,
    },
    "tape": {
        "imbalance": -0.45,
        "buy_vol": 120000,
        "sell_vol": 320000,
        "velocity": -0.08,
        "sweep": {"detected": True, "direction": "DOWN", "notional": 1250000},
    },
    "fuel": {"effect": "AMPLIFY", "net_dealer_gamma": -185000, "call_wall": 548, "put_wall": 542, "hvl": 545},
    "runway": {
        "direction": "DOWN",
        "next_obstacle": {"id": "PUT_WALL", "price": 542},
        "distance": 3.0,
        "quality": "CLEAR",
    },
    "note": "Vacuum + dealers chase; sweep confirms",
}
"""The level of plan §6.4, to the letter."""

PLAN_ROW: dict[str, Any] = {
    "ts_event_ns": 1715629300123_000_000,
    "spot": 545.42,
    "bid": 545.41,
    "ask": 545.43,
    "level_id": "STRIKE_545",
    "level_kind": "STRIKE",
    "level_price": 545.0,
    "distance": 0.42,
    "snap_rows": 1,
    "break_score_raw": 88.0,
    "break_score_smooth": 81.0,
    "signal": "BREAK",
    "confidence": "HIGH",
    "barrier_state": "VACUUM",
    "barrier_delta_liq": -8200,
    "barrier_replenishment_ratio": 0.15,
    "barrier_added": 3100,
    "barrier_canceled": 9800,
    "barrier_filled": 1500,
    "tape_imbalance": -0.45,
    "tape_buy_vol": 120000,
    "tape_sell_vol": 320000,
    "tape_velocity": -0.08,
    "tape_sweep_detected": True,
    "tape_sweep_direction": "DOWN",
    "tape_sweep_notional": 1250000.0,
    "fuel_effect": "AMPLIFY",
    "fuel_net_dealer_gamma": -185000.0,
    "fuel_call_wall": 548.0,
    "fuel_put_wall": 542.0,
    "fuel_hvl": 545.0,
    "runway_direction": "DOWN",
    "runway_next_level_id": "PUT_WALL",
    "runway_next_level_price": 542.0,
    "runway_distance": 3.0,
    "runway_quality": "CLEAR",
    "note": "Vacuum + dealers chase; sweep confirms",
}


def contained(expected: Any, actual: Any) -> bool:
    """Whether everything in ``expected`` is in ``actual``, which may say more."""
    if isinstance(expected, dict):
        return all(key in actual and contained(value, actual[key]) for key, value in expected.items())
    return bool(expected == actual)


def test_the_payload_is_the_plans() -> None:
    payload = snap_payload(columns_of(signal_batch([PLAN_ROW])))
    assert payload["ts"] == 1715629300123
    assert payload["spy"] == {"spot": 545.42, "bid": 545.41, "ask": 545.43}
    assert contained(PLAN_LEVEL, payload["levels"][0])


def test_the_payload_is_what_the_documents_say() -> None:
    (snap,) = signal_snaps(0)
    models.Levels.model_validate_json(snap.body)
    (level,) = snap_payload(columns_of(signal_batch([PLAN_ROW])))["levels"]
    models.Level.model_validate(level)


def test_levels_come_nearest_first_and_by_id_where_equal() -> None:
    rows = snap_rows(0, ["A", "B", "C"])
    for row, distance in zip(rows, (0.5, 0.1, 0.5), strict=True):
        row["distance"] = distance
    payload = snap_payload(columns_of(signal_batch(rows)))
    assert [level["id"] for level in payload["levels"]] == ["B", "A", "C"]


def test_a_missing_value_is_null_and_never_a_number() -> None:
    (snap,) = signal_snaps(0, bid=None, ask=None)
    payload = json.loads(snap.body)
    assert payload["spy"]["bid"] is None
    level = payload["levels"][0]
    assert level["fuel"]["net_dealer_gamma"] is None
    assert level["fuel"]["available"] is False
    assert level["runway"]["next_obstacle"] is None
    assert level["barrier"]["defending_quote"] is None
    assert level["episode"] is None
    assert level["runway"]["obstacle"] is None
    assert level["strength"] is None and level["fuel"]["gex"] is None and level["tape"]["spy_imbalance"] is None


LATER: dict[str, Any] = {
    "level_strength": -90_000.0,
    "confluence": 2,
    "ratio": 10.01,
    "contribution_liquidity": 45.0,
    "contribution_hedge": 17.5,
    "contribution_tape": 9.0,
    "score_tape_velocity": 25.0,
    "score_tape_imbalance": 20.0,
    "feasibility_logit": -1.0,
    "feasibility_prior": 0.25,
    "tape_spy_imbalance": -0.5,
    "fuel_gex": 3e9,
    "fuel_oi_call_wall": 550.0,
    "fuel_oi_put_wall": 540.0,
    "fuel_oi_age_s": 12.5,
    "runway_obstacle_level_id": "PUT_WALL",
    "runway_obstacle_level_price": 542.0,
    "runway_obstacle_distance": 3.0,
    "episode_id": "E3",
    "episode_touches": 2,
}


def test_what_came_after_the_plan_stands_where_a_reader_looks_for_it() -> None:
    payload = snap_payload(columns_of(signal_batch([{**PLAN_ROW, **LATER}])))
    (level,) = payload["levels"]
    models.Level.model_validate(level)
    assert payload["ratio"] == 10.01
    assert contained(
        {
            "strength": -90_000.0,
            "confluence": 2,
            "score": {"liquidity": 45.0, "hedge": 17.5, "tape": 9.0, "tape_velocity": 25.0, "tape_imbalance": 20.0},
            "feasibility": {"logit": -1.0, "prior": 0.25},
            "tape": {"spy_imbalance": -0.5},
            "fuel": {"gex": 3e9, "oi_call_wall": 550.0, "oi_put_wall": 540.0, "oi_age_s": 12.5},
            "runway": {"obstacle": {"id": "PUT_WALL", "price": 542.0, "distance": 3.0}},
            "episode": {"id": "E3", "touches": 2},
        },
        level,
    )
    assert contained(PLAN_LEVEL, level)


def test_the_example_adds_up() -> None:
    """Plan §5.4, DESIGN §4.8: its numbers are such as the engine gives."""
    level = examples.LEVEL_EXAMPLE
    parts = [level["score"][name] for name in ("liquidity", "hedge", "tape")]
    assert parts == [
        0.45 * level["scores"]["liquidity"],
        0.35 * level["scores"]["hedge"],
        0.2 * level["scores"]["tape"],
    ]
    assert sum(parts) == level["break_score_raw"]
    engines = [level[name]["confidence"] for name in ("barrier", "fuel", "tape")]
    assert level["confidence_value"] == pytest.approx(0.45 * engines[0] + 0.35 * engines[1] + 0.2 * engines[2])
    assert level["note"] in string_list(VOCABULARY)
    assert level["distance"] == pytest.approx(examples.MARKET_EXAMPLE["spy"]["spot"] - level["price"])


def test_a_number_that_json_does_not_have_is_null() -> None:
    (snap,) = signal_snaps(0, tape_velocity=float("nan"))
    assert json.loads(snap.body)["levels"][0]["tape"]["velocity"] is None


def test_every_bit_of_validity_has_its_name() -> None:
    assert dict(validity_names()) == {
        1: "WARMING_UP",
        2: "ES_STALE",
        4: "SPY_STALE",
        8: "OPTIONS_STALE",
        16: "GAP",
        32: "HALTED",
        64: "ZONE_NOT_VISIBLE",
        128: "FUEL_ABSENT",
        256: "RATIO_HELD",
        512: "GAMMA_IMPLIED_FROM_OPTION_QUOTES",
    }


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (0, []),
        (128, ["FUEL_ABSENT"]),
        (1 | 64 | 256, ["WARMING_UP", "ZONE_NOT_VISIBLE", "RATIO_HELD"]),
        (512, ["GAMMA_IMPLIED_FROM_OPTION_QUOTES"]),
    ],
)
def test_validity_says_what_is_missing(bits: int, names: list[str]) -> None:
    columns = columns_of(signal_batch(snap_rows(0, validity_bits=bits)))
    assert level_payload(columns, 0)["validity"] == {"bits": names, "actionable": True}


def test_every_field_of_the_record_is_served() -> None:
    internal = {"snap_row", "snap_rows"}
    read: set[str] = set()

    class Watched(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            read.add(name)
            return super().__getitem__(name)

    ids = {"episode_id": "E1", "runway_next_level_id": "VWAP", "runway_obstacle_level_id": "VWAP"}
    rows = snap_rows(0, **ids, barrier_defending_px=472.0)
    snap_payload(Watched(columns_of(signal_batch(rows))))
    assert {field.name for field in schemas.load(topics.SIGNALS).fields} - read == internal


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (models.Level, examples.LEVEL_EXAMPLE),
        (models.Levels, examples.LEVELS_EXAMPLE),
        (models.History, examples.HISTORY_EXAMPLE),
        (models.HealthReport, examples.HEALTH_EXAMPLE),
        (models.EngineConfiguration, examples.CONFIG_EXAMPLE),
        (models.Problem, examples.PROBLEM_EXAMPLE),
    ],
)
def test_an_example_is_a_valid_answer(model: type[models.Answer], example: dict[str, Any]) -> None:
    model.model_validate(example)


def test_the_symbols_of_the_documents_are_the_schemas() -> None:
    fields = {
        "barrier_state": models.Barrier.model_fields["state"],
        "signal": models.Level.model_fields["signal"],
        "confidence": models.Level.model_fields["confidence"],
        "direction": models.Level.model_fields["direction"],
        "fuel_effect": models.Fuel.model_fields["effect"],
        "tape_sweep_direction": models.Sweep.model_fields["direction"],
        "runway_direction": models.Runway.model_fields["direction"],
        "runway_quality": models.Runway.model_fields["quality"],
    }
    for name, info in fields.items():
        assert set(info.annotation.__args__) == set(schemas.load(topics.SIGNALS).field(name).symbols), name  # type: ignore[union-attr]
