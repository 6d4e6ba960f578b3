"""The demo when something goes wrong: what dies, is interrupted, or is no input (that it works: tests/acceptance)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.settings import PROJECT_ROOT, child_environment
from infra.local import stack
from infra.local.services import SERVICES
from tests.support.live_run import Ended, sample_files
from tests.support.stack import environment

LIMIT_S = 500
LAKE_LIMIT_S = 1800
"""MinIO may have to be built first."""


def arguments(files: list[Path]) -> list[str]:
    return [part for path in files for part in ("--dbn", str(path))]


def command(*parts: str, **changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "common.cli", *parts],
        cwd=PROJECT_ROOT,
        env=child_environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], limit_s: float = LIMIT_S) -> Ended:
    out, err = process.communicate(timeout=limit_s)
    return Ended(process.returncode, out, err)


@pytest.fixture
def place(home: Path) -> Iterator[Path]:
    """A home with a stack of its own; nothing of it outlives the test."""
    with environment(BREAKWATER_KAFKA_BOOTSTRAP=None, BREAKWATER_REGISTRY_URL=None):
        yield home
        stack.down(home)


@pytest.fixture(scope="module")
def replayed() -> dict[str, Any]:
    """What the engine alone makes of the sample."""
    return finish(command("replay", *arguments(sample_files()), "--json")).summary


def run_file(place: Path, service: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((place / "run" / f"{service}.json").read_text(encoding="utf-8"))
    return facts


def in_mid_run(place: Path, do: Callable[[], None]) -> Ended:
    """A demo at 300 times real time, with ``do`` done once its producer publishes."""
    demo = command("demo", "--home", str(place), *arguments(sample_files()), "--speed", "300", "--exit", "--json")
    deadline = time.monotonic() + LIMIT_S
    while not (place / "run" / "producer.json").exists():
        assert demo.poll() is None, demo.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    do()
    return finish(demo)


def left_running(place: Path) -> list[str]:
    """Command lines of processes that still have this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"BREAKWATER_HOME={place}".encode() in variables and int(folder.name) != os.getpid():
            found.append(line.replace(b"\0", b" ").decode())
    return found


@pytest.mark.timeout(LAKE_LIMIT_S)
def test_a_demo_on_minio_and_a_rest_catalog_gives_what_the_embedded_one_gives(
    home: Path, namespace: str, replayed: dict[str, Any]
) -> None:
    """And its services' runs are recorded beside the tables, though they begin before there is any."""
    demo = ("demo", "--lake", "--home", str(home), *arguments(sample_files()), "--exit", "--json")
    try:
        summary = finish(command(*demo, BREAKWATER_NAMESPACE=namespace), LAKE_LIMIT_S).summary
    finally:
        stack.down(home)
    assert summary["signals_digest"] == replayed["signals_digest"]
    assert summary["signals"] == replayed["signals"]
    tables = summary["tables"]
    assert (tables["bronze.futures_mbp10"], tables["silver.futures_mbp10"]) == (43_717, 43_717)
    assert (tables["bronze.futures_trades"], tables["silver.futures_trades"]) == (2_973, 2_973)
    assert tables["silver.features_es_pipeline"] == tables["gold.levels_features"] == summary["features"]
    assert tables["gold.training_es_pipeline"] > 0
    assert not (home / "lake").exists()
    assert len(list((home / "minio" / "data" / "lake" / "_meta" / "runs").iterdir())) >= len(SERVICES)


def test_a_service_that_dies_is_named_and_all_else_is_ended(place: Path) -> None:
    ended = in_mid_run(place, lambda: os.kill(run_file(place, "sink")["pid"], signal.SIGKILL))
    assert ended.code == 1
    assert ended.out == ""
    assert "sink has ended" in ended.err
    assert "Traceback" not in ended.err
    assert left_running(place) == []


def test_a_broker_that_dies_in_mid_run_is_named_and_nothing_is_lost(place: Path, replayed: dict[str, Any]) -> None:
    """Before it dies, a second demo in the same place is refused."""
    demo = ["demo", "--home", str(place), *arguments(sample_files()), "--exit", "--json"]
    refused: list[Ended] = []

    def refuse_then_kill() -> None:
        refused.append(finish(command(*demo)))
        broker = next(part for part in stack.status(place) if part.name == "kafka")
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)

    ended = in_mid_run(place, refuse_then_kill)
    assert refused[0].code == 1
    assert f"another demo runs in {place}" in refused[0].err
    assert ended.code == 1
    assert "kafka has ended" in ended.err
    assert "Traceback" not in ended.err
    assert left_running(place) == []
    whole = finish(command(*demo)).summary
    assert whole["signals_digest"] == replayed["signals_digest"]
    assert whole["tables"]["bronze.futures_trades"] == 2_973


def test_ctrl_c_ends_everything_that_was_started(place: Path) -> None:
    demo = command("demo", "--home", str(place), *arguments(sample_files()), "--speed", "10", "--exit")
    while not (place / "run" / "producer.json").exists():
        assert demo.poll() is None, demo.communicate()
        time.sleep(0.05)
    demo.send_signal(signal.SIGINT)
    ended = finish(demo)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert left_running(place) == []
    assert [part.state for part in stack.status(place)] == ["stopped", "stopped"]


def test_a_truncated_file_is_refused_clearly_and_what_was_before_the_damage_is_kept(
    place: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.dbn.zst"
    torn.write_bytes(sample_files()[0].read_bytes()[:200_000])
    ended = finish(command("demo", "--home", str(place), *arguments([torn]), "--exit", "--json"))
    assert ended.code == 1
    assert "torn.dbn.zst" in ended.err
    assert "Traceback" not in ended.err
    whole = finish(command("demo", "--home", str(place), *arguments(sample_files()), "--exit", "--json")).summary
    assert whole["tables"]["bronze.futures_mbp10"] == 43_717
    assert whole["tables"]["bronze.futures_trades"] == 2_973


@pytest.mark.parametrize(
    ("content", "said"), [(None, "does not exist"), (b"not market data", "foreign.dbn")], ids=["missing", "foreign"]
)
def test_a_file_that_cannot_be_input_is_refused_before_anything_starts(
    place: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "foreign.dbn"
    if content is not None:
        path.write_bytes(content)
    ended = finish(command("demo", "--home", str(place), "--dbn", str(path), "--exit", "--json"))
    assert ended.code == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert not (place / "kafka").exists()
