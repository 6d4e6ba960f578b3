"""Levels that nobody cares about: how they are chosen, judged and matched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from common import schemas, topics
from common.columns import Batch
from common.config import EngineConfig
from common.recorded import Piece, interleave
from common.sessions import Sessions, cme_es_sessions
from processors.engine.order import BOOK, TRADE, Events
from processors.study import controls
from processors.study.controls import HOTZONES, PLACEBO_OFFSET, Prices, at_prices, choose, judge, match, steps
from processors.study.episodes import EPISODE
from processors.study.source import CONTROL_INPUTS
from tests.support.feature_rows import column, feature_batch
from tests.support.market import OPEN_NS, Market, ladder
from tests.support.study_sessions import NS, SNAP_NS, START_NS, episodes

LEVELS = np.array([599.0, 600.0, 601.0, 600.0])


def test_a_placebo_is_a_real_level_moved_by_the_offset() -> None:
    prices = choose(LEVELS, 598.0, 602.0, 0.1, seed=1)
    assert prices.placebo == pytest.approx([599 + PLACEBO_OFFSET, 600 + PLACEBO_OFFSET, 601 + PLACEBO_OFFSET])


def test_random_levels_lie_in_the_range_on_whole_cents_and_away_from_real_ones() -> None:
    prices = choose(LEVELS, 598.5, 601.5, 0.1, seed=1)
    random = np.array(prices.random)
    assert ((random >= 598.5) & (random <= 601.5)).all()
    assert np.abs(random[:, None] - LEVELS).min() >= 0.1 - 1e-9
    assert (random * 100).tolist() == pytest.approx(np.round(random * 100).tolist())


def test_no_control_stands_twice_and_the_engine_has_room_for_all() -> None:
    prices = choose(np.arange(560.0, 640.0), 560.0, 640.0, 0.1, seed=1)
    every = [*prices.random, *prices.placebo]
    assert len(every) == len(set(every)) == HOTZONES
    assert len(prices.placebo) == HOTZONES // 2


def test_the_seed_decides_the_random_levels() -> None:
    one, again, other = (choose(LEVELS, 590.0, 610.0, 0.1, seed) for seed in (1, 1, 2))
    assert one == again
    assert one.random != other.random


def test_a_placebo_that_meets_another_real_level_is_left_out() -> None:
    assert choose(np.array([600.0, 600.4]), 599.0, 602.0, 0.1, seed=1).placebo == pytest.approx([600.77])


def test_control_episodes_are_told_apart_by_their_price() -> None:
    own = episodes(3, 20250603, seed=1)
    own["level_price"] = [600.37, 600.5, 601.37]
    prices = Prices(random=(600.5,), placebo=(600.37, 601.37))
    assert at_prices(own, prices.random)["level_price"].tolist() == [600.5]
    assert at_prices(own, prices.placebo)["level_price"].tolist() == [600.37, 601.37]
    assert len(at_prices(own, ())) == 0


def touched(*at_s: float, **fields: Any) -> Any:
    out = np.zeros(len(at_s), EPISODE)
    out["session_date"], out["towards"], out["volatility"], out["distance"] = 20250603, 1, 0.01, 0.02
    out["touch_ns"] = START_NS + np.round(np.array(at_s) * NS).astype(np.int64)
    for name, value in fields.items():
        out[name] = value
    return out


def pairs(real: Any, controls: Any) -> list[tuple[int, int]]:
    found = match(real, controls)
    return list(zip(found.real.tolist(), found.control.tolist(), strict=True))


def test_each_episode_takes_the_nearest_unused_control() -> None:
    # the first takes 90 s; the second would have liked it too and takes the next best
    assert pairs(touched(0, 100), touched(90, 400, -600)) == [(0, 0), (1, 1)]


def test_nearness_weighs_time_volatility_and_distance_in_calipers() -> None:
    controls = touched(900, 0, 0, volatility=[0.01, 0.01 * np.exp(0.4), 0.01], distance=[0.02, 0.02, 0.06])
    # apart by 0.5 of a caliper in time, 0.8 in volatility, 0.8 in distance
    assert pairs(touched(0), controls) == [(0, 0)]
    assert pairs(touched(0), controls[1:2]) == [(0, 0)]


@pytest.mark.parametrize(
    "control",
    [
        touched(1801),
        touched(0, volatility=0.01 * np.exp(0.51)),
        touched(0, distance=0.08),
        touched(0, towards=-1),
        touched(0, session_date=20250604),
    ],
    ids=["time", "volatility", "distance", "direction", "session"],
)
def test_nothing_beyond_a_caliper_or_of_another_kind_is_a_match(control: Any) -> None:
    assert pairs(touched(0), control) == []


def test_matching_does_not_look_at_outcomes() -> None:
    real, controls = episodes(40, 20250603, seed=1), episodes(80, 20250603, seed=2)
    before = pairs(real, controls)
    controls["outcome"] = 1 - controls["outcome"]
    real["score"] = 0
    assert pairs(real, controls) == before
    assert len({control for _, control in before}) == len(before)


def test_without_controls_nothing_is_matched() -> None:
    assert pairs(touched(0), touched()) == []


def test_stored_records_enter_the_engine_in_its_order_and_no_further_than_the_end() -> None:
    market = Market()
    for n in range(1, 5):
        market.book(n * NS, ladder(6000.0, [50] * 10, "bid"), ladder(6000.25, [50] * 10, "ask"))
        market.trade(n * NS, 6000.0, n, "SELL")
    pieces = {batch.name: iter([Piece(batch, np.arange(7, 7 + batch.length))]) for batch in market.batches()}
    until_ns = OPEN_NS + 4 * NS
    made = list(steps(interleave(pieces), CONTROL_INPUTS, until_ns))
    assert [kind for events in made for kind in events.kind.tolist()] == [BOOK, TRADE] * 3
    assert made[-1].until_ns == until_ns


def test_what_people_asked_for_takes_no_place_among_the_controls() -> None:
    assert topics.REQUESTS not in CONTROL_INPUTS
    assert set(CONTROL_INPUTS) == set(topics.ENGINE_INPUTS) - {topics.REQUESTS}


def outcome_batch(*levels: str) -> Batch:
    given: dict[str, Any] = {"ts_touch_ns": START_NS, "level_price": 600.37, "direction": "SUPPORT"}
    columns = {}
    for field in schemas.load(topics.OUTCOMES).fields:
        default = None if field.nullable else field.symbols[0] if field.symbols else "" if field.kind == "string" else 0
        items = levels if field.name in ("level_id", "episode_id") else [given.get(field.name, default)] * len(levels)
        columns[field.name] = column(field, items)
    return Batch(topics.OUTCOMES, len(levels), columns)


def test_the_engine_is_given_the_control_levels_and_only_their_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[EngineConfig] = []

    def initial_state(config: EngineConfig, _: Sessions) -> None:
        given.append(config)

    def step(_state: None, events: Events, until_ns: int) -> Any:
        levels = ("HOTZONE_600.37", "HOTZONE_600.5", "ROUND_600")
        rows = [{"ts_event_ns": until_ns, "level_id": name, "snap_row": n} for n, name in enumerate(levels)]
        return SimpleNamespace(features=feature_batch(rows), outcomes=outcome_batch("HOTZONE_600.37", "ROUND_600"))

    monkeypatch.setattr(controls, "features", SimpleNamespace(initial_state=initial_state, step=step))
    nothing = np.zeros(0, np.int64)
    two = [Events({}, nothing.astype(np.int8), nothing, nothing, START_NS + n * SNAP_NS) for n in range(2)]
    base = EngineConfig(USER_HOTZONES=(599.0,), TOUCH_BAND=0.07)
    judged = judge(two, base, cme_es_sessions(), Prices(random=(600.5,), placebo=(600.37,)))
    assert [config.USER_HOTZONES for config in given] == [(600.37, 600.5)]
    assert given[0].TOUCH_BAND == 0.07
    assert given[0].hash != base.hash
    assert judged.features["level_id"].to_pylist() == ["HOTZONE_600.37", "HOTZONE_600.5"] * 2
    assert judged.signals["level_id"].to_pylist() == ["HOTZONE_600.37", "HOTZONE_600.5"] * 2
    assert judged.outcomes["level_id"].to_pylist() == ["HOTZONE_600.37"] * 2


def test_a_session_without_events_gives_empty_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "features", SimpleNamespace(initial_state=lambda *_: None))
    judged = judge([], EngineConfig(), cme_es_sessions(), Prices((), ()))
    assert [table.num_rows for table in judged] == [0, 0, 0]
