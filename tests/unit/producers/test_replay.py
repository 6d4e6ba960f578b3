"""Offline replay of DBN files: counts, digest, files, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from common.digest import signals_digest
from common.errors import InputError
from common.settings import settings
from producers.replay import app

ES = settings().sample_data / "es"
FILES = ["--dbn", str(ES / "esh4-20231225.mbp-10.dbn.zst"), "--dbn", str(ES / "esh4-20231225.trades.dbn.zst")]


def test_the_sample_session_replays_to_break_and_reject_and_the_file_has_the_digest(tmp_path: Path) -> None:
    out = tmp_path / "signals.parquet"
    result = CliRunner().invoke(app, [*FILES, "--json", "--out", str(out)], catch_exceptions=False)
    summary = json.loads(result.stdout)
    assert summary["events"] == {"futures.mbp10.v1": 43_717, "futures.trades.v1": 2_973}
    assert summary["signals"]["BREAK"] > 0
    assert summary["signals"]["REJECT"] > 0
    stored = pq.read_table(out)
    assert stored.num_rows == summary["signals"]["count"]
    assert signals_digest(stored) == summary["signals_digest"]


def test_without_json_a_table_is_shown() -> None:
    result = CliRunner().invoke(app, FILES, catch_exceptions=False)
    assert "43,717" in result.stdout
    assert "signals digest" in result.stdout


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere\.dbn"):
        CliRunner().invoke(app, ["--dbn", "nowhere.dbn"], catch_exceptions=False)


def test_without_a_book_it_says_why_there_are_no_signals() -> None:
    result = CliRunner().invoke(app, FILES[2:], catch_exceptions=False)
    assert "no mbp-10 records" in result.stderr
