"""The README's commands, as a newcomer types them: real servers, real data, one JSON object at the end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from common.settings import PROJECT_ROOT, child_environment, settings

ES = settings().sample_data / "es"
SAMPLE = [f"--dbn={ES / name}" for name in ("esh4-20231225.mbp-10.dbn.zst", "esh4-20231225.trades.dbn.zst")]
EVENTS = {"futures.mbp10.v1": 43_717, "futures.trades.v1": 2_973}


def breakwater(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``./breakwater`` from the root, with none of the test session's own servers."""
    inherited = {name: text for name, text in child_environment().items() if not name.startswith("BREAKWATER_")}
    cache = {"BREAKWATER_CACHE": str(settings().cache)}
    return subprocess.run(
        [str(PROJECT_ROOT / "breakwater"), *arguments],
        cwd=PROJECT_ROOT,
        env={**inherited, **cache, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def summary_of(result: subprocess.CompletedProcess[str]) -> Mapping[str, Any]:
    assert result.returncode == 0, result.stderr[-4000:]
    lines = result.stdout.splitlines()
    assert len(lines) == 1, "everything but the summary goes to stderr"
    summary: dict[str, Any] = json.loads(lines[0])
    return summary


@pytest.fixture(scope="module")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first_run(demo_home: Path) -> Mapping[str, Any]:
    return summary_of(breakwater("demo", *SAMPLE, "--exit", "--json", f"--home={demo_home}"))


def test_the_sample_session_goes_through_every_part(first_run: Mapping[str, Any]) -> None:
    assert first_run["events"] == EVENTS
    tables = first_run["tables"]
    assert (tables["bronze.futures_mbp10"], tables["bronze.futures_trades"]) == (43_717, 2_973)
    assert tables["gold.levels_signals"] == first_run["signals"]["count"] > 0
    assert tables["gold.levels_features"] == first_run["features"]
    assert (tables["silver.futures_mbp10"], tables["silver.futures_trades"]) == (43_717, 2_973)
    assert tables["silver.features_es_pipeline"] == first_run["features"], "the last hour is closed and computed"
    assert 0 < tables["gold.training_es_pipeline"] < first_run["features"]
    assert first_run["api_url"].startswith("http://127.0.0.1:")
    assert first_run["elapsed_s"] > 0
    assert {name for name, snapshot in first_run["snapshots"].items() if snapshot} == {n for n in tables if tables[n]}


def test_the_engine_alone_gives_the_same_digest_with_another_hash_seed(first_run: Mapping[str, Any]) -> None:
    replayed = summary_of(breakwater("replay", *SAMPLE, "--json", PYTHONHASHSEED="4711"))
    assert replayed["signals_digest"] == first_run["signals_digest"]
    assert replayed["signals"] == first_run["signals"]


def test_a_second_run_into_the_same_place_doubles_nothing(first_run: Mapping[str, Any], demo_home: Path) -> None:
    again = summary_of(breakwater("demo", *SAMPLE, "--exit", "--json", f"--home={demo_home}", PYTHONHASHSEED="1"))
    # Maintenance packs what the first run stored; promises and markers go on while a summary is made.
    own = ("api_url", "elapsed_s", "snapshots", "tables")
    assert {**again, **dict.fromkeys(own)} == {**first_run, **dict.fromkeys(own)}
    before, after = first_run["tables"], again["tables"]
    assert before.keys() == after.keys()
    for name, rows in before.items():
        assert after[name] >= rows if name.startswith("bronze.control") else after[name] == rows, name


def test_stored_tables_can_be_queried_after_the_demo(first_run: Mapping[str, Any], demo_home: Path) -> None:
    sql = "SELECT signal, count(*) AS rows FROM gold.levels_signals GROUP BY signal"
    result = breakwater("query", "--format=json", sql, BREAKWATER_HOME=str(demo_home))
    assert result.returncode == 0, result.stderr
    counted = {row["signal"]: row["rows"] for row in json.loads(result.stdout)}
    assert counted == {kind: count for kind, count in first_run["signals"].items() if kind != "count" and count}


@pytest.fixture(scope="module")
def simulated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated")


@pytest.fixture(scope="module")
def simulated_run(simulated_home: Path) -> Mapping[str, Any]:
    return summary_of(breakwater("demo", "--exit", "--json", "--speed=40", f"--home={simulated_home}"))


def test_the_simulated_session_breaks_and_rejects_at_any_speed(
    simulated_run: Mapping[str, Any], simulated_home: Path
) -> None:
    assert all(simulated_run["signals"][signal] > 0 for signal in ("BREAK", "REJECT", "CONTESTED"))
    assert len(simulated_run["events"]) == 7
    tables = simulated_run["tables"]
    assert tables["silver.options_trades_enriched"] == tables["bronze.options_trades"] > 0
    assert tables["silver.features_es_pipeline"] == tables["gold.levels_features"]
    assert tables["gold.training_es_pipeline"] > 0
    files = sorted((simulated_home / "simulated").rglob("*.zst"))
    replayed = summary_of(breakwater("replay", *(f"--file={path}" for path in files), "--json"))
    assert replayed["signals_digest"] == simulated_run["signals_digest"]


def test_the_study_holds_the_simulated_session_against_its_truth(
    simulated_run: Mapping[str, Any], simulated_home: Path
) -> None:
    (truth,) = (simulated_home / "simulated").glob("*.truth.json")
    report = summary_of(breakwater("study", f"--truth={truth}", "--json", f"--home={simulated_home}"))
    assert "simulated" in report["verdict"]
    staged = report["staged"]
    assert {row["kind"] for row in staged} == {"WALL", "ABSORPTION", "VACUUM", "CONSUMPTION", "SWEEP", "PIN"}
    for row in staged:
        assert (row["said"]["found"], row["opposite"], row["labelled"]["found"]) == (row["staged"], 0, row["staged"])
        assert row["said"]["low"] < 1 and row["elsewhere"]["of"] > 0
        if row["signal"] in ("BREAK", "REJECT"):
            assert row["before"]["found"] < row["staged"] and row["elsewhere"]["found"] < row["elsewhere"]["of"]
    assert report["fills"]["precision"] > 0.99 and report["fills"]["recall"] > 0.99


@pytest.mark.parametrize(
    "command", ["demo", "test", "up", "down", "status", "topics", "query", "bench", "replay", "simulate"]
)
def test_every_command_explains_itself(command: str) -> None:
    result = breakwater(command, "--help")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 3
