"""Staged fights, and what the engine is credited with."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from common.config import NS_PER_S
from common.errors import InputError
from processors.study import staged

BEGIN_S, FIGHT_S, LEAVE_S, END_S = 50, 100, 120, 130
TIMES = {"begin_ns": BEGIN_S, "fight_ns": FIGHT_S, "leave_ns": LEAVE_S, "end_ns": END_S}


def episode(kind: str, signal: str, outcome: str, level: float = 597.0, **times_s: float) -> dict[str, Any]:
    times = {name: round(at_s * NS_PER_S) for name, at_s in {**TIMES, **times_s}.items()}
    return {"kind": kind, "level": level, "direction": "SUPPORT", "signal": signal, "outcome": outcome, **times}


def said(*rows: tuple[float, str, str]) -> pa.Table:
    ts_ns = [round(at_s * NS_PER_S) for at_s, _, _ in rows]
    return pa.table({"ts_event_ns": ts_ns, "level_id": [row[1] for row in rows], "signal": [row[2] for row in rows]})


def labels(*rows: tuple[str, float, str]) -> pa.Table:
    columns = {
        "level_id": [row[0] for row in rows],
        "direction": ["SUPPORT"] * len(rows),
        "ts_touch_ns": [round(row[1] * NS_PER_S) for row in rows],
        "outcome_120s": [row[2] for row in rows],
    }
    return pa.table(
        columns, schema=pa.schema([(n, pa.int64() if n == "ts_touch_ns" else pa.string()) for n in columns])
    )


def test_a_right_signal_in_time_counts_and_says_how_early_it_was() -> None:
    signals = said((90, "ROUND_597", "BREAK"), (110, "ROUND_597", "BREAK"), (115, "ROUND_597", "BREAK"))
    found = staged.hits([episode("VACUUM", "BREAK", "BREAK")], signals, labels(("ROUND_597", 105, "BREAK")))
    (hits,) = found
    assert (hits.kind, hits.signal, hits.staged, hits.opposite, hits.lead_s) == ("VACUUM", "BREAK", 1, 0, 10.0)
    assert (hits.said[:2], hits.labelled[:2]) == ((1, 1), (1, 1))


@pytest.mark.parametrize(
    "row", [(99, "ROUND_597", "BREAK"), (122.5, "ROUND_597", "BREAK"), (110, "ROUND_598", "BREAK")]
)
def test_a_signal_before_after_or_elsewhere_does_not_count(row: tuple[float, str, str]) -> None:
    (found,) = staged.hits([episode("VACUUM", "BREAK", "BREAK")], said(row), labels())
    assert (found.said.found, found.opposite, found.labelled.found) == (0, 0, 0)
    assert math.isnan(found.lead_s)


def test_a_signal_for_the_other_side_is_counted_as_opposite() -> None:
    (found,) = staged.hits([episode("WALL", "REJECT", "REJECT")], said((110, "ROUND_597", "BREAK")), labels())
    assert (found.said.found, found.opposite) == (0, 1)


def test_a_contested_level_that_then_breaks_is_not_contradicted_by_a_break() -> None:
    signals = said((110, "ROUND_597", "CONTESTED"), (119, "ROUND_597", "BREAK"))
    (found,) = staged.hits([episode("CONSUMPTION", "CONTESTED", "BREAK")], signals, labels())
    assert (found.said.found, found.opposite) == (1, 0)


@pytest.mark.parametrize(("signal", "right"), [("NEUTRAL", 1), ("CONTESTED", 1), ("BREAK", 0), ("REJECT", 0)])
def test_a_pin_wants_no_signal_that_takes_a_side(signal: str, right: int) -> None:
    (found,) = staged.hits([episode("PIN", "NEUTRAL", "REJECT")], said((110, "ROUND_597", signal)), labels())
    assert (found.said.found, found.opposite) == (right, 1 - right)


def test_kinds_are_counted_apart_and_labels_must_say_where_price_went() -> None:
    episodes = [episode("WALL", "REJECT", "REJECT"), episode("PIN", "NEUTRAL", "REJECT", 598.0)]
    told = labels(("ROUND_597", 105, "BREAK"), ("ROUND_598", 105, "REJECT"), ("ROUND_597", 50, "REJECT"))
    found = staged.hits(episodes, said((110, "ROUND_598", "NEUTRAL")), told)
    assert [(one.kind, one.staged, one.labelled.found) for one in found] == [("PIN", 1, 1), ("WALL", 1, 0)]


def test_a_kind_that_is_staged_for_two_signals_has_two_rows() -> None:
    episodes = [episode("CONSUMPTION", "BREAK", "BREAK"), episode("CONSUMPTION", "CONTESTED", "BREAK", 598.0)]
    found = staged.hits(episodes, said((110, "ROUND_597", "BREAK"), (110, "ROUND_598", "CONTESTED")), labels())
    assert [(one.signal, one.said[:2]) for one in found] == [("BREAK", (1, 1)), ("CONTESTED", (1, 1))]


@pytest.mark.parametrize(("at_s", "counted"), [(77.5, 0), (78, 1), (99.5, 1), (100, 0)])
def test_the_rate_before_is_of_as_long_a_stretch_that_ends_where_the_fight_begins(at_s: float, counted: int) -> None:
    (found,) = staged.hits([episode("VACUUM", "BREAK", "BREAK")], said((at_s, "ROUND_597", "BREAK")), labels())
    assert found.before[:2] == (counted, 1)


def test_the_rate_before_does_not_reach_into_the_episode_before() -> None:
    short = episode("VACUUM", "BREAK", "BREAK", begin_ns=90)
    (found,) = staged.hits([short], said((85, "ROUND_597", "BREAK")), labels())
    assert found.before.found == 0


def test_the_rate_elsewhere_is_of_the_fights_staged_for_another_signal() -> None:
    walls = [episode("WALL", "REJECT", "REJECT", level) for level in (597.0, 598.0)]
    episodes = [episode("VACUUM", "BREAK", "BREAK", 599.0), episode("SWEEP", "BREAK", "BREAK", 600.0), *walls]
    signals = said((110, "ROUND_597", "BREAK"), (110, "ROUND_599", "BREAK"), (110, "ROUND_600", "BREAK"))
    found = {one.kind: one for one in staged.hits(episodes, signals, labels())}
    assert found["VACUUM"].elsewhere[:2] == found["SWEEP"].elsewhere[:2] == (1, 2)
    assert found["WALL"].elsewhere[:2] == (0, 2)


def test_shares_have_wilsons_interval() -> None:
    episodes = [episode("VACUUM", "BREAK", "BREAK", 590.0 + n) for n in range(10)]
    signals = said(*((110, f"ROUND_{590 + n}", "BREAK") for n in range(9)))
    (found,) = staged.hits(episodes, signals, labels())
    assert found.said[:2] == (9, 10)
    assert (found.said.low, found.said.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert math.isnan(found.elsewhere.low)


def test_a_truth_names_its_table_of_causes_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(
        json.dumps({"begin_ns": 5, "causes": "c.parquet", "episodes": [episode("PIN", "NEUTRAL", "REJECT")]})
    )
    truth = staged.read(path)
    assert (truth.begin_ns, len(truth.episodes), truth.causes) == (5, 1, tmp_path / "c.parquet")


@pytest.mark.parametrize("content", ["", "[]", '{"begin_ns": 1}', '{"begin_ns": 1, "episodes": [{"kind": "PIN"}]}'])
def test_a_foreign_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"truth\.json"):
        staged.read(path)
