"""The engine's configuration: complete, validated, hashed.

Spec: plan 9; core Configuration; common-interfaces Configuration.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from common.config import PROFILES, EngineConfig, load_config, make_config
from common.errors import ConfigError

CORE_MD = {
    "W_b": 10.0, "W_t": 5.0, "W_g": 60.0, "W_v": 3.0, "W_wall": 300.0, "MONITOR_BAND": 0.50, "TOUCH_BAND": 0.05,
    "BARRIER_ZONE_TICKS": 2, "R_vac": 0.3, "R_wall": 1.5, "F_thresh": 100, "TAPE_BAND": 0.10,
    "SWEEP_MIN_NOTIONAL": 500_000.0, "SWEEP_MAX_GAP_MS": 100, "FUEL_STRIKE_RANGE": 2.0, "gamma_threshold": 10_000.0,
    "wall_strength_threshold": 50_000.0, "w_L": 0.45, "w_H": 0.35, "w_T": 0.20, "BREAK_SCORE_THRESHOLD": 80.0,
    "REJECT_SCORE_THRESHOLD": 20.0, "TRIGGER_HOLD_TIME": 3.0, "tau_score": 2.0, "tau_velocity": 1.5,
    "tau_delta_liq": 3.0, "tau_replenish": 3.0, "tau_dealer_gamma": 5.0, "SNAP_INTERVAL_MS": 250,
    "ROUND_LEVELS_SPACING": 1.0, "STRIKE_RANGE": 5.0, "VWAP_ENABLED": True,
}  # fmt: skip
"""core.md's Configuration table, and the engines' own lists of keys."""


def test_every_key_of_core_md_has_its_default() -> None:
    values = EngineConfig().model_dump()
    assert {key: values[key] for key in CORE_MD} == CORE_MD


COMMON_INTERFACES = {
    "W_b": 240.0, "W_t": 60.0, "W_g": 60.0, "W_v": 3.0, "W_wall": 300.0, "MONITOR_BAND": 0.25, "TOUCH_BAND": 0.10,
    "CONFLUENCE_BAND": 0.20, "BARRIER_ZONE_TICKS": 8, "R_vac": 0.3, "R_wall": 1.5, "F_thresh": 100, "TAPE_BAND": 0.50,
    "SWEEP_MIN_NOTIONAL": 500_000.0, "SWEEP_MAX_GAP_MS": 100, "SWEEP_MIN_VENUES": 1, "w_L": 0.45, "w_H": 0.35,
    "w_T": 0.20, "BREAK_SCORE_THRESHOLD": 80.0, "REJECT_SCORE_THRESHOLD": 20.0, "TRIGGER_HOLD_TIME": 3.0,
    "FEASIBILITY_LOGIT_STEP": 1.0, "FEASIBILITY_LOGIT_CAP": 2.5, "tau_score": 2.0, "tau_velocity": 1.5,
    "tau_delta_liq": 3.0, "tau_dealer_gamma": 5.0, "SNAP_INTERVAL_MS": 250,
}  # fmt: skip
"""The numbers of common-interfaces.md, "Configuration", which are those of ES levels in points."""


def test_the_es_profile_has_the_numbers_of_common_interfaces_md() -> None:
    values = make_config(PROFILES["es"]).model_dump()
    assert {key: values[key] for key in COMMON_INTERFACES} == COMMON_INTERFACES
    assert (values["RATIO_FIXED"], values["RATIO_DEFAULT"]) == (True, 1.0), "a level of ES is a price of ES"


def test_the_desk_profile_changes_what_is_normalised_and_smoothed_and_nothing_else() -> None:
    """DESIGN 4.11."""
    values, usual = make_config(PROFILES["desk"]).model_dump(), EngineConfig().model_dump()
    assert {key: value for key, value in values.items() if value != usual[key]} == {
        "NORMALISE": True,
        "SMOOTHING": "HYBRID",
    }
    assert make_config(PROFILES["spy"]) == EngineConfig()


def test_every_key_has_a_unit_a_source_and_a_meaning() -> None:
    for row in EngineConfig().described():
        assert row["unit"] and row["source"] and row["description"], row["key"]


def test_equal_configurations_have_equal_hashes_and_any_change_another() -> None:
    assert EngineConfig().hash == EngineConfig(W_b=10.0).hash
    assert len({EngineConfig().hash, EngineConfig(W_b=5.0).hash, EngineConfig(USER_HOTZONES=(680.0,)).hash}) == 3


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        EngineConfig().W_b = 5.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"W_b": 10.1}, "W_b=10.1 s is not a multiple of SNAP_INTERVAL_MS=250"),
        ({"w_L": 0.5}, "w_L . w_H . w_T must be 1"),
        ({"REJECT_EXIT_THRESHOLD": 10.0}, "thresholds must rise"),
        ({"USER_HOTZONES": (-1.0,)}, "positive prices"),
        ({"W_c": 1.0}, "W_c: Extra inputs"),
        ({"R_vac": float("nan")}, "R_vac"),
        ({"F_thresh": "many"}, "F_thresh"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_config(changes)


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "engine.toml"
    file.write_text("W_b = 5.0\nW_t = 2.5\n")
    monkeypatch.setenv("BREAKWATER_ENGINE_W_t", "1.5")
    monkeypatch.setenv("BREAKWATER_ENGINE_USER_HOTZONES", "600.5, 601")
    config = load_config(file, "spy")
    assert (config.W_b, config.W_t, config.USER_HOTZONES) == (5.0, 1.5, (600.5, 601.0))


def test_an_unknown_variable_a_broken_file_and_an_unknown_profile_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="unknown profile 'nope'"):
        load_config(None, "nope")
    file = tmp_path / "engine.toml"
    with pytest.raises(ConfigError, match=r"engine\.toml"):
        load_config(file, "spy")
    file.write_text("W_b = = 5")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(file, "spy")
    monkeypatch.setenv("BREAKWATER_ENGINE_WB", "1")
    with pytest.raises(ConfigError, match="BREAKWATER_ENGINE_WB"):
        load_config(None, "spy")
