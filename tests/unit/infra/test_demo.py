"""What the demo refuses before anything starts, and failures it does not overlook."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard
from typer.testing import CliRunner

from common.errors import ConfigError, InputError
from infra.local.demo import app
from infra.local.process import Process
from infra.local.services import ended, failed


def test_a_speed_that_is_none_is_refused_before_anything_starts(tmp_path: Path, home: Path) -> None:
    with pytest.raises(ConfigError, match="speed 'fast'"):
        CliRunner().invoke(app, ["--speed", "fast", "--home", str(tmp_path / "place")], catch_exceptions=False)
    assert not (tmp_path / "place").exists()
    assert not list(home.iterdir())


@pytest.mark.parametrize("option", ["--file", "--dbn", "-f"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [("a.dbn", "is not a DBN file"), ("a.massive.jsonl.zst", "is truncated"), ("none.dbn", "does not")],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_starts(
    tmp_path: Path, home: Path, option: str, name: str, problem: str
) -> None:
    (tmp_path / "a.dbn").write_bytes(b"ts,price")
    (tmp_path / "a.massive.jsonl.zst").write_bytes(zstandard.compress(b"{}")[:-1])
    with pytest.raises(InputError, match=problem):
        CliRunner().invoke(app, [option, str(tmp_path / name), "--home", str(home)], catch_exceptions=False)
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("words", "is_failure"),
    [("published 3 events\n", False), ("error: no such thing\nhint: try another\n", True), ("", False)],
)
def test_last_words_tell_whether_a_producer_failed(tmp_path: Path, words: str, is_failure: bool) -> None:
    log = tmp_path / "producer.log"
    log.write_text(words)
    process = Process(0, "ended", log)
    assert failed(process) is is_failure
    told = ended("producer", process)
    assert ("no such thing" in str(told)) is is_failure
    # what was refused is refused again
    assert ("goes on from there" in str(told.hint)) is not is_failure
