"""A real Ray cluster of several nodes; kill -9 for one of them, and for the command: same rows as computed here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from common import iceberg
from common.settings import PROJECT_ROOT
from infra.backfill import app
from lakehouse.silver.table import CURSOR
from producers.replay.outputs import KINDS
from tests.support.backfills import assert_same_rows, digests, table_name
from tests.support.ray_nodes import PATIENCE_S, RayNodes, Writer, eventually, ray_nodes, writers
from tests.support.stack import environment
from tests.support.stored_sessions import store_sessions

DATES = (20250602, 20250603, 20250604, 20250605)
SPAN = ("--from", "2025-06-02", "--to", "2025-06-05", "--json")
WORKERS = 2

pytestmark = pytest.mark.timeout(3 * PATIENCE_S)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("cluster")
    with environment(BREAKWATER_HOME=str(home)):
        store_sessions(DATES)
        yield home


@pytest.fixture(scope="module")
def here(stored: Path) -> dict[str, Any]:
    """What a run in this process reports."""
    outcome = CliRunner().invoke(app, [*SPAN, "--name", "here", "--workers", "0"], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    found: dict[str, Any] = json.loads(outcome.stdout)
    assert sorted(found["sessions"]) == [str(date) for date in DATES]
    return found


@pytest.fixture(scope="module")
def cluster(stored: Path) -> Iterator[RayNodes]:
    with (
        tempfile.TemporaryDirectory(prefix="bw-ray-", ignore_cleanup_errors=True) as folder,
        ray_nodes(Path(folder)) as nodes,
    ):
        yield nodes


@pytest.fixture
def nodes(cluster: RayNodes) -> RayNodes:
    """The cluster with all its workers."""
    cluster.complete(WORKERS)
    return cluster


def start(nodes: RayNodes, name: str, **variables: str) -> subprocess.Popen[str]:
    """The command on the cluster, by configuration alone."""
    return subprocess.Popen(
        [sys.executable, "-m", "common.cli", "backfill", *SPAN, "--name", name],
        cwd=PROJECT_ROOT,
        env=nodes.environment(BREAKWATER_RAY_ADDRESS=nodes.address, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(command: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """Its report, which is all of its output, and what it told."""
    output, told = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 0, told
    report: dict[str, Any] = json.loads(output)
    return report, told


def landed(name: str) -> set[int]:
    """The sessions that all tables of the run say they hold."""
    tables = [iceberg.load_table(table_name(name, topic)) for topic in KINDS.values()]
    held = [
        {int(key.removeprefix(CURSOR)) for key in table.properties if key.startswith(CURSOR)} if table else set()
        for table in tables
    ]
    return set.intersection(*held)


def commits(name: str) -> dict[str, int]:
    """How often each table of the run was changed."""
    tables = {topic: iceberg.load_table(table_name(name, topic)) for topic in KINDS.values()}
    return {topic: len(table.history()) for topic, table in tables.items() if table is not None}


def stopped_in_a_session(command: subprocess.Popen[str], scratch: Path) -> Writer:
    """A process of the cluster that is writing a session, stopped before it was done."""

    def stop_one() -> Writer | None:
        assert command.poll() is None, command.communicate()
        # The command opens these files too, to land them.
        for writer in [one for one in writers(scratch) if one.pid != command.pid]:
            os.kill(writer.pid, signal.SIGSTOP)
            if writer in writers(scratch):
                return writer
            os.kill(writer.pid, signal.SIGCONT)
        return None

    return eventually(stop_one, "a session that is being computed")


def test_a_command_that_was_killed_goes_on_and_computes_nothing_twice(nodes: RayNodes, here: dict[str, Any]) -> None:
    command = start(nodes, "resumed")
    with command:
        eventually(lambda: landed("resumed") or None, "a session in the tables")
        command.kill()
    there = landed("resumed")
    assert 0 < len(there) < len(DATES)
    report, told = finish(start(nodes, "resumed", FORCE_COLOR="1"))
    assert report["passed_over"] == sorted(there) and not report["retried"]
    assert_same_rows("resumed", report, "here", here)
    assert commits("resumed") == commits("here")
    # The progress bar, as a terminal shows it.
    assert f"{len(DATES)}/{len(DATES)}" in told


def test_workers_that_share_the_catalog_and_its_store_alone_give_the_same_rows(
    nodes: RayNodes, here: dict[str, Any], rest_lake: dict[str, str], home: Path
) -> None:
    store_sessions(DATES)
    report, _ = finish(start(nodes, "rest"))
    assert report["sessions"] == here["sessions"] and report["rows"] == here["rows"]
    held = digests("rest")
    assert held == {date: {kind: found[kind] for kind in held[date]} for date, found in here["sessions"].items()}
    assert not (home / "lake").exists()


def test_a_session_whose_machine_died_is_reported_and_computed_again_on_another(
    nodes: RayNodes, stored: Path, here: dict[str, Any]
) -> None:
    scratch = stored / "lake" / "_meta" / "backfill" / "backfill_lost"
    command = start(nodes, "lost")
    lost = stopped_in_a_session(command, scratch)
    nodes.lose_node_of(lost.pid)
    report, told = finish(command)
    assert report["retried"] == {lost.session: 1} and not report["failed"] and not report["passed_over"]
    assert f"{lost.session} failed and is tried again: " in told
    assert_same_rows("lost", report, "here", here)
    assert commits("lost") == commits("here")
    assert not list(scratch.iterdir())
