"""A catalog shared by processes: writers and readers at once, and no 'database is locked'."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from common import iceberg
from common.settings import PROJECT_ROOT, child_environment
from lakehouse import read
from tests.support.lake import TABLE

WRITER = """
import sys
import time

from common import iceberg, schemas
from lakehouse.commits import Patience, claim, commit_batch
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table
from tests.support.lake import SOURCE, TABLE, TOPIC, batch

number, patience = int(sys.argv[1]), Patience(time.sleep, attempts=50)
ensure_table(iceberg.open_catalog(), TABLE, TOPIC, schemas.load(TOPIC))
store = IcebergStore(iceberg.open_catalog(), TABLE, TOPIC)
claim(store, f"writer-{number}", SOURCE, [number], patience)
for end in range(1, 11):
    commit_batch(store, batch(end - 1 or None, end, owner=f"writer-{number}", partition=number), patience)
"""

READER = """
from common import iceberg
from lakehouse import read
from tests.support.lake import TABLE
seen = 0
while seen < 20:
    rows = read.table_rows(TABLE)
    assert rows >= seen, (rows, seen)
    seen = rows
"""


def test_two_writers_and_two_readers_share_the_catalog_from_its_first_moment(home: Path, any_catalog: str) -> None:
    scripts = [(WRITER, "0"), (WRITER, "1"), (READER, ""), (READER, "")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, argument],
            cwd=PROJECT_ROOT,
            env=child_environment(BREAKWATER_HOME=str(home)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for script, argument in scripts
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
            assert "locked" not in errors
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert read.table_rows(TABLE) == 20
    assert sorted(iceberg.scan(TABLE, columns=["_offset"])["_offset"].to_pylist()) == sorted([*range(10)] * 2)
