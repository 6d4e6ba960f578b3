"""A live run replayed: from files, topics and tables, whole and in part, past retention, into a namespace, compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import TopicPartition

from common import iceberg, kafka, topics
from common.digest import signals_digest
from common.endpoints import Endpoints
from common.times import parse_time
from lakehouse.read import signals
from tests.support.live_run import LiveRun, live_run, sample_files
from tests.support.stack import environment


@pytest.fixture(scope="module")
def run(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    with live_run(tmp_path_factory.mktemp("run") / "home") as made:
        yield made


@pytest.fixture(scope="module")
def from_files(run: LiveRun) -> dict[str, Any]:
    """What the engine alone makes of the files."""
    return run.json("replay", *(f"--file={path}" for path in sample_files()))


def test_topics_tables_and_files_replay_to_the_digest_of_what_was_published(
    run: LiveRun, from_files: dict[str, Any]
) -> None:
    with environment(BREAKWATER_NAMESPACE=run.namespace, BREAKWATER_HOME=str(run.home)):
        published = signals_digest(pa.concat_tables(signals()))
    assert published == from_files["signals_digest"]
    from_topics = run.json("replay")
    from_tables = run.json("replay", "--iceberg")
    assert from_topics["signals_digest"] == from_tables["signals_digest"] == published
    assert from_topics["events"] == from_tables["events"] == from_files["events"]
    books = topics.full_name(topics.FUTURES_MBP10, run.namespace)
    assert from_topics["offsets"][books] == [0, from_files["events"][topics.FUTURES_MBP10]]


def effective_times(topic: str) -> dict[int, int]:
    """Effective time by offset, as the table has it."""
    rows = iceberg.scan(iceberg.TABLES[topic], columns=("_offset", "ts_effective_ns"))
    return dict(zip(rows["_offset"].to_pylist(), rows["ts_effective_ns"].to_pylist(), strict=True))


def test_a_range_of_offsets_or_of_time_gives_exactly_the_rows_of_the_whole_in_it(run: LiveRun, tmp_path: Path) -> None:
    whole, by_time, by_offset = (tmp_path / f"{name}.parquet" for name in ("whole", "by_time", "by_offset"))
    run.json("replay", "--out", str(whole))
    begin, end = "2023-12-25T23:20:00.1", "2023-12-25T23:40"
    run.json("replay", "--iceberg", "--from", begin, "--to", end, "--out", str(by_time))
    rows = pq.read_table(whole)
    times = rows["ts_event_ns"].to_numpy()
    wanted = rows.filter((times >= parse_time(begin)) & (times < parse_time(end)))
    assert 0 < wanted.num_rows < rows.num_rows
    assert pq.read_table(by_time).equals(wanted)

    summary = run.json(
        "replay",
        "--from-offsets=futures.trades.v1:0:700,futures.mbp10.v1:0:20000",
        "--until-offsets=futures.mbp10.v1:0:30000",
        "--out",
        str(by_offset),
    )
    with environment(BREAKWATER_NAMESPACE=run.namespace, BREAKWATER_HOME=str(run.home)):
        at = {topic: effective_times(topic) for topic in (topics.FUTURES_MBP10, topics.FUTURES_TRADES)}
    first_ns = min(at[topics.FUTURES_MBP10][20_000], at[topics.FUTURES_TRADES][700])
    end_ns = at[topics.FUTURES_MBP10][30_000]
    part = rows.filter((times >= first_ns) & (times < end_ns))
    assert pq.read_table(by_offset).equals(part)
    assert summary["signals"]["count"] == part.num_rows > 0


def test_what_retention_has_cut_comes_from_the_tables(run: LiveRun, from_files: dict[str, Any]) -> None:
    cut = {topics.FUTURES_MBP10: 25_000, topics.FUTURES_TRADES: 1_000}
    places = [TopicPartition(topics.full_name(name, run.namespace), 0, offset) for name, offset in cut.items()]
    admin = kafka.admin()
    for future in admin.delete_records(places).values():
        future.result(60)
    summary = run.json("replay")
    assert summary["signals_digest"] == from_files["signals_digest"]
    assert summary["events"] == from_files["events"]
    alone = run.command("replay", "--from", "2023-12-25T23:30", "--home", str(run.home / "elsewhere"))
    assert alone.code == 1
    assert "offset 25000" in alone.err.replace("\n", "") or "offset 1000" in alone.err.replace("\n", "")
    assert "Traceback" not in alone.err


def test_a_replay_into_a_namespace_holds_every_row_once_and_goes_on_after_an_interruption(
    run: LiveRun, from_files: dict[str, Any]
) -> None:
    name = f"replay.{run.namespace.removeprefix('test.')}"
    part = run.json("replay", "--to-namespace", name, "--to", "2023-12-25T23:30")
    assert 0 < part["signals"]["count"] < from_files["signals"]["count"]
    run.json("replay", "--to-namespace", name)
    again = run.json("replay", "--to-namespace", name, "--diff", name)
    assert again["diff"]["rows"] == from_files["signals"]["count"]
    assert (again["diff"]["changed"], again["diff"]["only_before"], again["diff"]["only_after"]) == (0, 0, 0)
    held = run.json("topics", "--all")["topics"]
    counts = {topic["name"]: topic["offsets"] for topic in held}
    assert counts[f"{name}.{topics.FEATURES}"] >= from_files["features"]
    other = run.command("replay", "--to-namespace", name, "--set", "TRIGGER_HOLD_TIME=0.5")
    assert other.code == 1
    assert "holds another replay" in other.err


def test_stored_inputs_go_back_into_a_namespace_once_and_replay_from_there_to_the_same_digest(
    run: LiveRun, from_files: dict[str, Any]
) -> None:
    name = f"replay.inputs-{run.namespace.removeprefix('test.')}"
    done = run.command("republish", "--to-namespace", name)
    assert (done.code, "46,690 added" in done.out) == (0, True), done.err
    assert run.json("replay", "--namespace", name)["signals_digest"] == from_files["signals_digest"]
    again = run.command("republish", "--to-namespace", name)
    assert (again.code, " 0 added" in again.out) == (0, True), again.err
    live = run.command("republish", "--to-namespace", run.namespace)
    assert (live.code, "a replay does not write into" in live.err) == (1, True)


def test_a_part_goes_back_at_a_speed_with_exactly_its_records(run: LiveRun) -> None:
    name = f"replay.part-{run.namespace.removeprefix('test.')}"
    begin, end = "2023-12-25T23:30", "2023-12-25T23:35"
    done = run.command("republish", "--to-namespace", name, "--from", begin, "--to", end, "--speed", "100")
    assert done.code == 0, done.err
    held = {topic["name"]: topic["offsets"] for topic in run.json("topics", "--all")["topics"]}
    with environment(BREAKWATER_NAMESPACE=run.namespace, BREAKWATER_HOME=str(run.home)):
        at = {topic: effective_times(topic) for topic in (topics.FUTURES_MBP10, topics.FUTURES_TRADES)}
    for topic, times in at.items():
        wanted = sum(parse_time(begin) <= ts_ns < parse_time(end) for ts_ns in times.values())
        assert held[f"{name}.{topic}"] == wanted > 0


def test_the_live_run_is_compared_with_another_configuration(run: LiveRun) -> None:
    same = run.json("replay", "--diff", "live")
    assert same["diff"]["rows"] == same["signals"]["count"]
    assert (same["diff"]["changed"], same["diff"]["levels"]) == (0, [])
    other = run.json("replay", "--diff", "live", "--set", "TRIGGER_HOLD_TIME=0.5", "--iceberg")
    assert other["config_hash"] != same["config_hash"]
    assert other["diff"]["changed"] > 0
    shown = run.command("replay", "--diff", "live", "--set", "TRIGGER_HOLD_TIME=0.5")
    changed = next(level for level in other["diff"]["levels"] if level["changed"])
    (line,) = (line for line in shown.out.splitlines() if line.split()[:1] == [changed["level_id"]])
    assert f" {changed['changed']:,} " in line


def test_what_is_not_there_is_named_with_what_to_do(run: LiveRun, tmp_path: Path) -> None:
    nothing = run.command("replay", "--namespace", "test.nothing")
    assert (nothing.code, "nothing is stored in the namespace test.nothing" in nothing.err) == (1, True)
    beyond = run.command("replay", "--until-offsets", "futures.mbp10.v1:0:99999999")
    assert (beyond.code, "ends at offset 43717" in beyond.err) == (1, True)
    unknown = run.command("replay", "--diff", "test.nothing")
    assert (unknown.code, "test.nothing holds no signals" in unknown.err) == (1, True)
    live = run.command("replay", "--to-namespace", run.namespace)
    assert (live.code, "a replay does not write into" in live.err) == (1, True)
