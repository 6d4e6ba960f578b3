"""A command that only asks makes no home, and says that there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from common.cli import app


@pytest.mark.parametrize(
    "command",
    [
        ["query", "SELECT 1"],
        ["certify", "2025-06-03"],
        ["maintain", "--dry-run"],
        ["silver", "--once"],
        ["runs", "list"],
    ],
    ids=lambda command: command[0],
)
def test_a_mistyped_home_is_named_and_not_made(
    command: list[str], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = home / "wrong"
    monkeypatch.setenv("BREAKWATER_HOME", str(wrong))
    monkeypatch.setattr(sys, "argv", ["breakwater", *command, "--home", str(wrong)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert f"error: nothing is stored in {wrong}: there is no such folder\n" in said and "hint: " in said
    assert not wrong.exists()
