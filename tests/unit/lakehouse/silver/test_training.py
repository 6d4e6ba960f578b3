"""Labels stand only in rows that are earlier than the time at which the label was known."""

from __future__ import annotations

import pyarrow as pa

from common import topics
from common.config import NS_PER_S
from lakehouse.silver.training import OUTCOME_COLUMNS, label_known_ns, labelled
from tests.support.silver_lake import record, rows

TOUCH_NS = 1_703_500_000 * NS_PER_S


def outcome(known_s: int, passage_s: int | None, offset: int = 0) -> pa.Table:
    one = record(
        topics.OUTCOMES,
        ts_event_ns=TOUCH_NS + known_s * NS_PER_S,
        episode_id="e",
        ts_touch_ns=TOUCH_NS,
        ts_passage_ns=None if passage_s is None else TOUCH_NS + passage_s * NS_PER_S,
        outcome_120s="CHOP",
        outcome_240s="BREAK",
        outcome_480s="BREAK",
    )
    return rows(topics.OUTCOMES, [one], offset).select(list(OUTCOME_COLUMNS))


def features(*times_s: int) -> pa.Table:
    return pa.table(
        {
            "ts_event_ns": pa.array([TOUCH_NS + time_s * NS_PER_S for time_s in times_s], pa.int64()),
            "level_id": pa.array(["L"] * len(times_s)),
            "episode_id": pa.array(["e"] * len(times_s)),
        }
    )


def known_s(table: pa.Table, horizon_s: int) -> int:
    return int(label_known_ns(table, horizon_s)[0] - TOUCH_NS) // NS_PER_S


def test_a_horizon_is_known_at_the_passage_or_at_its_end() -> None:
    passed = outcome(200, 200)
    assert [known_s(passed, horizon) for horizon in (120, 240, 480)] == [120, 200, 200]
    chopped = outcome(480, None)
    assert [known_s(chopped, horizon) for horizon in (120, 240, 480)] == [120, 240, 480]


def test_a_passage_is_known_before_its_record_is_written() -> None:
    assert [known_s(outcome(60, 50), horizon) for horizon in (120, 240, 480)] == [50, 50, 50]


def test_an_episode_that_was_cut_off_is_known_when_it_was_written() -> None:
    assert [known_s(outcome(50, None), horizon) for horizon in (120, 240, 480)] == [50, 50, 50]


def test_a_label_stands_only_in_rows_before_it_was_known() -> None:
    table = labelled(features(0, 119, 120, 199, 200), outcome(200, 200))
    assert table["outcome_120s"].to_pylist() == ["CHOP", "CHOP", None, None]
    assert table["outcome_240s"].to_pylist() == ["BREAK"] * 4


def test_an_outcome_that_came_twice_counts_once_and_the_first_wins() -> None:
    first, second = outcome(200, 200), outcome(480, None, offset=1)
    table = labelled(features(0), pa.concat_tables([second, first]))
    assert table["ts_known_ns"].to_pylist() == [TOUCH_NS + 200 * NS_PER_S]
