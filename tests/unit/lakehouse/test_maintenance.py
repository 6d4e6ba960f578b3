"""Maintenance on real Iceberg tables: rows, offsets and tagged versions stay, whatever a sink does meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from common import iceberg, schemas
from lakehouse import files, read
from lakehouse.commits import Committed, claim, commit_batch
from lakehouse.maintenance import compaction, expiry, manifests, orphans
from lakehouse.maintenance.upkeep import Bounds, maintain, survey
from lakehouse.store import IcebergStore
from lakehouse.tables import HOUR_NS, ensure_table
from tests.support.lake import PATIENCE, SOURCE, START_NS, TABLE, TOPIC, batch, rows

FAR = timedelta(days=30)


@pytest.fixture
def store(catalog: Catalog) -> IcebergStore:
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    made = IcebergStore(catalog, TABLE, TOPIC)
    claim(made, "me", SOURCE, [0], PATIENCE)
    return made


def table() -> Table:
    found = iceberg.load_table(TABLE)
    assert found is not None
    return found


def add(store: IcebergStore, begin: int, end: int, *, hour: int = 0) -> None:
    """Trades ``begin`` to ``end``, one commit each, in an hour of their own."""
    for number in range(begin, end):
        one = rows(number, at_ns=lambda n: START_NS + hour * HOUR_NS + (1_000 - n) * 1_000)
        outcome = commit_batch(store, batch(number or None, number + 1, table=one), PATIENCE)
        assert isinstance(outcome, Committed)


def offsets(**how: Any) -> list[int]:
    return sorted(iceberg.scan(TABLE, columns=["_offset"], **how)["_offset"].to_pylist())


def pack_all() -> None:
    for packing in compaction.plan(table()):
        assert compaction.pack(table(), packing)


def finished_hour(store: IcebergStore) -> compaction.Packing:
    """What is to be packed of four trades in an hour and a fifth one in the next."""
    add(store, 0, 4)
    add(store, 4, 5, hour=1)
    (packing,) = compaction.plan(table())
    return packing


def on_disk(home: Path) -> set[Path]:
    return {path for path in (home / "lake" / "warehouse").rglob("*") if path.is_file()}


def test_a_finished_hour_becomes_one_file_in_the_table_s_order_with_rows_and_offsets_as_they_were(
    store: IcebergStore,
) -> None:
    add(store, 0, 5)
    add(store, 5, 6, hour=1)
    before = read.committed_offsets(TABLE)
    pack_all()
    found = {file["partition"]["ts_event_hour"]: file for file in table().inspect.files().to_pylist()}
    assert sorted(file["record_count"] for file in found.values()) == [1, 5]
    packed = iceberg.scan(TABLE, f"ts_event_ns < {START_NS + HOUR_NS}")
    assert packed["ts_event_ns"].to_pylist() == sorted(packed["ts_event_ns"].to_pylist())
    assert offsets() == [0, 1, 2, 3, 4, 5] and read.committed_offsets(TABLE) == before
    assert compaction.plan(table()) == []


def test_a_growing_hour_is_packed_only_when_a_size_class_is_full(store: IcebergStore) -> None:
    add(store, 0, compaction.FAN_IN - 1)
    assert compaction.plan(table()) == []
    add(store, compaction.FAN_IN - 1, compaction.FAN_IN)
    (packing,) = compaction.plan(table())
    assert len(packing.files) == compaction.FAN_IN


def test_late_rows_in_a_finished_hour_wait_between_rounds_until_a_class_is_full_and_for_the_round_no_longer(
    store: IcebergStore,
) -> None:
    add(store, 0, 3)
    add(store, 3, 4, hour=1)
    assert compaction.plan(table(), all_grow=True) == []
    (packing,) = compaction.plan(table())
    assert len(packing.files) == 3


def test_files_near_the_target_are_left_and_bins_stay_below_it(store: IcebergStore) -> None:
    add(store, 0, 6)
    add(store, 6, 7, hour=1)
    size = max(table().inspect.files()["file_size_in_bytes"].to_pylist())
    assert compaction.plan(table(), target_bytes=size) == []
    packings = compaction.plan(table(), target_bytes=int(2.5 * size))
    assert [len(packing.files) for packing in packings] == [2, 2, 2]


def test_a_sink_that_commits_in_the_midst_of_a_packing_loses_nothing(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing = finished_hour(store)
    original = catalog.commit_table

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(catalog, "commit_table", original)
        add(store, 5, 7, hour=1)
        return original(*args, **kwargs)

    monkeypatch.setattr(catalog, "commit_table", late)
    monkeypatch.setattr(compaction, "PAUSE_S", 0.0)
    assert compaction.pack(table(), packing)
    assert offsets() == list(range(7)) and read.committed_offsets(TABLE) == {(TOPIC, 0): 7}


@pytest.mark.parametrize("landed", [True, False])
def test_a_packing_whose_answer_is_lost_is_found_or_made_again_never_twice(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    packing = finished_hour(store)
    original = catalog.commit_table

    def lost(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(catalog, "commit_table", original)
        if landed:
            original(*args, **kwargs)
        raise TimeoutError("no answer")

    monkeypatch.setattr(catalog, "commit_table", lost)
    monkeypatch.setattr(compaction, "PAUSE_S", 0.0)
    assert compaction.pack(table(), packing)
    assert offsets() == list(range(5)) and len(table().inspect.files()) == 2


def test_a_packing_that_landed_unseen_keeps_its_file_when_its_snapshot_was_let_go(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused after it had landed, its snapshot gone: only that the old files are away tells that it did."""
    packing = finished_hour(store)
    original = catalog.commit_table

    def sent_twice(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        monkeypatch.setattr(catalog, "commit_table", original)
        add(store, 5, 6, hour=1)
        current = table()
        assert expiry.expire(current, expiry.expirable(current, age=timedelta(0), kept=1))
        raise CommitFailedException("branch main has changed")

    monkeypatch.setattr(catalog, "commit_table", sent_twice)
    monkeypatch.setattr(compaction, "PAUSE_S", 0.0)
    assert not compaction.pack(table(), packing)
    assert offsets() == list(range(6))


def test_a_packing_of_files_that_somebody_replaced_is_dropped_with_its_file(store: IcebergStore, home: Path) -> None:
    packing = finished_hour(store)
    assert compaction.pack(table(), packing)
    before = on_disk(home)
    assert not compaction.pack(table(), packing)
    assert offsets() == list(range(5))
    assert {path for path in on_disk(home) - before if path.suffix == ".parquet"} == set()


def test_manifests_become_one_and_the_rows_stay(store: IcebergStore) -> None:
    add(store, 0, 5)
    assert manifests.manifest_count(table()) == 5
    assert manifests.rewrite_manifests(table())
    assert manifests.manifest_count(table()) == 1
    assert offsets() == list(range(5)) and read.committed_offsets(TABLE) == {(TOPIC, 0): 5}
    add(store, 5, 6)
    assert offsets() == list(range(6))


def test_expiry_spares_the_newest_the_young_and_the_tagged(store: IcebergStore) -> None:
    add(store, 0, 6)
    ids = [snapshot.snapshot_id for snapshot in table().metadata.snapshots]
    table().manage_snapshots().create_tag(ids[1], "kept").commit()
    later = datetime.now(UTC) + FAR
    assert expiry.expirable(table(), kept=2) == []
    old = expiry.expirable(table(), kept=2, now=later)
    assert [snapshot.snapshot_id for snapshot in old] == [ids[0], ids[2], ids[3]]
    assert expiry.expire(table(), old)
    assert [snapshot.snapshot_id for snapshot in table().metadata.snapshots] == [ids[1], ids[4], ids[5]]
    assert offsets(snapshot_id=ids[1]) == [0, 1]


def test_a_file_goes_only_after_it_was_found_unnamed_long_enough_before(store: IcebergStore, home: Path) -> None:
    add(store, 0, 3)
    add(store, 3, 4, hour=1)
    left = home / "lake" / "warehouse" / "bronze" / "futures_trades" / "data" / "left.parquet"
    left.write_bytes(b"by a crash")
    now = datetime.now(UTC)
    first = orphans.look(table(), now=now)
    assert [Path(location).name for location in first.waiting] == ["left.parquet"] and first.due == ()
    assert orphans.look(table(), now=now + timedelta(hours=23)).due == ()
    due = orphans.look(table(), now=now + timedelta(hours=25))
    assert due.due == first.waiting
    assert orphans.remove(table(), due) == 1 and not left.exists()
    assert orphans.look(table(), now=now + FAR) == orphans.Orphans((), ())
    assert offsets() == list(range(4))


def test_an_old_file_that_was_let_go_just_now_waits_as_long_as_a_new_one(store: IcebergStore) -> None:
    add(store, 0, 3)
    add(store, 3, 4, hour=1)
    later = datetime.now(UTC) + FAR
    assert orphans.look(table(), now=later).waiting == ()
    pack_all()
    assert orphans.look(table(), now=later).waiting == ()
    assert expiry.expire(table(), expiry.expirable(table(), kept=1, now=later))
    found = orphans.look(table(), now=later)
    assert sum(location.endswith(".parquet") for location in found.waiting) == 3 and found.due == ()


def test_a_file_that_got_its_name_while_it_waited_stays(
    store: IcebergStore, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing, commit = store.load(), batch(None, 2)
    staged = store.stage(standing, commit)
    now = datetime.now(UTC)
    assert len(orphans.look(table(), now=now).waiting) == 1
    store.append(standing, commit, staged)
    assert orphans.look(table(), now=now + FAR).due == ()


def test_every_kept_version_reads_the_same_after_rounds_of_everything(store: IcebergStore) -> None:
    add(store, 0, 8)
    add(store, 8, 18, hour=1)
    table().manage_snapshots().create_tag(table().metadata.snapshots[3].snapshot_id, "four").commit()
    tagged = table().metadata.snapshots[3].snapshot_id
    bounds = Bounds(snapshot_age=timedelta(0), snapshots_kept=1, orphan_grace=timedelta(0))
    planned = survey(table(), bounds)
    first = maintain(table(), bounds)
    assert (first.files_before, first.files_after) == (planned.files_before, planned.files_after) == (18, 11)
    assert first.expired and not first.removed and first.unnamed
    second = maintain(table(), bounds)
    assert second.removed >= first.unnamed
    assert offsets() == list(range(18)) and offsets(snapshot_id=tagged) == [0, 1, 2, 3]
    assert read.committed_offsets(TABLE) == {(TOPIC, 0): 18}
    add(store, 18, 20, hour=1)
    assert offsets() == list(range(20))


def test_a_dry_run_changes_nothing(store: IcebergStore, home: Path) -> None:
    add(store, 0, 4)
    add(store, 4, 5, hour=1)
    (home / "lake" / "warehouse" / "bronze" / "futures_trades" / "data" / "left.parquet").write_bytes(b"x")
    before = on_disk(home)
    told = survey(table(), Bounds(orphan_grace=timedelta(0)))
    assert (told.files_before, told.files_after, told.unnamed) == (5, 2, 1)
    assert on_disk(home) == before


@pytest.mark.parametrize("step", [manifests.rewrite_manifests, lambda t: expiry.expire(t, t.metadata.snapshots[:1])])
def test_a_step_that_is_overtaken_changes_nothing_and_says_so(
    store: IcebergStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, step: Callable[[Table], bool]
) -> None:
    add(store, 0, 3)
    old = table()
    add(store, 3, 4)
    stale = [snapshot.snapshot_id for snapshot in table().metadata.snapshots]
    result = step(old)
    assert offsets() == list(range(4)) and read.committed_offsets(TABLE) == {(TOPIC, 0): 4}
    if not result:
        assert [snapshot.snapshot_id for snapshot in table().metadata.snapshots] == stale


def test_commit_ids_find_a_packing_in_its_snapshot_s_summary(store: IcebergStore) -> None:
    add(store, 0, 2)
    newest = table().current_snapshot()
    assert newest is not None and newest.summary is not None
    known = newest.summary.additional_properties[files.COMMIT_ID]
    assert files.find_commit(table(), known) == newest.snapshot_id and files.find_commit(table(), "none") is None
