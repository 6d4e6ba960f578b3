"""History through the vendor's own client: priced, downloaded whole or not at all, and published day by day."""

from __future__ import annotations

import datetime as dt
import gc
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common import kafka
from common.errors import ConfigError, InputError, UnavailableError
from common.settings import PROJECT_ROOT, child_environment
from common.topics import full_name
from producers.dbn.days import days, path_of
from producers.dbn.download import ATTEMPTS, Archive, Wish
from producers.dbn.file import DbnFile
from producers.dbn.symbols import NS_PER_DAY
from tests.support import dbn_files
from tests.support.databento_gateway import TEST_KEY
from tests.support.databento_history import HistoryGateway
from tests.support.stack import environment

FIRST, LAST = dt.date(2025, 6, 3), dt.date(2025, 6, 6)
SCHEMAS = ("mbp-10", "trades", "definition", "status")
COUNTS = {"mbp-10": 60, "trades": 20, "definition": 1, "status": 2}
THERE = (FIRST, FIRST + dt.timedelta(days=1), LAST)
"""Nothing was traded on the third day."""


@pytest.fixture
def history(tmp_path: Path) -> Iterator[HistoryGateway]:
    """Three days of every schema, and a certificate that the client trusts."""
    folder = tmp_path / "history"
    folder.mkdir()
    paths = []
    for schema, count in COUNTS.items():
        times = [(day - FIRST).days * NS_PER_DAY + n * 1_000_000_000 for day in THERE for n in range(count)]
        paths.append(dbn_files.write(folder / f"{schema}.dbn", schema, dbn_files.records(schema, times)))
    with HistoryGateway(paths, folder) as gateway, environment(REQUESTS_CA_BUNDLE=str(gateway.certificate)):
        yield gateway


def wish(folder: Path, symbol: str = "ES.c.0") -> Wish:
    return Wish(folder / "dbn-data", "GLBX.MDP3", symbol, SCHEMAS, FIRST, LAST)


def archive(gateway: HistoryGateway, key: str = TEST_KEY) -> Archive:
    return Archive(key, gateway.url, pause_s=0.0)


def download(gateway: HistoryGateway, asked: Wish) -> None:
    client = archive(gateway)
    for part in client.plan(asked):
        for day in part.days:
            client.fetch(asked, part.schema, day)


def test_what_is_downloaded_is_a_folder_of_days_and_is_not_asked_for_again(
    history: HistoryGateway, tmp_path: Path
) -> None:
    asked = wish(tmp_path)
    planned = archive(history).plan(asked)
    assert [len(part.days) for part in planned] == [3, 3, 3, 3]
    assert planned[0].size_bytes == 3 * COUNTS["mbp-10"] * 368
    assert all(part.cost_usd > 0 for part in planned)
    assert not history.served
    download(history, asked)
    assert len(history.served) == 12
    assert [len(files) for files in days(asked.folder)] == [4, 4, 4]
    with DbnFile(path_of(asked.folder, "GLBX.MDP3", "mbp-10", LAST)) as file:
        assert len(file.read(1000)) == COUNTS["mbp-10"]
    again = archive(history).plan(asked)
    assert not any(part.days or part.cost_usd for part in again)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves broken files open
def test_a_download_that_breaks_is_made_again_and_leaves_no_half_file(history: HistoryGateway, tmp_path: Path) -> None:
    asked = wish(tmp_path)
    history.breaks, history.errors = 2, 1
    assert archive(history).fetch(asked, "trades", FIRST) == COUNTS["trades"]
    history.breaks = ATTEMPTS
    with pytest.raises(UnavailableError) as caught:
        archive(history).fetch(asked, "mbp-10", FIRST)
    assert caught.value.hint
    assert [len(files) for files in days(asked.folder)] == [1]
    download(history, asked)
    assert [len(files) for files in days(asked.folder)] == [4, 4, 4]
    # What the vendor's client left open is closed here and not in the midst of another test.
    del caught
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_refused_key_and_an_unknown_symbol_say_what_to_do(history: HistoryGateway, tmp_path: Path) -> None:
    wrong = "db-not-the-key-of-the-service-xy"
    with pytest.raises(ConfigError, match="refuses the key") as caught:
        archive(history, key=wrong).plan(wish(tmp_path))
    assert wrong not in str(caught.value)
    with pytest.raises(InputError, match="NQ"):
        archive(history).plan(wish(tmp_path, symbol="NQ.c.0"))


def command(history: HistoryGateway, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``breakwater download`` with nobody to ask."""
    env = child_environment(BREAKWATER_DATABENTO_KEY=TEST_KEY, BREAKWATER_DATABENTO_URL=history.url)
    arguments = ["download", "--from", str(FIRST), "--to", str(LAST), "--out", str(folder), *options]
    return subprocess.run(
        [sys.executable, "-m", "common.cli", *arguments],
        cwd=PROJECT_ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_shows_the_price_and_spends_nothing_unasked(history: HistoryGateway, tmp_path: Path) -> None:
    folder = tmp_path / "dbn-data"
    unasked = command(history, folder)
    assert unasked.returncode == 1
    assert "$" in unasked.stderr
    assert "--yes" in unasked.stderr
    assert not history.served
    done = command(history, folder, "--yes", "--schema", "trades", "--schema", "mbp-10")
    assert done.returncode == 0, done.stderr
    assert "6 files with 240 records" in done.stdout
    assert len(history.served) == 6
    assert TEST_KEY not in done.stdout + done.stderr + unasked.stdout + unasked.stderr


def publish(folder: Path, namespace: str) -> str:
    env = child_environment()
    arguments = ["publish", "--file", str(folder), "--namespace", namespace]
    done = subprocess.run(
        [sys.executable, "-m", "producers", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_folder_is_published_day_by_day_and_goes_on_with_the_days_that_are_new(
    history: HistoryGateway, tmp_path: Path, namespace: str
) -> None:
    asked = wish(tmp_path)
    download(history, asked)
    late = [path_of(asked.folder, "GLBX.MDP3", schema, LAST) for schema in SCHEMAS]
    for path in late:
        path.rename(tmp_path / path.name)
    assert f"{2 * sum(COUNTS.values()):,} added" in publish(asked.folder, namespace)
    for path in late:
        (tmp_path / path.name).rename(path)
    assert f"{sum(COUNTS.values()):,} added" in publish(asked.folder, namespace)
    assert "nothing to do" in publish(asked.folder, namespace)
    topics = ("futures.mbp10.v1", "futures.trades.v1", "futures.definitions.v1", "futures.status.v1")
    ends = [kafka.end_offsets(full_name(topic, namespace), 0).end_offset for topic in topics]
    assert ends == (3 * np.array(list(COUNTS.values()))).tolist()
