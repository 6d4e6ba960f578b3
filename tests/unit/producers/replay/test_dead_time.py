"""Where nothing happens a replay takes long steps and gives the same bytes; a range of nothing is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

from common.config import EngineConfig
from common.errors import InputError
from common.recorded import LakeReader
from producers.replay import engine
from producers.replay.engine import judge, table_of
from producers.replay.ranges import ALL, parse_range
from producers.replay.sources import Stored
from tests.support.stored_sessions import store_sessions

DATES = (20250602, 20250605)


def _judged() -> tuple[pa.Table, int]:
    """The signals and how many steps they took."""
    source = Stored(None, LakeReader("", 0)).source(ALL)
    found = [table_of(one.signals) for one in judge(source.stream, EngineConfig(), source.end_ns)]
    return pa.concat_tables(found), len(found)


def test_days_between_sessions_are_passed_in_long_steps_with_the_same_bytes(
    home: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_sessions(DATES, seconds=20)
    signals, steps = _judged()
    monkeypatch.setattr(engine, "QUIET_STEP_SNAPS", engine.STEP_SNAPS)
    slow_signals, slow_steps = _judged()
    assert signals.num_rows > 0 and signals.equals(slow_signals)
    assert 20 * steps < slow_steps


@pytest.mark.parametrize(
    ("begin", "end"), [(None, "2025-06-01"), ("2025-06-07", None), ("2025-06-03T20:00", "2025-06-05")]
)
def test_a_range_without_any_record_is_refused_with_what_is_stored(
    home: object, begin: str | None, end: str | None
) -> None:
    store_sessions(DATES, seconds=20)
    stored = Stored(None, LakeReader("", 0))
    stored.check_inside(parse_range("2025-06-02", "2025-06-03"))
    with pytest.raises(InputError, match="nothing is stored ") as refused:
        stored.check_inside(parse_range(begin, end))
    assert "from 2025-06-02 13:30" in str(refused.value.hint) and "to 2025-06-05 13:30" in str(refused.value.hint)
