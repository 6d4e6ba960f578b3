"""How commands end and how their errors look, with commands made for the purpose."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from common.cli.entry import invoke
from common.errors import InputError
from common.settings import PROJECT_ROOT

HOLDING = """
import signal, sys, time
from pathlib import Path
import typer
from common.cli.entry import run

app = typer.Typer()
said = Path(sys.argv.pop(1))

@app.command()
def hold() -> None:
    try:
        print("holding", flush=True)
        time.sleep(60)
    finally:
        signal.raise_signal(signal.SIGTERM)
        said.write_text("cleaned up")

run(app, "hold")
"""
"""A command that is asked to end once more while it cleans up."""


def _app() -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def sail(knots: float, *, sink: bool = False) -> None:
        """Sail over the sea.

        So far that the help of it needs more than the one line that the source has for it, and another one as
        well, which the terminal breaks where it likes.
        """
        if sink:
            raise InputError(f"{knots} knots [are] too many", hint="Reef.")

    return app


def test_sigterm_lets_a_command_clean_up_and_ends_it_with_143(tmp_path: Path) -> None:
    said = tmp_path / "said"
    command = [sys.executable, "-c", HOLDING, str(said)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as holding:
        assert holding.stdout is not None and holding.stdout.readline() == "holding\n"
        holding.send_signal(signal.SIGTERM)
        assert holding.wait(30) == 143
    assert said.read_text() == "cleaned up"


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["3"], 0, ""),
        (["3", "--sink"], 1, "error: 3.0 knots [are] too many\nhint: Reef.\n"),
        ([], 2, "error: Missing argument 'knots'.\nhint: See: breakwater sail --help\n"),
        (["3", "--fast"], 2, "error: No such option: --fast\nhint: See: breakwater sail --help\n"),
    ],
)
def test_every_error_looks_the_same(
    arguments: list[str], code: int, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(_app(), "breakwater sail", arguments) == code
    assert capsys.readouterr().err == shown


def test_an_interrupted_command_ends_with_130() -> None:
    app = typer.Typer()

    @app.command()
    def stop() -> None:
        raise KeyboardInterrupt

    assert invoke(app, "stop", []) == 130


def test_help_is_broken_where_the_terminal_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke(_app(), "sail", ["-h"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    begin = next(number for number, line in enumerate(lines) if line.startswith("So far"))
    assert all(len(line) > 60 for line in lines[begin : begin + 2])
