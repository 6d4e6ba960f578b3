"""The table of commands and how errors look."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import typer
from confluent_kafka import KafkaError, KafkaException

from common.cli import app, bench, lazy
from common.cli.topics import look
from common.errors import ConfigError, UnavailableError
from common.settings import PROJECT_ROOT


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["breakwater", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return ended.value.code


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    for entry in app.COMMANDS:
        assert f" {entry.name} " in shown


def test_help_imports_nothing_that_is_slow() -> None:
    code = """
import sys
sys.argv = ["breakwater", "--help"]
from common.cli.app import main
try:
    main()
except SystemExit:
    pass
print(sorted({"numpy", "numba", "pyarrow", "confluent_kafka", "pydantic", "faust"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_helps_either_way(
    flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "topics", flag) == 0
    assert "Usage: breakwater topics" in capsys.readouterr().out


def test_a_broker_that_does_not_answer_is_told_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def list_topics(self, timeout: float) -> None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    monkeypatch.setenv("BREAKWATER_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("BREAKWATER_REGISTRY_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("common.kafka.admin", Silent)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 did not list its topics") as told:
        look()
    assert told.value.hint


@pytest.mark.parametrize("entry", [*app.COMMANDS, *bench.BENCHMARKS], ids=lambda entry: entry.name)
def test_what_a_command_stands_for_exists(entry: lazy.Entry) -> None:
    module, _, attribute = entry.target.partition(":")
    if attribute:
        assert callable(getattr(importlib.import_module(module), attribute))
    else:
        assert isinstance(importlib.import_module(f"{module}.__main__").app, typer.Typer)


def test_an_unknown_command_is_a_wrong_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "dmeo") == 2
    shown = capsys.readouterr().err
    assert "dmeo" in shown
    assert "demo" in shown


def _failing(**_options: object) -> None:
    raise UnavailableError("the sea [is] gone", hint="Wait for the tide.")


def test_an_error_is_one_line_with_a_hint_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lazy, "run_attribute", lambda *_: _failing())
    assert _run(monkeypatch, "status") == 1
    assert capsys.readouterr().err == "error: the sea [is] gone\nhint: Wait for the tide.\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "run_attribute", lambda *_: _failing())
    monkeypatch.setattr(sys, "argv", ["breakwater", "--debug", "status"])
    with pytest.raises(UnavailableError):
        app.main()


def test_arguments_reach_the_command_as_they_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(lazy, "run_attribute", lambda _target, program, arguments: seen.append((program, arguments)))
    assert _run(monkeypatch, "demo", "--dbn", "a", "--help", "word", "--dbn=b", "-x") == 0
    assert seen == [("breakwater demo", ["--dbn", "a", "--help", "word", "--dbn=b", "-x"])]


def test_a_service_runs_in_this_process_under_the_name_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, list[str]]] = []
    monkeypatch.setattr(lazy, "run_attribute", lambda *given: seen.append(given))
    assert _run(monkeypatch, "features", "--complex", "SPY") == 0
    assert seen == [("processors.features.__main__:app", "breakwater features", ["--complex", "SPY"])]


@pytest.mark.parametrize("service", [entry.name for entry in app.COMMANDS if ":" not in entry.target])
def test_the_help_of_a_service_says_how_it_was_called(
    service: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, service, "--help") == 0
    assert f"Usage: breakwater {service} " in capsys.readouterr().out


def test_a_refused_option_value_names_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("port 1 is in use")

    monkeypatch.setattr(lazy, "run_attribute", refuse)
    assert _run(monkeypatch, "up") == 1
    assert capsys.readouterr().err == "error: port 1 is in use\n"
