"""The sample session through every service, then Silver, Gold, a training set, a certificate and the runs' records."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars
import pyarrow.compute as pc
import pytest

from common import iceberg, manifests, topics
from common.settings import PROJECT_ROOT, child_environment
from lakehouse.silver.pipeline import silver_table
from tests.support.live_run import LiveRun, live_run
from tests.support.silver_lake import content
from tests.support.stack import environment

DATE = "2023-12-26"
COMPUTED = ("silver.futures_mbp10", "silver.futures_trades", "silver.features_es_pipeline", "gold.training_es_pipeline")


@pytest.fixture(scope="module")
def ran(stack: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    """The session's run, with the computed tables, which a killed service and its successors made."""
    with (
        live_run(tmp_path_factory.mktemp("silver")) as run,
        environment(BREAKWATER_HOME=str(run.home), BREAKWATER_NAMESPACE=run.namespace),
    ):
        _kill_again_and_again(run)
        ended = run.command("silver", "--once")
        assert ended.code == 0, ended.err
        yield run


def _kill_again_and_again(run: LiveRun) -> None:
    chance = random.Random(5)
    env = child_environment(BREAKWATER_NAMESPACE=run.namespace, BREAKWATER_HOME=str(run.home))
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "lakehouse.silver"], cwd=PROJECT_ROOT, env=env, stderr=subprocess.DEVNULL
        )
        _wait_for(process, run.home / "run" / "silver.json")
        time.sleep(4 * chance.random())
        process.kill()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], run_file: Path) -> None:
    deadline_s = time.monotonic() + 120
    while not (run_file.is_file() and json.loads(run_file.read_text(encoding="utf-8"))["pid"] == process.pid):
        assert process.poll() is None and time.monotonic() < deadline_s, "the service does not start"
        time.sleep(0.1)


def test_silver_holds_each_stored_event_once_and_in_order(ran: LiveRun) -> None:
    for topic in (topics.FUTURES_MBP10, topics.FUTURES_TRADES):
        stored = iceberg.scan(iceberg.TABLES[topic], columns=("event_id", "ts_event_ns"))
        rows = content(silver_table(topic))
        distinct = stored.group_by(["event_id", "ts_event_ns"]).aggregate([]).num_rows
        assert 0 < rows.num_rows == distinct
        assert pc.all(pc.greater_equal(pc.pairwise_diff(rows["ts_event_ns"].combine_chunks()), 0)).as_py()


def test_every_level_and_snap_is_there_with_its_judgement(ran: LiveRun) -> None:
    judged = content("silver.features_es_pipeline")
    assert judged.num_rows == iceberg.scan(iceberg.TABLES[topics.FEATURES], columns=("ts_event_ns",)).num_rows > 0
    assert judged["break_score_raw"].null_count == 0


def test_a_training_set_is_made_and_read_by_command(ran: LiveRun, tmp_path: Path) -> None:
    chosen = ["--from", "2023-12-25T00:00", "--to", "2023-12-27T00:00", "--label", "outcome_240s"]
    features = ["--features", "distance,barrier_delta_liq,tape_imbalance,break_score_smooth"]
    made = ran.command("dataset", "create", "first", *chosen, *features)
    assert made.code == 0, made.err
    again = ran.command("dataset", "create", "first", *chosen, *features)
    assert again.code == 1 and "already" in again.err
    out = tmp_path / "first.parquet"
    assert ran.command("dataset", "read", "first", "--out", str(out)).code == 0
    frame = polars.read_parquet(out)
    assert frame.height > 0 and (frame["ts_event_ns"] < frame["outcome_240s_known_ns"]).all()
    assert "first" in ran.command("dataset", "list").out


def test_the_session_is_certified_and_still_is_after_a_rebuilding_from_nothing(ran: LiveRun) -> None:
    made = ran.command("certify", DATE)
    assert made.code == 0 and "certificate stored" in made.out, made.err
    assert "lacks" not in made.out and "are stored or set aside" not in made.out and "Silver holds" not in made.out
    before = {name: content(name) for name in COMPUTED}
    for name in COMPUTED:
        iceberg.open_catalog().drop_table(name)
    assert ran.command("silver", "--once").code == 0
    assert [name for name in COMPUTED if not content(name).equals(before[name])] == []
    compared = ran.command("certify", DATE)
    assert compared.code == 0 and "as certified" in compared.out, compared.out


def test_every_service_left_a_record_of_its_run(ran: LiveRun) -> None:
    runs = {run.service: run for run in manifests.listed(100)}
    assert {"features", "signals", "sink", "silver"} <= set(runs)
    assert runs["sink"].tables["bronze.futures_mbp10"]
    assert runs["features"].config_hash == runs["signals"].config_hash
    assert runs["silver"].standing is manifests.RunStatus.CRASHED
    assert runs["sink"].run_id in ran.command("runs", "list", "--last", "50").out.replace("\n", "")
