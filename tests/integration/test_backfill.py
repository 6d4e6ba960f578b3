"""Sessions computed again give the same rows in tables: here, and on workers of Ray."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from common import iceberg, schemas
from common.config import load_config
from common.content import ContentDigest
from common.errors import ConfigError, InputError
from common.settings import tell_library
from infra.backfill import app
from producers.replay.backfill.plan import ATTEMPTS, backfill, sessions_between
from producers.replay.backfill.session import Done, Job, code_digest, compute, finished
from producers.replay.backfill.workers import ray_workers
from producers.replay.outputs import KINDS
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


def digests(name: str) -> dict[str, dict[str, str]]:
    """Per session and kind the digest of what the run's tables hold, in its order."""
    out: dict[str, dict[str, str]] = {}
    for kind, topic in KINDS.items():
        rows = iceberg.scan(f"backfill_{name}.{iceberg.TABLES[topic].rpartition('.')[2]}").sort_by("_row")
        for date in sorted(set(rows["_session"].to_pylist())):
            digest = ContentDigest(schemas.load(topic).arrow.names)
            digest.update(rows.filter([one == date for one in rows["_session"].to_pylist()]))
            out.setdefault(str(date), {})[kind] = digest.hexdigest()
    return out


def assert_same_rows(name: str, report: dict[str, Any], here: dict[str, Any]) -> None:
    assert report["sessions"] == here["sessions"] and report["rows"] == here["rows"]
    assert digests(name) == digests("here")


def job(date: int, scratch: Path) -> Job:
    return Job(date, load_config().model_dump(mode="json"), str(scratch), "", 0, code_digest())


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
    assert_same_rows(name, command("--name", name, "--workers", str(workers)), here)


def test_the_command_goes_on_where_it_was_interrupted(
    stored: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One session landed, one computed and not landed, its folder beside a torn one: nothing is computed again."""
    only = ("--name", "again", "--workers", "0")
    first = CliRunner().invoke(app, ["--from", "2025-06-02", "--to", "2025-06-02", *only], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    scratch = stored / "lake" / "backfill" / "backfill_again"
    done = compute(job(DATES[1], scratch))
    (scratch / f"{DATES[1]}.torn").mkdir()
    assert finished(job(DATES[1], scratch)) == done
    monkeypatch.delattr("producers.replay.backfill.workers.compute")
    report = command(*only)
    assert report["passed_over"] == [DATES[0]]
    assert_same_rows("again", report, here)
    assert not list(scratch.iterdir())
    assert command(*only)["passed_over"] == list(DATES)
    with pytest.raises(ConfigError, match="was computed with"):
        CliRunner().invoke(app, [*SPAN, *only, "--set", "W_t=10"], catch_exceptions=False)


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
def test_a_failed_session_is_tried_again_and_reported_when_it_keeps_failing(
    tmp_path: Path, times: int, where: str
) -> None:
    told: list[tuple[int, bool, bool]] = []
    workers = Flaky(times if where == "computing" else 0)
    landing = Held(times if where == "landing" else 0)

    def tell(date: int, outcome: Done | Exception, again: bool) -> None:
        told.append((date, isinstance(outcome, Done), again))

    report = backfill([job(date, tmp_path) for date in DATES], workers, landing, tell)
    assert workers.calls == list(DATES) * ATTEMPTS
    ended_well = times < ATTEMPTS
    tries = [(date, False, True) for date in DATES] * (ATTEMPTS - 1)
    assert told == [*tries, *((date, ended_well, False) for date in DATES)]
    assert (sorted(report.done), sorted(report.failed)) == ((list(DATES), []) if ended_well else ([], list(DATES)))
    assert sorted(landing.held) == sorted(report.done)
    assert report.retried == dict.fromkeys(DATES, ATTEMPTS - 1)


def test_an_error_in_a_task_names_what_went_wrong_and_other_code_is_refused(stored: Path, tmp_path: Path) -> None:
    (one,) = [job(DATES[0], tmp_path)]
    with ray_workers(1, None) as workers:
        tasks = [replace(one, files=("nowhere.dbn",)), replace(one, code="another")]
        outcomes = {ended.code: outcome for ended, outcome in workers.results(tasks)}
    missing, other = outcomes[one.code], outcomes["another"]
    assert isinstance(missing, InputError) and "nowhere.dbn" in str(missing)
    assert isinstance(other, ConfigError) and "other code" in str(other)
    assert finished(one) is None


def test_sessions_are_those_of_the_exchange() -> None:
    assert sessions_between(20250530, 20250603) == [20250530, 20250602, 20250603]
    with pytest.raises(ConfigError, match="no session"):
        sessions_between(20250607, 20250608)
