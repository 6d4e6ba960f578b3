"""Many sessions computed again give the same bytes in this process, on one Ray worker and on two."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from common.config import load_config
from common.errors import ConfigError, InputError
from producers.replay.backfill.command import app
from producers.replay.backfill.plan import ATTEMPTS, backfill, sessions_between
from producers.replay.backfill.session import Done, Job, finished
from producers.replay.backfill.workers import InProcess, ray_workers
from tests.support.stack import environment
from tests.support.stored_sessions import store_sessions

DATES = (20250602, 20250603)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("backfill")
    with environment(BREAKWATER_HOME=str(home)):
        store_sessions(DATES)
        yield home


def jobs(out: Path, dates: Sequence[int] = DATES) -> list[Job]:
    return [Job(date, load_config().model_dump(mode="json"), str(out), "", 0) for date in dates]


def quiet(_date: int, _outcome: Done | Exception) -> None:
    return


def test_one_worker_two_workers_and_this_process_give_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    config_hash = load_config().hash
    here = backfill(jobs(tmp_path / "here"), InProcess(), config_hash, quiet)
    with ray_workers(1, None) as one:
        alone = backfill(jobs(tmp_path / "one"), one, config_hash, quiet)
    with ray_workers(2, None) as two:
        both = backfill(jobs(tmp_path / "two"), two, config_hash, quiet)
    assert not here.failed and not alone.failed and not both.failed
    assert here.all == alone.all == both.all
    assert list(here.all) == list(DATES)
    assert all(done.rows["signals"] > 0 for done in here.all.values())
    assert len({done.signals_digest for done in here.all.values()}) == len(DATES)
    for date in DATES:
        for kind in ("features", "signals", "outcomes", "flow"):
            tables = [pq.read_table(tmp_path / place / str(date) / f"{kind}.parquet") for place in ("here", "two")]
            assert tables[0].equals(tables[1])


def test_the_command_goes_on_where_it_was_interrupted(stored: Path, tmp_path: Path) -> None:
    arguments = ["--from", "2025-06-02", "--to", "2025-06-05", "--workers", "0", "--out", str(tmp_path), "--json"]
    first = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert first.exit_code == 0, first.output
    before = json.loads(first.stdout)
    assert before["passed_over"] == [] and before["without_inputs"] == [20250604, 20250605]
    (tmp_path / "20250603" / "session.json").unlink()
    again = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert again["passed_over"] == [20250602]
    assert again["sessions"] == before["sessions"]
    with pytest.raises(ConfigError, match="was computed under"):
        CliRunner().invoke(app, [*arguments, "--set", "W_t=10"], catch_exceptions=False)


class Flaky:
    """Fails each session so many times."""

    def __init__(self, times: int) -> None:
        self.left = dict.fromkeys(DATES, times)
        self.calls: list[int] = []

    def results(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Done | Exception]]:
        for job in jobs:
            self.calls.append(job.date)
            if self.left[job.date]:
                self.left[job.date] -= 1
                yield job, InputError("not yet")
            else:
                yield job, Done(job.date, "c", None, {}, {}, {}, "d")


def test_a_failed_session_is_tried_again_and_reported_when_it_keeps_failing(tmp_path: Path) -> None:
    for times in (ATTEMPTS - 1, ATTEMPTS):
        told: list[tuple[int, bool]] = []
        workers = Flaky(times)

        def tell(date: int, outcome: Done | Exception, told: list[tuple[int, bool]] = told) -> None:
            told.append((date, isinstance(outcome, Done)))

        report = backfill(jobs(tmp_path), workers, "c", tell)
        assert workers.calls == list(DATES) * ATTEMPTS
        ended_well = times < ATTEMPTS
        assert told == [(date, ended_well) for date in DATES]
        assert (sorted(report.done), sorted(report.failed)) == ((list(DATES), []) if ended_well else ([], list(DATES)))


def test_an_error_in_a_task_names_what_went_wrong(stored: Path, tmp_path: Path) -> None:
    with ray_workers(1, None) as workers:
        (job,) = jobs(tmp_path, [20250602])
        ((_, outcome),) = workers.results([replace(job, files=("nowhere.dbn",))])
    assert isinstance(outcome, InputError) and "nowhere.dbn" in str(outcome)
    assert finished(str(tmp_path), 20250602) is None


def test_sessions_are_those_of_the_exchange() -> None:
    assert sessions_between(20250530, 20250603) == [20250530, 20250602, 20250603]
    with pytest.raises(ConfigError, match="no session"):
        sessions_between(20250607, 20250608)
