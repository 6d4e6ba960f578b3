"""Replay of files: counts, digest, what is written, parts of a session, other configurations, errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from common import schemas, topics
from common.digest import signals_digest
from common.errors import BreakwaterError, InputError
from common.settings import settings
from common.times import parse_time
from producers.replay import app
from producers.replay.engine import Judged
from producers.replay.summary import Summary

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
    assert not list(tmp_path.glob("*.part"))
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


def replayed(*arguments: str, files: Sequence[str] = FILES) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*files, *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The signals of the whole sample."""
    path = tmp_path_factory.mktemp("whole") / "signals.parquet"
    replayed("--out", str(path))
    return path


def test_a_part_of_a_session_gives_exactly_the_rows_of_the_whole_in_that_part(whole: Path, tmp_path: Path) -> None:
    begin, end = "2023-12-25T23:20:00.1", "2023-12-25T23:40"
    part = tmp_path / "part.parquet"
    summary = replayed("--from", begin, "--to", end, "--out", str(part))
    rows = pq.read_table(whole)
    times = rows["ts_event_ns"].to_numpy()
    wanted = rows.filter((times >= parse_time(begin)) & (times < parse_time(end)))
    assert 0 < wanted.num_rows < rows.num_rows
    assert pq.read_table(part).equals(wanted)
    assert summary["signals_digest"] == signals_digest(wanted)


def test_another_value_changes_rows_and_the_comparison_says_which(whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    summary = replayed("--set", "TRIGGER_HOLD_TIME=0.5", "--diff", str(whole), "--out", str(other))
    assert summary["set"] == {"TRIGGER_HOLD_TIME": 0.5}
    before, after = pq.read_table(whole), pq.read_table(other)
    assert before["level_id"].equals(after["level_id"])
    changed = before["signal"].to_numpy(zero_copy_only=False) != after["signal"].to_numpy(zero_copy_only=False)
    assert summary["diff"]["changed"] == changed.sum() > 0
    assert sum(level["changed"] for level in summary["diff"]["levels"]) == changed.sum()
    assert sum(summary["diff"]["transitions"].values()) == changed.sum()
    times = before["ts_event_ns"].to_numpy()[changed]
    assert min(level["first_ns"] for level in summary["diff"]["levels"]) == times.min()
    assert max(level["last_ns"] for level in summary["diff"]["levels"]) == times.max()


def test_a_run_compared_with_itself_shows_no_difference(whole: Path) -> None:
    result = CliRunner().invoke(app, [*FILES, "--diff", str(whole)], catch_exceptions=False)
    assert "No signal and no score differs" in result.stdout


@pytest.mark.parametrize("suffix", [".arrow", ".csv", ".jsonl"])
def test_every_format_holds_every_row(whole: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"signals{suffix}"
    replayed("--to", "2023-12-25T23:05", "--out", str(path))
    times = pq.read_table(whole)["ts_event_ns"].to_numpy()
    wanted = times[times < parse_time("2023-12-25T23:05")].tolist()
    if suffix == ".arrow":
        found = pa.ipc.open_file(path).read_all()["ts_event_ns"].to_pylist()
    elif suffix == ".csv":
        found = pa.csv.read_csv(path)["ts_event_ns"].to_pylist()
    else:
        found = [json.loads(line)["ts_event_ns"] for line in path.read_text().splitlines()]
    assert found == wanted


def test_each_kind_that_is_asked_for_has_a_file_of_its_own(tmp_path: Path) -> None:
    options = ["--what", "signals", "--what", "features", "--to", "2023-12-25T23:02"]
    summary = replayed(*options, "--out", str(tmp_path / "x.parquet"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.features.parquet", "x.signals.parquet"]
    assert pq.read_table(tmp_path / "x.features.parquet").num_rows == summary["features"]
    assert pq.read_schema(tmp_path / "x.features.parquet").names == [
        field.name for field in schemas.load(topics.FEATURES).fields
    ]


def test_every_row_is_a_line_when_it_is_shown() -> None:
    result = CliRunner().invoke(app, [*FILES, "--to", "2023-12-25T23:01", "--show"], catch_exceptions=False)
    lines = [line for line in result.stdout.splitlines() if line.startswith("2023-12-25 23:")]
    count = replayed("--to", "2023-12-25T23:01")["signals"]["count"]
    assert len(lines) == count > 0
    assert "score" in lines[0]


@pytest.mark.parametrize(
    ("part", "said", "hint"),
    [
        (["--from", "2024-01-01"], "hold nothing from 2024-01-01 00:00:00.000 UTC on", "end before it at 2023-12-25"),
        (["--to", "2023-12-01"], "hold nothing before 2023-12-01 00:00:00.000 UTC", "begin at 2023-12-25"),
    ],
)
def test_a_part_that_the_files_do_not_have_is_an_error_and_writes_nothing(
    part: list[str], said: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        CliRunner().invoke(app, [*FILES, *part, "--out", str(tmp_path / "x.csv")], catch_exceptions=False)
    assert hint in str(refused.value.hint)
    assert not list(tmp_path.iterdir())


def test_the_files_that_were_written_are_named(tmp_path: Path) -> None:
    options = ["--what", "signals", "--what", "outcomes", "--out", str(tmp_path / "x.csv"), "--to", "2023-12-25T23:01"]
    said = CliRunner().invoke(app, [*FILES, *options], catch_exceptions=False).stderr
    for kind in ("signals", "outcomes"):
        assert f"{kind} written to {tmp_path / f'x.{kind}.csv'}\n" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "w_t=5"], "'w_t' is no configuration key"),
        (["--set", "W_t"], "not KEY=VALUE"),
        (["--set", "W_t=0.3"], "cannot be used"),
        (["--from", "yesterday"], "'yesterday' is not a time"),
        (["--from", "2023-12-26", "--to", "2023-12-25"], "is not before"),
        (["--from-offsets", "futures.trades.v1:0:5"], "a file has no offsets"),
        (["--out", "x.txt"], "says no format"),
        (["--out", "no-such-folder/x.csv"], "there is no folder no-such-folder"),
        (["--what", "everything"], "--what everything is unknown"),
        (["--to-namespace", "live"], "a replay does not write into"),
        (["--to-namespace", "replay."], "lacks a name"),
        (["--to-namespace", ""], "a replay does not write into the live topics"),
        (["--diff", "none.parquet"], r"none\.parquet does not exist"),
        (["--show", "--json"], "both print"),
        (["--what", "outcomes"], "--what says which rows to write or show"),
        (["--speed", "fast"], "speed 'fast'"),
        (["--complex", "QQQ"], "unknown complex"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_read(arguments: list[str], said: str) -> None:
    with pytest.raises(BreakwaterError, match=said) as refused:
        CliRunner().invoke(app, [*FILES, *arguments], catch_exceptions=False)
    assert refused.value.hint


def test_a_replay_that_is_interrupted_leaves_the_old_file_and_no_half_one(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "signals.parquet"
    path.write_bytes(b"from before")
    seen = 0

    def interrupted(_self: Summary, judged: Judged) -> None:
        nonlocal seen
        seen += judged.signals.length
        if seen > 5_000:
            raise KeyboardInterrupt

    monkeypatch.setattr(Summary, "add", interrupted)
    result = CliRunner().invoke(app, [*FILES, "--out", str(path)])
    assert result.exit_code == 130
    assert "Stopped" in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["signals.parquet"]
    assert path.read_bytes() == b"from before"


def test_a_log_line_never_stands_in_the_result(tmp_path: Path) -> None:
    for name in ("esh4-20231225.mbo.dbn.zst", "esh4-20231225.mbp-10.dbn.zst"):
        (tmp_path / name).symlink_to(ES / name)
    part = ["--to", "2023-12-25T22:05", "--json"]
    result = CliRunner().invoke(app, ["--dbn", str(tmp_path), *part], catch_exceptions=False)
    assert json.loads(result.stdout)["events"] and "files_left_out" in result.stderr
