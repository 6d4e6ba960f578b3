"""Maintenance with the real parts: on MinIO behind a REST catalog, by our own code and by Trino's procedures."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.table import Table

from common import iceberg, schemas
from common.errors import ConfigError, UnavailableError
from infra.local.trino import CATALOG
from lakehouse import read
from lakehouse import store as sink_store
from lakehouse.commits import claim, commit_batch
from lakehouse.maintenance import compaction, manifests
from lakehouse.maintenance.compaction import FAN_IN
from lakehouse.maintenance.procedures import Trino
from lakehouse.maintenance.schedule import LOOK_S, Schedule
from lakehouse.maintenance.upkeep import Bounds, count_files, maintain, pack_growing
from lakehouse.store import IcebergStore
from lakehouse.tables import HOUR_NS, ensure_table
from tests.support import lake_servers
from tests.support.lake import PATIENCE, SOURCE, START_NS, TABLE, TOPIC, batch, rows

HOURS, EACH = 3, 7
COMMITS = 300
KEPT = 32
"""Commits a second apart, and snapshots that a table keeps: fewer than by default, as each makes each commit slower."""


@pytest.fixture
def store(rest_lake: dict[str, str]) -> IcebergStore:
    """A table of three hours with seven files each, written backwards in time within its hour."""
    catalog = iceberg.open_catalog()
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    made = IcebergStore(catalog, TABLE, TOPIC)
    claim(made, "me", SOURCE, [0], PATIENCE)
    for number in range(HOURS * EACH):
        one = rows(number, at_ns=lambda n: START_NS + n // EACH * HOUR_NS + (100 - n) * 1_000)
        commit_batch(made, batch(number or None, number + 1, table=one), PATIENCE)
    return made


def table() -> Table:
    found = iceberg.load_table(TABLE)
    assert found is not None
    return found


def stands(count: int) -> None:
    """All rows are there once, and the offsets are as the sink left them."""
    assert sorted(iceberg.scan(TABLE, columns=["_offset"])["_offset"].to_pylist()) == list(range(count))
    assert read.committed_offsets(TABLE) == {(TOPIC, 0): count}


def test_own_packing_on_an_object_store_keeps_rows_and_offsets_and_the_sink_goes_on(store: IcebergStore) -> None:
    done = maintain(table(), Bounds())
    assert (done.files_before, done.files_after) == (HOURS * EACH, HOURS - 1 + EACH)
    stands(HOURS * EACH)
    commit_batch(store, batch(HOURS * EACH, HOURS * EACH + 1), PATIENCE)
    stands(HOURS * EACH + 1)


def test_an_hour_of_hundreds_of_commits_stays_below_a_hundred_files_and_snapshots_stay_bounded(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_store, "SNAPSHOTS_KEPT", KEPT)
    catalog = iceberg.open_catalog()
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    store, schedule = IcebergStore(catalog, TABLE, TOPIC), Schedule(100.0)
    claim(store, "me", SOURCE, [0], PATIENCE)
    commit_batch(store, batch(None, 1), PATIENCE)
    # Files as small as these would all be of one class: the first class ends where a packing of them begins.
    bound = max(sizes()) + 20
    monkeypatch.setattr(compaction, "SMALLEST_CLASS_BYTES", bound / FAN_IN)
    most_files = most_snapshots = rounds = packings = 0
    for second in range(1, COMMITS):
        commit_batch(store, batch(second, second + 1, table=rows(0).set_column(*offset(second))), PATIENCE)
        now = table()
        most_files = max(most_files, count_files(now))
        most_snapshots = max(most_snapshots, len(now.metadata.snapshots))
        if second % LOOK_S == 0 and schedule.is_grown(TABLE, count_files(now)):
            packings += pack_growing(now, compaction.TARGET_BYTES) > 0
            schedule.packed(TABLE, count_files(table()))
        if schedule.due([TABLE], second) is not None:
            rounds += maintain(table(), Bounds()).table == TABLE
            schedule.rounded(TABLE, second)
    assert packings > COMMITS / 30 and rounds == COMMITS / 100
    assert {size > bound for size in sizes()} == {False, True}, "two classes"
    assert most_files < 60, "two classes, and what came between two looks"
    assert KEPT < most_snapshots <= 2 * KEPT + 2
    stands(COMMITS)


def sizes() -> list[int]:
    """Of the table's files, bytes."""
    found: list[int] = table().inspect.files()["file_size_in_bytes"].to_pylist()
    return found


def offset(number: int) -> tuple[int, str, pa.Array]:
    """A column of one offset, for `pa.Table.set_column`."""
    return rows(0).column_names.index("_offset"), "_offset", pa.array([number], pa.int64())


def test_trino_packs_and_merges_where_it_is_configured_and_the_sink_goes_on(
    store: IcebergStore, trino: lake_servers.Trino
) -> None:
    asked = Trino(f"http://{trino.host}:{trino.port}/{CATALOG}")
    done = maintain(table(), Bounds(), asked)
    assert done.files_after == HOURS
    asked.merge_manifests(table())
    assert manifests.manifest_count(table()) <= HOURS
    stands(HOURS * EACH)
    commit_batch(store, batch(HOURS * EACH, HOURS * EACH + 1), PATIENCE)
    stands(HOURS * EACH + 1)


def test_a_trino_that_does_not_answer_or_is_named_wrongly_says_what_to_do(store: IcebergStore) -> None:
    with pytest.raises(UnavailableError, match="did not run") as caught:
        Trino("http://127.0.0.1:1/iceberg").merge_manifests(table())
    assert "BREAKWATER_TRINO_URL" in str(caught.value.hint)
    for wrong in ("127.0.0.1:8080/iceberg", "http://127.0.0.1:8080", "http://127.0.0.1:8080/a/b"):
        with pytest.raises(ConfigError, match="trino_url"):
            Trino(wrong)
