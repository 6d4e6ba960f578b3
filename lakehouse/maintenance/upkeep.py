"""One round over one table: what there is to do, and doing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pyiceberg.table import Table

from lakehouse.maintenance import compaction, expiry, manifests, orphans
from lakehouse.maintenance.procedures import Trino


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a round goes."""

    target_bytes: int = compaction.TARGET_BYTES
    snapshot_age: timedelta = expiry.AGE
    snapshots_kept: int = expiry.KEPT
    orphan_grace: timedelta = orphans.GRACE


@dataclass(frozen=True, slots=True)
class Round:
    """What was done to a table, or would be.

    ``files_before`` and ``files_after``: data files of the current version. ``unnamed``: files that no snapshot names
    and that are not due yet.
    """

    table: str
    files_before: int
    files_after: int
    packed_bytes: int
    manifests_before: int
    manifests_after: int
    expired: int
    removed: int
    unnamed: int


def survey(table: Table, bounds: Bounds) -> Round:
    """What a round would do now; nothing is changed."""
    packings = compaction.plan(table, target_bytes=bounds.target_bytes)
    files = count_files(table)
    count = manifests.manifest_count(table)
    found = orphans.look_only(table, grace=bounds.orphan_grace)
    return Round(
        ".".join(table.name()),
        files,
        files - sum(len(packing.files) - 1 for packing in packings),
        sum(packing.size_bytes for packing in packings),
        count,
        1 if count >= manifests.MANY else count,
        len(expiry.expirable(table, age=bounds.snapshot_age, kept=bounds.snapshots_kept)),
        len(found.due),
        len(found.waiting) - len(found.due),
    )


def maintain(table: Table, bounds: Bounds, trino: Trino | None = None) -> Round:
    """Pack, merge manifests, expire, remove: in this order, so that each sees what the one before has left.

    ``trino`` packs and merges where there is one. Raises UnavailableError when the catalog does not take a packing, or
    Trino does not do it.
    """
    name = ".".join(table.name())
    files_before, manifests_before = count_files(table), manifests.manifest_count(table)
    packed = _pack(table, bounds.target_bytes, trino)
    table.refresh()
    if manifests.manifest_count(table) >= manifests.MANY:
        if trino is None:
            manifests.rewrite_manifests(table)
        else:
            trino.merge_manifests(table)
        table.refresh()
    old = expiry.expirable(table, age=bounds.snapshot_age, kept=bounds.snapshots_kept)
    expired = len(old) if expiry.expire(table, old) else 0
    table.refresh()
    found = orphans.look(table, grace=bounds.orphan_grace)
    removed = orphans.remove(table, found)
    table.refresh()
    return Round(
        name,
        files_before,
        count_files(table),
        packed,
        manifests_before,
        manifests.manifest_count(table),
        expired,
        removed,
        len(found.waiting) - len(found.due),
    )


def pack_growing(table: Table, target_bytes: int) -> int:
    """Pack the full size classes of every hour, between two rounds; returns the bytes packed.

    Always our own code: Trino's procedure would rewrite the whole table's small files each time. Raises
    UnavailableError when the catalog does not take a packing.
    """
    return _pack_all(table, compaction.plan(table, target_bytes=target_bytes, all_grow=True))


def _pack(table: Table, target_bytes: int, trino: Trino | None) -> int:
    """Bytes of the files that were packed."""
    packings = compaction.plan(table, target_bytes=target_bytes)
    if trino is not None:
        if packings:
            trino.pack(table, round(compaction.SMALL * target_bytes))
        return sum(packing.size_bytes for packing in packings)
    return _pack_all(table, packings)


def _pack_all(table: Table, packings: list[compaction.Packing]) -> int:
    packed = 0
    for packing in packings:
        if compaction.pack(table, packing):
            packed += packing.size_bytes
        table.refresh()
    return packed


def count_files(table: Table) -> int:
    """Data files of the table's current version."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        return 0
    if snapshot.summary is not None and (told := snapshot.summary.additional_properties.get("total-data-files")):
        return int(told)
    return sum(1 for _ in table.scan().plan_files())
