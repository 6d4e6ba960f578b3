"""Fewer manifests: each commit adds one, and a reader opens them all."""

from __future__ import annotations

import uuid

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _MergeAppendFiles

from lakehouse.files import COMMIT_ID, SingleAttempt, apply_once, find_commit

MANY = 16
"""Manifests of a table's current version that are worth a rewrite."""


def manifest_count(table: Table) -> int:
    """Manifests of the current version."""
    snapshot = table.current_snapshot()
    return 0 if snapshot is None else len(snapshot.manifests(table.io))


def rewrite_manifests(table: Table) -> bool:
    """Merge them up to the table's target size, in a snapshot that adds and removes no file.

    False when another writer came first: nothing was changed, the next round tries again. Errors of the catalog leave
    the table as it was or merged, which a reader cannot tell apart.
    """
    transaction = SingleAttempt(table)
    commit_id = uuid.uuid4().hex
    with _Merge(Operation.APPEND, transaction, table.io, snapshot_properties={COMMIT_ID: commit_id}):
        pass
    try:
        apply_once(table, transaction)
    except CommitFailedException:
        return find_commit(table.refresh(), commit_id) is not None
    return True


class _Merge(_MergeAppendFiles):
    """PyIceberg merges only beside an append and only a hundred at once; this merges whatever there is."""

    def __init__(self, operation: Operation, transaction: SingleAttempt, io: object, **properties: object) -> None:
        super().__init__(operation, transaction, io, **properties)  # type: ignore[arg-type]
        self._merge_enabled = True
        self._min_count_to_merge = 2
