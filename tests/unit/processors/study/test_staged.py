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
from processors.study.staged import Hits

FIGHT_S, LEAVE_S, END_S = 100, 120, 130


def episode(kind: str, signal: str, outcome: str, level: float = 597.0) -> dict[str, Any]:
    times = {"fight_ns": FIGHT_S * NS_PER_S, "leave_ns": LEAVE_S * NS_PER_S, "end_ns": END_S * NS_PER_S}
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
    assert found == [Hits("VACUUM", 1, 1, 0, 1, 10.0)]


@pytest.mark.parametrize(
    "row", [(99, "ROUND_597", "BREAK"), (122.5, "ROUND_597", "BREAK"), (110, "ROUND_598", "BREAK")]
)
def test_a_signal_before_after_or_elsewhere_does_not_count(row: tuple[float, str, str]) -> None:
    (found,) = staged.hits([episode("VACUUM", "BREAK", "BREAK")], said(row), labels())
    assert (found.said, found.opposite, found.labelled) == (0, 0, 0)
    assert math.isnan(found.lead_s)


def test_a_signal_for_the_other_side_is_counted_as_opposite() -> None:
    (found,) = staged.hits([episode("WALL", "REJECT", "REJECT")], said((110, "ROUND_597", "BREAK")), labels())
    assert (found.said, found.opposite) == (0, 1)


def test_a_contested_level_that_then_breaks_is_not_contradicted_by_a_break() -> None:
    signals = said((110, "ROUND_597", "CONTESTED"), (119, "ROUND_597", "BREAK"))
    (found,) = staged.hits([episode("CONSUMPTION", "CONTESTED", "BREAK")], signals, labels())
    assert (found.said, found.opposite) == (1, 0)


@pytest.mark.parametrize(("signal", "right"), [("NEUTRAL", 1), ("CONTESTED", 1), ("BREAK", 0), ("REJECT", 0)])
def test_a_pin_wants_no_signal_that_takes_a_side(signal: str, right: int) -> None:
    (found,) = staged.hits([episode("PIN", "NEUTRAL", "REJECT")], said((110, "ROUND_597", signal)), labels())
    assert (found.said, found.opposite) == (right, 1 - right)


def test_kinds_are_counted_apart_and_labels_must_say_where_price_went() -> None:
    episodes = [episode("WALL", "REJECT", "REJECT"), episode("PIN", "NEUTRAL", "REJECT", 598.0)]
    told = labels(("ROUND_597", 105, "BREAK"), ("ROUND_598", 105, "REJECT"), ("ROUND_597", 50, "REJECT"))
    found = staged.hits(episodes, said((110, "ROUND_598", "NEUTRAL")), told)
    assert [(one.kind, one.staged, one.labelled) for one in found] == [("PIN", 1, 1), ("WALL", 1, 0)]


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
