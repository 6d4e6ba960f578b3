"""The store of :mod:`lakehouse.commits` on a real Iceberg table: offsets as table properties, one sorted file per
hour.

The properties ``breakwater.offset.<topic>.<partition>`` and their like change only in a commit that also adds a
snapshot, and each such commit requires that the table's main branch is still the one that was checked
(``assert-ref-snapshot-id``). So a catalog applies it only on the version whose offsets were compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.update.snapshot import ExpireSnapshots

from lakehouse import metrics
from lakehouse.commits import Commit, CommitRefused, Mark, Source, Standing
from lakehouse.files import COMMIT_ID, SingleAttempt, apply_once, find_commit, write_hour
from lakehouse.tables import HOUR_NS

CLUSTER_ID = "breakwater.cluster-id"

SNAPSHOTS_KEPT = 128
"""Newest snapshots that a commit leaves for time travel, besides tagged ones; it acts when there are twice as many."""


@dataclass(frozen=True, slots=True)
class PropertyNames:
    """The property names of one topic (its full name)."""

    topic: str

    @property
    def topic_id(self) -> str:
        """The broker's id of the topic."""
        return f"breakwater.topic-id.{self.topic}"

    def offset(self, partition: int | str) -> str:
        """The next offset of a partition."""
        return f"breakwater.offset.{self.topic}.{partition}"

    def mark(self, partition: int | str) -> str:
        """The last row's ``ts_event_ns:snap_row``."""
        return f"breakwater.mark.{self.topic}.{partition}"

    def owner(self, partition: int | str) -> str:
        """The sink that claimed a partition last."""
        return f"breakwater.owner.{self.topic}.{partition}"

    def read(self, prefix: str, table: Table) -> Iterator[tuple[int, str]]:
        """(partition, value) of the properties that start with ``prefix`` (a name made with an empty partition)."""
        for key, value in table.properties.items():
            if key.startswith(prefix) and key.removeprefix(prefix).isdigit():
                yield int(key.removeprefix(prefix)), value


class IcebergStore:
    """One topic's table. Serves one thread; several processes may have stores of the same table."""

    def __init__(self, catalog: Catalog, name: str, topic: str) -> None:
        self.name = name
        self._catalog = catalog
        self._names = PropertyNames(topic)

    def load(self) -> Standing:
        """The table's newest version."""
        table = self._catalog.load_table(self.name)
        names = self._names
        cluster, topic = table.properties.get(CLUSTER_ID), table.properties.get(names.topic_id)
        marks = {}
        for number, text in names.read(names.mark(""), table):
            ts_event_ns, _, snap_row = text.partition(":")
            marks[number] = Mark(int(ts_event_ns), int(snap_row))
        return Standing(
            offsets={number: int(text) for number, text in names.read(names.offset(""), table)},
            marks=marks,
            owners=dict(names.read(names.owner(""), table)),
            source=None if cluster is None or topic is None else Source(cluster, topic),
            version=table,
        )

    def claim(self, standing: Standing, owner: str, source: Source, partitions: Iterable[int]) -> None:
        """A commit of properties alone. Of two claims at once the later one holds."""
        table: Table = standing.version
        transaction = SingleAttempt(table)
        transaction.set_properties(
            {
                CLUSTER_ID: source.cluster_id,
                self._names.topic_id: source.topic_id,
                **{self._names.owner(number): owner for number in partitions},
            }
        )
        _apply(table, transaction)

    def stage(self, standing: Standing, commit: Commit) -> list[DataFile]:
        """One Parquet file per hour of ``ts_event``, its rows in the order of ``ts_event_ns`` (ties as they came)."""
        if commit.rows.num_rows == 0:
            return []
        table: Table = standing.version
        rows = commit.rows
        times = rows["ts_event_ns"].to_numpy()
        if np.any(times[1:] < times[:-1]):
            order = np.argsort(times, kind="stable")
            rows, times = rows.take(pa.array(order)), times[order]
        hours = times // HOUR_NS
        bounds = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(hours)]
        written = (
            write_hour(table, int(hours[a]), [rows.slice(a, b - a)], f"{commit.commit_id}-{n:05d}.parquet")
            for n, (a, b) in enumerate(pairwise(bounds))
        )
        staged = [data_file for data_file in written if data_file is not None]
        for data_file in staged:
            metrics.FILE_BYTES.labels(self.name).observe(data_file.file_size_in_bytes)
        return staged

    def append(self, standing: Standing, commit: Commit, staged: list[DataFile]) -> int:
        """Files and properties in one commit, once: no retry happens in here or below."""
        table: Table = standing.version
        names = self._names
        properties = {names.offset(number): str(end) for number, end in commit.end.items()}
        properties |= {names.mark(n): f"{mark.ts_event_ns}:{mark.snap_row}" for n, mark in commit.marks.items()}
        transaction = SingleAttempt(table)
        _forget_old_snapshots(table, transaction)
        # A snapshot even without rows: only its requirement ties the new offsets to the ones that were checked.
        producer = transaction.update_snapshot(
            snapshot_properties={COMMIT_ID: commit.commit_id, **properties}
        ).merge_append()
        with producer as append:
            for data_file in staged:
                append.append_data_file(data_file)
        transaction.set_properties(properties)
        _apply(table, transaction)
        return producer.snapshot_id

    def find(self, standing: Standing, commit_id: str) -> int | None:
        """Search from the newest snapshot on."""
        table: Table = standing.version
        return find_commit(table, commit_id)


def _forget_old_snapshots(table: Table, transaction: Transaction) -> None:
    """Take old snapshots off the metadata, which every commit reads and writes whole: 1,000 of them cost it 0.2 s.

    No row goes: all files stay, as later snapshots name them. Tagged snapshots stay too.
    """
    snapshots = table.metadata.snapshots
    if len(snapshots) >= 2 * SNAPSHOTS_KEPT:
        oldest_kept = datetime.fromtimestamp(snapshots[-SNAPSHOTS_KEPT].timestamp_ms / 1000, UTC)
        ExpireSnapshots(transaction).older_than(oldest_kept).commit()


def _apply(table: Table, transaction: Transaction) -> None:
    try:
        apply_once(table, transaction)
    except CommitFailedException as error:
        raise CommitRefused(str(error)) from error
