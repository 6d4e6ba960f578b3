"""Old snapshots leave the metadata; tagged ones and the newest stay, whatever their age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.snapshot import ExpireSnapshots

from lakehouse.files import SingleAttempt, apply_once

KEPT = 128
"""Newest snapshots that stay, however old: as many as the sink leaves."""

AGE = timedelta(days=5)
"""Younger snapshots stay, however many: the time for which a reader may go back."""


def expirable(table: Table, *, age: timedelta = AGE, kept: int = KEPT, now: datetime | None = None) -> list[Snapshot]:
    """Snapshots older than ``age`` that are neither among the newest ``kept`` nor named by a branch or tag."""
    bound_ms = ((datetime.now(UTC) if now is None else now) - age).timestamp() * 1000
    named = {reference.snapshot_id for reference in table.metadata.refs.values()}
    snapshots = sorted(table.metadata.snapshots, key=lambda snapshot: (snapshot.timestamp_ms, snapshot.snapshot_id))
    return [
        snapshot
        for snapshot in snapshots[: max(0, len(snapshots) - max(kept, 1))]
        if snapshot.timestamp_ms < bound_ms and snapshot.snapshot_id not in named
    ]


def expire(table: Table, snapshots: list[Snapshot]) -> bool:
    """Take them off the metadata; their files are :mod:`.orphans`' work. False when another writer came first."""
    if not snapshots:
        return True
    transaction = SingleAttempt(table)
    ExpireSnapshots(transaction).by_ids([snapshot.snapshot_id for snapshot in snapshots]).commit()
    try:
        apply_once(table, transaction)
    except CommitFailedException:
        return False
    return True
