"""Which levels a snap has, where, how strong and by what name (plan §4; core.md, LevelUniverse).

Spec: plan 3.1; plan 4; core LevelUniverse.
"""

from __future__ import annotations

import math

import pytest

from common.prices import ES_TICK_SIZE
from processors.engine import landmarks
from processors.engine.levels import CALL_WALL, KINDS, ROUND, STRIKE, STRONG, USER
from processors.engine.universe import CANDIDATES, level_name
from tests.support.universe import Snap, options

SINGLE_TICKS = {
    "SESSION_HIGH": "session_high",
    "SESSION_LOW": "session_low",
    "PREMARKET_HIGH": "premarket_high",
    "PREMARKET_LOW": "premarket_low",
    "OVERNIGHT_HIGH": "overnight_high",
    "OVERNIGHT_LOW": "overnight_low",
    "OPENING_RANGE_HIGH": "opening_high",
    "OPENING_RANGE_LOW": "opening_low",
    "PRIOR_HIGH": "prior_high",
    "PRIOR_LOW": "prior_low",
    "PRIOR_CLOSE": "prior_close",
    "VAH": "vah",
    "VAL": "val",
    "POC": "poc",
}


def full_snap() -> Snap:
    """A snap with one level of every kind, all near spot 600 at a ratio of 10.08."""
    snap = Snap(ratio=10.08, hotzones=(600.7,))
    for n, field in enumerate(SINGLE_TICKS.values()):
        snap.landmarks.scalars[field][0] = 24180 + n
    snap.landmarks.scalars["overnight_complete"][0] = 1
    snap.landmarks.scalars["opening_complete"][0] = 1
    snap.landmarks.scalars["es_volume"][0] = 2
    snap.landmarks.scalars["es_amount"][0] = 24190 + 24191
    snap.options = options(
        {601.0: 12},
        hvl=600.31,
        call_wall=(602.0, -6e4),
        put_wall=(598.0, -7e4),
        oi_call_wall=(603.0, 8e8),
        oi_put_wall=(597.0, -9e8),
    )
    return snap


def test_every_kind_of_level_exists_with_its_price() -> None:
    snap = full_snap()
    prices = dict(snap.levels())
    assert {KINDS[kind] for kind in snap.near()[0].kinds[: snap.near()[1]]} == set(KINDS) - {"OTHER"}
    for n, name in enumerate(SINGLE_TICKS):
        assert prices[name] == (24180 + n) * ES_TICK_SIZE / 10.08
    assert prices["VWAP"] == 24190.5 * ES_TICK_SIZE / 10.08
    assert (prices["CALL_WALL"], prices["PUT_WALL"]) == (602.0, 598.0)
    assert (prices["OI_CALL_WALL"], prices["OI_PUT_WALL"]) == (603.0, 597.0)
    assert (prices["GAMMA_FLIP"], prices["STRIKE_601"], prices["ROUND_599"]) == (600.31, 601.0, 599.0)
    assert prices["HOTZONE_600.7"] == 600.7


def test_without_trades_options_and_hotzones_only_round_numbers_exist() -> None:
    assert [name for name, _ in Snap(keys={"STRIKE_RANGE": 1.0}).levels()] == ["ROUND_599", "ROUND_600", "ROUND_601"]


def test_levels_stand_ascending_and_strong_ones_first_among_equals() -> None:
    snap = Snap(
        keys={"STRIKE_RANGE": 1.0},
        options=options({600.0: 1, 601.0: 1}, put_wall=(600.0, -1.0), oi_put_wall=(600.0, 1.0)),
        hotzones=(600.0, 600.5),
    )
    assert [name for name, _ in snap.levels()] == [
        "ROUND_599",
        *("PUT_WALL", "OI_PUT_WALL", "ROUND_600", "STRIKE_600", "HOTZONE_600"),
        "HOTZONE_600.5",
        *("ROUND_601", "STRIKE_601"),
    ]


def test_every_place_knows_the_nearest_strong_level_either_way() -> None:
    snap = Snap(keys={"STRIKE_RANGE": 2.0}, options=options(hvl=600.5, call_wall=(601.0, -1.0)), hotzones=(600.2,))
    near, count = snap.near()
    names = [name for name, _ in snap.levels()]
    above = [None if n < 0 else names[n] for n in near.strong_above[:count]]
    below = [None if n < 0 else names[n] for n in near.strong_below[:count]]
    assert dict(zip(names, zip(below, above, strict=True), strict=True)) == {
        "ROUND_598": (None, "GAMMA_FLIP"),
        "ROUND_599": (None, "GAMMA_FLIP"),
        "ROUND_600": (None, "GAMMA_FLIP"),
        "HOTZONE_600.2": (None, "GAMMA_FLIP"),
        "GAMMA_FLIP": ("GAMMA_FLIP", "GAMMA_FLIP"),
        "CALL_WALL": ("CALL_WALL", "CALL_WALL"),
        "ROUND_601": ("CALL_WALL", None),
        "ROUND_602": ("CALL_WALL", None),
    }
    assert near.prices_e4[:count].tolist() == [round(price * 10_000) for _, price in snap.levels()]


def test_the_edges_of_reach_belong_to_it() -> None:
    zones = (594.9999, 595.0, 605.0, 605.0001)
    assert Snap(hotzones=zones).names("USER") == ["HOTZONE_595", "HOTZONE_605"]
    strikes = {594.999: 1, 595.0: 1, 605.0: 1, 605.001: 1}
    assert Snap(options=options(strikes)).names("STRIKE") == ["STRIKE_595", "STRIKE_605"]
    assert Snap().names("ROUND")[:: len(Snap().names("ROUND")) - 1] == ["ROUND_595", "ROUND_605"]
    assert Snap(spot=600.0001).names("ROUND")[0] == "ROUND_596"
    assert Snap(spot=599.9999).names("ROUND")[-1] == "ROUND_604"


def test_a_single_level_out_of_reach_does_not_exist() -> None:
    walls = options(call_wall=(605.001, -1.0), put_wall=(595.0, -1.0))
    assert Snap(options=walls).names("CALL_WALL", "PUT_WALL") == ["PUT_WALL"]


@pytest.mark.parametrize("spacing", [0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
def test_round_numbers_are_all_multiples_of_their_spacing_in_reach(spacing: float) -> None:
    snap = Snap(spot=600.03, keys={"ROUND_LEVELS_SPACING": spacing})
    first, last = math.ceil(595.03 / spacing), math.floor(605.03 / spacing)
    assert snap.names("ROUND") == [f"ROUND_{k * spacing:.10g}" for k in range(first, last + 1)]


def test_there_is_no_round_number_at_zero_or_below() -> None:
    assert Snap(spot=2.0).names("ROUND") == [f"ROUND_{k}" for k in range(1, 8)]


def test_strikes_without_volume_and_walls_that_are_none_do_not_exist() -> None:
    snap = Snap(options=options({599.0: 0, 600.0: 3, 601.0: 0}))
    assert snap.names("STRIKE", "CALL_WALL", "PUT_WALL", "OI_CALL_WALL", "OI_PUT_WALL", "GAMMA_FLIP") == ["STRIKE_600"]


def test_the_opening_range_exists_once_complete() -> None:
    snap = full_snap()
    snap.landmarks.scalars["opening_complete"][0] = 0
    assert snap.names("OPENING_RANGE_HIGH", "OPENING_RANGE_LOW") == []


def test_overnight_extremes_exist_once_complete() -> None:
    snap = full_snap()
    snap.landmarks.scalars["overnight_complete"][0] = 0
    assert snap.names("OVERNIGHT_HIGH", "OVERNIGHT_LOW") == []
    assert snap.names("PREMARKET_LOW", "PREMARKET_HIGH") == ["PREMARKET_HIGH", "PREMARKET_LOW"]


def test_vwap_can_be_turned_off() -> None:
    snap = full_snap()
    assert snap.names("VWAP") == ["VWAP"]
    snap.keys["VWAP_ENABLED"] = False
    assert snap.names("VWAP") == []


def test_landmarks_follow_the_ratio_of_the_snap() -> None:
    snap = full_snap()
    snap.ratio = 10.0801
    assert dict(snap.levels())["POC"] == 24193 * ES_TICK_SIZE / 10.0801


def test_strength_is_gamma_of_walls_gex_of_oi_walls_and_contracts_of_strikes_and_poc() -> None:
    snap = full_snap()
    snap.landmarks.volume_at[24193 & (len(snap.landmarks.volume_at) - 1)] = 432
    assert (snap.strength("CALL_WALL"), snap.strength("PUT_WALL")) == (-6e4, -7e4)
    assert (snap.strength("OI_CALL_WALL"), snap.strength("OI_PUT_WALL")) == (8e8, -9e8)
    assert (snap.strength("STRIKE_601"), snap.strength("POC")) == (12.0, 432.0)
    for name in ("ROUND_600", "HOTZONE_600.7", "VWAP", "GAMMA_FLIP", "SESSION_HIGH", "VAH"):
        assert math.isnan(snap.strength(name))


def many(strikes: int, spacing: float) -> Snap:
    """Strikes every 0.05 USD around spot and round numbers; the reach is wide enough for all."""
    listed = {round(600.0 + 0.05 * (k - strikes // 2), 3): 1 for k in range(strikes)}
    keys = {"STRIKE_RANGE": 50.0, "ROUND_LEVELS_SPACING": spacing}
    return Snap(keys=keys, options=options(listed, call_wall=(640.0, -1.0)), hotzones=(555.0, 645.0))


def test_a_full_list_leaves_out_the_farthest_round_numbers_first() -> None:
    snap = many(101, 0.25)
    assert snap.near()[1] == CANDIDATES
    assert len(snap.names("STRIKE")) == 101
    assert snap.names("CALL_WALL", "USER") == ["HOTZONE_555", "CALL_WALL", "HOTZONE_645"]
    rounds = CANDIDATES - 101 - 3  # from spot outwards, below before above
    assert snap.names("ROUND") == [f"ROUND_{600 + 0.25 * k:.10g}" for k in range(-(rounds // 2), rounds - rounds // 2)]


def test_then_the_farthest_strikes() -> None:
    snap = many(401, 0.25)
    snap.hotzones = (555.0, 556.0, 645.0)
    assert snap.near()[1] == CANDIDATES
    assert snap.names("ROUND") == []
    assert snap.names("CALL_WALL", "USER") == ["HOTZONE_555", "HOTZONE_556", "CALL_WALL", "HOTZONE_645"]
    kept = CANDIDATES - 4  # from spot outwards, below before above
    assert snap.names("STRIKE") == [
        level_name(STRIKE, 600_000 + 50 * k, 0.25) for k in range(-(kept // 2), kept - kept // 2)
    ]


def test_names_are_stable_and_short() -> None:
    assert level_name(ROUND, 680, 1.0) == "ROUND_680"
    assert level_name(ROUND, 1361, 0.5) == "ROUND_680.5"
    assert level_name(ROUND, 600, 10.0) == "ROUND_6000"
    assert level_name(STRIKE, 687_000, 1.0) == "STRIKE_687"
    assert level_name(STRIKE, 687_500, 1.0) == "STRIKE_687.5"
    assert level_name(USER, 6_755_000, 1.0) == "HOTZONE_675.5"
    assert level_name(USER, 6_000_001, 1.0) == "HOTZONE_600.0001"
    assert level_name(CALL_WALL, 0, 1.0) == "CALL_WALL"


def test_no_two_levels_share_a_name() -> None:
    for spacing in (0.05, 0.25, 1.0, 2.5, 10.0):
        levels = [(ROUND, k) for k in range(1, 20_000)]
        levels += [(STRIKE, k) for k in range(500, 20_000_000, 997)] + [(STRIKE, k) for k in range(680_000, 690_000)]
        levels += [(USER, k) for k in range(1, 200_000_000, 9_973)] + [(USER, k) for k in range(6_800_000, 6_810_000)]
        levels += [(kind, 0) for kind in range(len(KINDS)) if kind not in {ROUND, STRIKE, USER}]
        assert len({level_name(kind, key, spacing) for kind, key in levels}) == len(set(levels))


def test_walls_day_s_and_prior_day_s_extremes_vwap_and_gamma_flip_are_strong() -> None:
    assert {kind for kind, strong in zip(KINDS, STRONG, strict=True) if strong} == {
        *("CALL_WALL", "PUT_WALL", "OI_CALL_WALL", "OI_PUT_WALL", "GAMMA_FLIP", "VWAP"),
        *("SESSION_HIGH", "SESSION_LOW", "PRIOR_HIGH", "PRIOR_LOW"),
    }


def test_landmarks_that_are_absent_do_not_exist() -> None:
    assert Snap(landmarks=landmarks.empty(8192)).names(*SINGLE_TICKS, "VWAP") == []
