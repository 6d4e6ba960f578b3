"""The producers' command line, as far as it goes without a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from typer.testing import CliRunner

from common.errors import UnavailableError
from producers import __main__ as command
from producers import service
from tests.support import dbn_files
from tests.support.stack import environment


@pytest.fixture(autouse=True)
def _logging_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(command, "configure_logging", lambda name: None)
    yield


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(command.app, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("none.dbn", None, "none.dbn does not exist"),
        ("text.dbn", b"ts,price\n1,2\n", "text.dbn is not a DBN file"),
        ("empty.dbn", b"", "empty.dbn is empty"),
        ("none.massive.jsonl", None, "none.massive.jsonl does not exist"),
        ("torn.massive.jsonl.zst", zstandard.compress(b"{}")[:-1], "is truncated"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, _, stderr = run("publish", "--file", str(tmp_path / name))
    assert code == 1
    assert stderr.startswith("error: ") and problem in stderr
    assert "\nhint: " in stderr


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [("--speed", "fast", "speed 'fast' is neither"), ("--complex", "QQQ", "unknown complex 'QQQ'")],
)
def test_a_wrong_option_is_named_before_anything_starts(tmp_path: Path, option: str, value: str, problem: str) -> None:
    path = dbn_files.write(tmp_path / "t.dbn", "trades", dbn_files.records("trades", [1]))
    code, _, stderr = run("publish", "--file", str(path), option, value)
    assert code == 1
    assert problem in stderr and "\nhint: " in stderr


def test_without_a_stack_the_message_says_how_to_start_one(tmp_path: Path, home: Path) -> None:
    path = dbn_files.write(tmp_path / "t.dbn", "trades", dbn_files.records("trades", [1]))
    with environment(BREAKWATER_KAFKA_BOOTSTRAP=None, BREAKWATER_REGISTRY_URL=None):
        code, _, stderr = run("publish", "--file", str(path))
    assert code == 1
    assert "./breakwater up" in stderr
    assert not (home / "run" / f"{service.SERVICE}.json").exists()


def test_simulate_prints_the_inputs_it_wrote_and_puts_the_truth_beside_them(tmp_path: Path) -> None:
    code, stdout, _ = run("simulate", "--out", str(tmp_path / "sim"), "--seed", "5", "--minutes", "0.5")
    assert code == 0
    written = [Path(line) for line in stdout.split()]
    assert [path.name for path in written] == [
        "sim-es-5.mbp-10.dbn.zst",
        "sim-es-5.trades.dbn.zst",
        "sim-spy-5.massive.jsonl.zst",
    ]
    assert (tmp_path / "sim" / "sim-5.truth.json").is_file()
    assert all(path.is_file() for path in written)


def test_an_error_of_the_log_ends_with_its_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise UnavailableError("Kafka is away", hint="Start it.")

    monkeypatch.setattr(service, "serve_files", away)
    code, _, stderr = run("publish", "--file", str(tmp_path / "t.dbn"))
    assert (code, stderr) == (1, "error: Kafka is away\nhint: Start it.\n")
