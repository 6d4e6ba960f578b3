"""The store on real Iceberg tables (SQLite, local files), with a catalog that loses answers and meets other writers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table, Transaction

from common import iceberg, schemas
from lakehouse import read
from lakehouse.commits import CommitRefused, Committed, Mark, Overtaken, claim, commit_batch
from lakehouse.files import COMMIT_ID
from lakehouse.store import IcebergStore
from lakehouse.tables import HOUR_NS, ensure_table
from tests.support.lake import PATIENCE, SOURCE, START_NS, TABLE, TOPIC, batch, rows


@pytest.fixture
def store(catalog: Catalog) -> IcebergStore:
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    made = IcebergStore(catalog, TABLE, TOPIC)
    claim(made, "me", SOURCE, [0, 1], PATIENCE)
    return made


def offsets() -> list[int]:
    return sorted(iceberg.scan(TABLE, columns=["_offset"])["_offset"].to_pylist())


def table() -> Table:
    found = iceberg.load_table(TABLE)
    assert found is not None
    return found


def data_files(home: Path) -> set[str]:
    return {path.name for path in (home / "lake" / "warehouse").rglob("*.parquet")}


def replace_commit(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, faulty: Callable[..., Any]) -> None:
    """``faulty(original, table, requirements, updates)`` stands in for the catalog's next commit, once."""
    original = catalog.commit_table

    def once(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(catalog, "commit_table", original)
        return faulty(original, *args, **kwargs)

    monkeypatch.setattr(catalog, "commit_table", once)


def test_rows_offsets_and_marks_change_in_one_commit_and_stand_in_its_summary(store: IcebergStore) -> None:
    commit = batch(None, 3)
    outcome = commit_batch(store, replace(commit, marks={0: Mark(5, 1)}), PATIENCE)
    snapshot = table().current_snapshot()
    assert snapshot is not None and snapshot.summary is not None
    assert outcome == Committed(snapshot.snapshot_id)
    assert offsets() == [0, 1, 2]
    assert store.load().offsets == {0: 3} and store.load().marks == {0: Mark(5, 1)} and store.load().source == SOURCE
    assert snapshot.summary.additional_properties[f"breakwater.offset.{TOPIC}.0"] == "3"
    assert snapshot.summary.additional_properties[COMMIT_ID] == commit.commit_id
    assert read.committed_offsets(TABLE) == {(TOPIC, 0): 3}


def test_each_hour_gets_one_file_sorted_by_time_whose_bounds_prune(store: IcebergStore) -> None:
    ragged = rows(*range(10), at_ns=lambda number: START_NS + (number % 3) * HOUR_NS - number)
    commit_batch(store, batch(None, 10, table=ragged), PATIENCE)
    files = table().inspect.files()
    assert sorted(files["record_count"].to_pylist()) == [3, 3, 4]
    for task in table().scan().plan_files():
        with table().io.new_input(task.file.file_path).open() as stream:
            times = pq.read_table(stream)["ts_event_ns"].to_pylist()
        assert times == sorted(times) and len({time // HOUR_NS for time in times}) == 1
    planned = list(table().scan(row_filter=f"ts_event_ns < {START_NS + HOUR_NS // 2}").plan_files())
    assert [task.file.record_count for task in planned] == [4]
    by_hour = list(table().scan(row_filter="ts_event < '2023-12-25T11:00:00+00:00'").plan_files())
    assert len(by_hour) == 1


def test_a_zombie_with_an_old_version_is_refused_though_pyiceberg_would_retry_it(store: IcebergStore) -> None:
    before = store.load()
    late = batch(None, 3)
    staged = store.stage(before, late)
    commit_batch(store, batch(None, 3), PATIENCE)
    with pytest.raises(CommitRefused):
        store.append(before, late, staged)
    assert offsets() == [0, 1, 2]


def test_pyiceberg_s_own_retry_is_never_entered(store: IcebergStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(self: Transaction) -> Table:
        raise AssertionError("commit_transaction retries blindly")

    monkeypatch.setattr(Transaction, "commit_transaction", blind)
    commit_batch(store, batch(None, 3), PATIENCE)
    assert offsets() == [0, 1, 2]


def test_a_commit_whose_answer_is_lost_is_found_by_its_id(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        raise ConnectionError("the answer was lost")

    replace_commit(catalog, monkeypatch, lost)
    assert commit_batch(store, batch(None, 3), PATIENCE) == Committed(read.snapshot_id(TABLE) or 0)
    assert offsets() == [0, 1, 2]


def test_a_commit_that_landed_but_was_answered_with_a_conflict_keeps_its_files(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repeated(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        raise CommitFailedException("a proxy sent the request twice")

    replace_commit(catalog, monkeypatch, repeated)
    assert isinstance(commit_batch(store, batch(None, 3), PATIENCE), Committed)
    assert offsets() == [0, 1, 2]


def test_a_request_that_arrives_after_its_sender_gave_up_changes_nothing(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Callable[[], Any]] = []

    def slow(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        held.append(lambda: original(*args, **kwargs))
        raise TimeoutError("no answer within 60 s")

    replace_commit(catalog, monkeypatch, slow)
    assert isinstance(commit_batch(store, batch(None, 3), PATIENCE), Committed)
    with pytest.raises(CommitFailedException):
        held[0]()
    assert offsets() == [0, 1, 2]


def test_a_batch_that_another_writer_overtook_leaves_no_row_and_its_file_to_maintenance(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    def overtaken(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        commit_batch(IcebergStore(catalog, TABLE, TOPIC), batch(None, 5), PATIENCE)
        return original(*args, **kwargs)

    replace_commit(catalog, monkeypatch, overtaken)
    outcome = commit_batch(store, batch(None, 3), PATIENCE)
    assert isinstance(outcome, Overtaken) and outcome.standing.offsets == {0: 5}
    assert offsets() == [0, 1, 2, 3, 4]
    assert len(data_files(home)) == 2


def test_other_commits_in_between_are_built_upon(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crowded(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        commit_batch(IcebergStore(catalog, TABLE, TOPIC), batch(None, 2, partition=1), PATIENCE)
        return original(*args, **kwargs)

    replace_commit(catalog, monkeypatch, crowded)
    assert isinstance(commit_batch(store, batch(None, 3), PATIENCE), Committed)
    assert offsets() == [0, 0, 1, 1, 2]
    assert store.load().offsets == {0: 3, 1: 2}


def test_a_batch_without_rows_still_moves_the_offsets(store: IcebergStore) -> None:
    before = store.load()
    commit_batch(store, batch(None, 3, table=rows()), PATIENCE)
    assert store.load().offsets == {0: 3} and offsets() == []
    with pytest.raises(CommitRefused):
        store.append(before, batch(None, 3), [])


def test_old_snapshots_are_forgotten_but_no_row_and_no_tag(
    store: IcebergStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakehouse.store.SNAPSHOTS_KEPT", 3)
    commit_batch(store, batch(None, 1), PATIENCE)
    tagged = read.snapshot_id(TABLE) or 0
    table().manage_snapshots().create_tag(tagged, "training").commit()
    for end in range(2, 15):
        commit_batch(store, batch(end - 1, end), PATIENCE)
        assert len(table().metadata.snapshots) <= 8
    assert offsets() == list(range(14))
    assert iceberg.scan(TABLE, snapshot_id=tagged).num_rows == 1


def test_offsets_survive_merged_manifests_and_expired_snapshots(store: IcebergStore) -> None:
    with table().transaction() as transaction:
        transaction.set_properties({"commit.manifest.min-count-to-merge": "3"})
    for end in range(1, 8):
        commit_batch(store, batch(end - 1 or None, end), PATIENCE)
    found = table()
    old = [snapshot.snapshot_id for snapshot in found.metadata.snapshots[:-1]]
    found.maintenance.expire_snapshots().by_ids(old).commit()
    assert offsets() == list(range(7))
    assert store.load().offsets == {0: 7}
    assert len(table().inspect.manifests()) < 7
