"""What a demo counts at its end."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from common import iceberg, topics
from common.digest import signals_digest
from common.errors import InputError
from infra.local.summary import summarize
from lakehouse.silver import hours
from tests.support.silver_lake import BEGIN_NS, SinkTables, record

QUARTER_NS = 900_000_000_000
SAID = ("BREAK", "NEUTRAL", "REJECT", "NEUTRAL", "BREAK")


def test_signals_of_any_length_are_counted_piece_by_piece_to_the_digest_of_the_whole(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hours, "PIECE_ROWS", 3)
    lake = SinkTables(iceberg.open_catalog())
    for number, signal in enumerate(SAID):
        # two hours, and the levels of a snap in no order
        at_ns = BEGIN_NS + number * QUARTER_NS
        rows = [record(topics.SIGNALS, ts_event_ns=at_ns, level_id=level, signal=signal) for level in ("VWAP", "ONH")]
        lake.append(topics.SIGNALS, *rows)
    whole = iceberg.scan(iceberg.TABLES[topics.SIGNALS])
    found = summarize({topics.FUTURES_MBP10: 7}, "http://127.0.0.1:1", 1.0)
    assert found.signals_digest == signals_digest(pa.table(whole))
    assert found.signals == found.tables["gold.levels_signals"] == 2 * len(SAID)
    assert {kind: count for kind, count in found.kinds.items() if count} == {"BREAK": 4, "NEUTRAL": 4, "REJECT": 2}


def test_without_a_table_of_signals_there_is_nothing_to_sum_up(home: Path) -> None:
    with pytest.raises(InputError, match=r"gold\.levels_signals"):
        summarize({}, "", 0.0)
