"""Each profile runs whole sessions: what it says is alive, within its ranges, and the same bytes however the stream is
cut, and by the live worker too (DESIGN 4.11).

Spec: plan 6.4; core LevelSignalService; common-interfaces Configuration.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import schemas, settings, topics
from common.columns import Batch, concat, string_list
from common.config import PROFILES, EngineConfig, make_config
from producers.replay.engine import replay
from producers.replay.files import engine_batches
from producers.simulator import simulate
from producers.stream import StampedStep
from tests.property.test_engine import same

Rows = dict[str, Batch]

PAYLOAD = (
    *("spot", "bid", "ask", "level_id", "level_price", "level_kind", "direction", "distance"),
    *("break_score_raw", "break_score_smooth", "signal", "confidence", "note"),
    *("barrier_state", "barrier_delta_liq", "barrier_replenishment_ratio"),
    *("barrier_added", "barrier_canceled", "barrier_filled"),
    *("tape_imbalance", "tape_buy_vol", "tape_sell_vol", "tape_velocity"),
    *("tape_sweep_detected", "tape_sweep_direction", "tape_sweep_notional"),
    *("runway_direction", "runway_next_level_id", "runway_next_level_price", "runway_distance", "runway_quality"),
)
"""The payload of plan 6.4, but for its fuel."""
FUEL = ("fuel_effect", "fuel_net_dealer_gamma", "fuel_call_wall", "fuel_put_wall", "fuel_hvl")
SCALES = ("scale_depth", "scale_volume", "scale_velocity")

WITHIN = {
    "break_score_raw": (0.0, 100.0),
    "break_score_smooth": (0.0, 100.0),
    "score_liquidity": (0.0, 100.0),
    "score_hedge": (0.0, 100.0),
    "score_tape": (0.0, 100.0),
    "confidence_value": (0.0, 1.0),
    "feasibility_prior": (0.0, 1.0),
    "tape_imbalance": (-1.0, 1.0),
    "barrier_replenishment_ratio": (0.0, 10.0),
    "barrier_replenishment_ratio_smooth": (0.0, 10.0),
}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, ...]]:
    """The recorded ES session, and the simulated one of ES, SPY and its options."""
    folder = settings.settings().sample_data / "es"
    recorded = tuple(folder / f"esh4-20231225.{name}.dbn.zst" for name in ("mbp-10", "trades"))
    return {"recorded": recorded, "simulated": simulate(tmp_path_factory.mktemp("sim")).inputs}


@cache
def steps(paths: tuple[Path, ...], chunk_records: int) -> list[StampedStep]:
    """The records as every profile gets them: lateness is the same in all."""
    return list(engine_batches(paths, EngineConfig(), chunk_records=chunk_records))


@cache
def said(paths: tuple[Path, ...], profile: str, chunk_records: int = 32_768) -> Rows:
    parts: dict[str, list[Batch]] = {}
    for judged in replay(steps(paths, chunk_records), make_config(PROFILES[profile])):
        for name, batch in judged.rows.items():
            parts.setdefault(name, []).append(batch)
    return {name: concat(batches) for name, batches in parts.items()}


def texts(rows: Rows, name: str) -> list[str]:
    symbols = schemas.load(topics.SIGNALS).field(name).symbols
    return [symbols[value] for value in rows[topics.SIGNALS][name].tolist()]


def given(batch: Batch, name: str) -> list[Any]:
    """The column's values, None for null."""
    column = batch.columns[name]
    values = string_list(column) if column.offsets is not None else column.values.tolist()
    return [value if valid else None for value, valid in zip(values, column.validity.tolist(), strict=True)]


def known(batch: Batch, name: str) -> list[Any]:
    """Those that are not null."""
    return [value for value in given(batch, name) if value is not None]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("session", ["recorded", "simulated"])
def test_a_profile_says_the_same_bytes_however_a_session_is_cut(
    sessions: dict[str, tuple[Path, ...]], session: str, profile: str
) -> None:
    whole = said(sessions[session], profile)
    other = said(sessions[session], profile, 1_009)
    assert whole[topics.SIGNALS].length > 1_000
    assert list(whole) == list(other)
    assert same(tuple(whole.values()), tuple(other.values()))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_field_of_the_payload_lives_in_the_simulated_session(
    sessions: dict[str, tuple[Path, ...]], profile: str
) -> None:
    signals = said(sessions["simulated"], profile)[topics.SIGNALS]
    fuel = () if make_config(PROFILES[profile]).RATIO_FIXED else FUEL
    # Its threshold of a sweep, 500,000 USD within a minute, is two contracts: there always is one.
    constant = {"tape_sweep_detected"} if profile == "es" else set()
    still = [name for name in (*PAYLOAD, *fuel) if name not in constant and len(set(given(signals, name))) < 2]
    assert still == []


def test_spy_s_options_are_no_fuel_for_levels_of_es(sessions: dict[str, tuple[Path, ...]]) -> None:
    rows = said(sessions["simulated"], "es")
    assert rows[topics.OPTIONS_FLOW].length == 0
    assert not rows[topics.FEATURES]["fuel_available"].any()
    assert set(texts(rows, "fuel_effect")) == {"NEUTRAL"}
    assert set(rows[topics.FEATURES]["ratio"].tolist()) == {1.0}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("session", ["recorded", "simulated"])
def test_scores_and_ratios_stay_within_their_ranges(
    sessions: dict[str, tuple[Path, ...]], session: str, profile: str
) -> None:
    rows = said(sessions[session], profile)
    for batch in rows.values():
        for name, column in batch.columns.items():
            if column.values.dtype.kind == "f":
                assert np.isfinite(column.values[column.validity]).all(), name
    for name, (least, most) in WITHIN.items():
        values = known(rows[topics.SIGNALS], name)
        assert values, name
        assert least <= min(values) <= max(values) <= most, name


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_s_numbers_decide_signals(sessions: dict[str, tuple[Path, ...]], profile: str) -> None:
    rows = said(sessions["simulated"], profile)
    assert len(set(texts(rows, "barrier_state"))) >= 3
    assert set(texts(rows, "signal")) - {"NEUTRAL"}
    assert rows[topics.OUTCOMES].length > 0
    spy = said(sessions["simulated"], "spy")
    if profile != "spy":
        assert not same((rows[topics.SIGNALS],), (spy[topics.SIGNALS],))


def test_the_desk_s_thresholds_follow_the_market_and_the_others_do_not(
    sessions: dict[str, tuple[Path, ...]],
) -> None:
    for paths in sessions.values():
        for profile in PROFILES:
            features = said(paths, profile)[topics.FEATURES]
            moved = [name for name in SCALES if len(set(known(features, name))) > 1]
            assert moved == (list(SCALES) if profile == "desk" else []), profile
