"""Sessions computed again give the same rows in tables: here, and on workers of Ray."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from common import iceberg, topics
from common.config import load_config
from common.errors import ConfigError, InputError, UnavailableError
from common.settings import tell_library
from infra.backfill import app
from producers.replay.backfill.plan import ATTEMPTS, backfill, sessions_between
from producers.replay.backfill.session import Done, Job, code_digest, compute, finished, session_range
from producers.replay.backfill.workers import ray_workers
from tests.support.backfills import assert_same_rows, digests
from tests.support.stack import environment
from tests.support.stored_sessions import store_sessions

DATES = (20250602, 20250603)
SPAN = ("--from", "2025-06-02", "--to", "2025-06-05")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # Ray reads it once a process, when it is imported: one token for every cluster here.
    tell_library(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    home = tmp_path_factory.mktemp("backfill")
    with environment(BREAKWATER_HOME=str(home)):
        store_sessions(DATES)
        yield home


@pytest.fixture(scope="module")
def here(stored: Path) -> dict[str, Any]:
    """What a run in this process reports, the measure of all others."""
    return command("--name", "here", "--workers", "0")


def command(*arguments: str) -> dict[str, Any]:
    """The command's report, as JSON has it."""
    outcome = CliRunner().invoke(app, [*SPAN, "--json", *arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def job(date: int, run: str = "none") -> Job:
    return Job(date, load_config().model_dump(mode="json"), run, "", 0, code_digest())


def test_the_tables_hold_what_was_computed_and_the_live_ones_nothing_of_it(here: dict[str, Any]) -> None:
    assert here["tables"] == "backfill_here" and here["without_inputs"] == [20250604, 20250605]
    assert list(here["sessions"]) == [str(date) for date in DATES]
    assert all(rows["signals"] > 0 for rows in here["rows"].values())
    assert len({found["signals_digest"] for found in here["sessions"].values()}) == len(DATES)
    held = digests("here")
    for date, found in here["sessions"].items():
        assert held[date] == {kind: found[kind] for kind in held[date]}
        assert {kind for kind, rows in here["rows"][date].items() if rows} == set(held[date])
    assert not [name for name in iceberg.table_names() if name.startswith("gold.")]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_on_this_machine_give_the_same_rows(here: dict[str, Any], workers: int) -> None:
    name = f"local{workers}"
    assert_same_rows(name, command("--name", name, "--workers", str(workers)), "here", here)


def test_the_command_goes_on_where_it_was_interrupted(
    stored: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One session landed, one computed and not landed, its folder beside a torn one: nothing is computed again."""
    only = ("--name", "again", "--workers", "0")
    first = CliRunner().invoke(app, ["--from", "2025-06-02", "--to", "2025-06-02", *only], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    scratch = stored / "lake" / "_meta" / "backfill" / "backfill_again"
    done = compute(job(DATES[1], "backfill_again"))
    (scratch / f"{DATES[1]}.torn").mkdir()
    assert finished(job(DATES[1], "backfill_again")) == done
    monkeypatch.delattr("producers.replay.backfill.workers.compute")
    report = command(*only)
    assert report["passed_over"] == [DATES[0]]
    assert_same_rows("again", report, "here", here)
    assert not list(scratch.iterdir())
    assert command(*only)["passed_over"] == list(DATES)
    with pytest.raises(ConfigError, match="was computed with"):
        CliRunner().invoke(app, [*SPAN, *only, "--set", "W_t=10"], catch_exceptions=False)


def file_of(date: int) -> Path:
    """Where the session's books are."""
    books = iceberg.load_table(iceberg.TABLES[topics.FUTURES_MBP10])
    assert books is not None
    shown = session_range(date)
    (task,) = books.scan(f"ts_event_ns >= {shown.from_ns} and ts_event_ns < {shown.until_ns}").plan_files()
    return Path(task.file.file_path.removeprefix("file://"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_session_with_broken_inputs_is_reported_and_is_the_only_one_computed_when_they_are_whole(
    stored: Path, home: Path, workers: int
) -> None:
    broken, other = 20250602, 20250604  # With a session between them: each is computed with the one before it, too.
    store_sessions((broken, other), seconds=20)
    path, only = file_of(broken), ("--name", "broken", "--workers", str(workers))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    outcome = CliRunner().invoke(app, [*SPAN, "--json", *only], catch_exceptions=False)
    report = json.loads(outcome.stdout)
    assert outcome.exit_code == 1
    assert list(report["sessions"]) == [str(other)]
    assert list(report["failed"]) == [str(broken)] and "Parquet" in report["failed"][str(broken)]
    assert report["retried"] == {str(broken): ATTEMPTS - 1}
    tries = [line for line in outcome.stderr.splitlines() if line.startswith(str(broken))]
    assert ["is given up" in line for line in tries] == [False] * (ATTEMPTS - 1) + [True]
    path.write_bytes(whole)
    report = command(*only)
    assert report["passed_over"] == [other] and not report["retried"]
    assert_same_rows("broken", report, "whole", command("--name", "whole", "--workers", "0"))


class Flaky:
    """Fails each session so many times."""

    def __init__(self, times: int) -> None:
        self.left = dict.fromkeys(DATES, times)
        self.calls: list[int] = []

    def results(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Done | Exception]]:
        for one in jobs:
            self.calls.append(one.date)
            if self.left[one.date]:
                self.left[one.date] -= 1
                yield one, InputError("not yet")
            else:
                yield one, Done(one.date, "c", "v", {}, {}, {}, "d")


class Held:
    """A landing in memory, which refuses each session so many times."""

    def __init__(self, times: int = 0) -> None:
        self.left = dict.fromkeys(DATES, times)
        self.held: dict[int, Done] = {}

    def landed(self) -> dict[int, Done]:
        return dict(self.held)

    def land(self, done: Done) -> None:
        if self.left[done.date]:
            self.left[done.date] -= 1
            raise InputError("the folder is gone")
        self.held[done.date] = done


@pytest.mark.parametrize("times", [ATTEMPTS - 1, ATTEMPTS])
@pytest.mark.parametrize("where", ["computing", "landing"])
def test_a_failed_session_is_tried_again_and_reported_when_it_keeps_failing(times: int, where: str) -> None:
    told: list[tuple[int, bool, bool]] = []
    workers = Flaky(times if where == "computing" else 0)
    landing = Held(times if where == "landing" else 0)

    def tell(date: int, outcome: Done | Exception, again: bool) -> None:
        told.append((date, isinstance(outcome, Done), again))

    report = backfill([job(date) for date in DATES], workers, landing, tell)
    assert workers.calls == list(DATES) * ATTEMPTS
    ended_well = times < ATTEMPTS
    tries = [(date, False, True) for date in DATES] * (ATTEMPTS - 1)
    assert told == [*tries, *((date, ended_well, False) for date in DATES)]
    assert (sorted(report.done), sorted(report.failed)) == ((list(DATES), []) if ended_well else ([], list(DATES)))
    assert sorted(landing.held) == sorted(report.done)
    assert report.retried == dict.fromkeys(DATES, ATTEMPTS - 1)


def test_an_error_in_a_task_names_what_went_wrong_and_other_code_is_refused(stored: Path) -> None:
    one = job(DATES[0])
    with ray_workers(1, None) as workers:
        tasks = [replace(one, files=("nowhere.dbn",)), replace(one, code="another")]
        outcomes = {ended.code: outcome for ended, outcome in workers.results(tasks)}
    missing, other = outcomes[one.code], outcomes["another"]
    assert isinstance(missing, InputError) and "nowhere.dbn" in str(missing)
    assert isinstance(other, ConfigError) and "other code" in str(other)
    assert finished(one) is None


@pytest.mark.parametrize("address", ["127.0.0.1:{free}", "auto"])
def test_a_cluster_that_is_not_there_is_named(stored: Path, address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        named = address.format(free=server.getsockname()[1])
    with pytest.raises(UnavailableError, match=f"Ray at {named}"), ray_workers(1, named):
        pass


def test_sessions_are_those_of_the_exchange() -> None:
    assert sessions_between(20250530, 20250603) == [20250530, 20250602, 20250603]
    with pytest.raises(ConfigError, match="no session"):
        sessions_between(20250607, 20250608)
