"""Making a training set: choose the snapshot, check every row, tag what it depends on, write it down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from pyiceberg.exceptions import CommitFailedException

from common import iceberg, topics
from common.errors import InputError, UnavailableError
from common.version import code
from lakehouse.datasets.check import check_columns, check_rows
from lakehouse.datasets.manifest import Dataset, check_name, names, save, tag_of
from lakehouse.datasets.read import TABLE, digest_of, selected, table_of

DEPENDS_ON = (
    TABLE,
    iceberg.TABLES[topics.FEATURES],
    iceberg.TABLES[topics.SIGNALS],
    iceberg.TABLES[topics.OUTCOMES],
)
"""Tables whose snapshots are tagged, in this order: the rows', then those by which they can be checked again, which so
hold all that the rows were computed from."""

TAG_ATTEMPTS = 20
"""Commits of others that a tag may be overtaken by."""


def create(name: str, from_ns: int, until_ns: int, features: Sequence[str], label: str) -> Dataset:
    """Make the training set of all rows with from_ns <= ts_event_ns < until_ns whose label was not known yet.

    Raises ConfigError for a name, a feature or a label that is none, InputError when the name is taken or there are no
    rows, InvariantError when a row knows its future; then nothing is tagged and nothing written.
    """
    check_name(name)
    check_columns(features, label)
    if name in names():
        raise InputError(
            f"there is a training set {name!r} already", hint="A name means the same rows for ever: take another."
        )
    # Tagged before anything is read: however long the check takes, nobody lets the snapshots go meanwhile.
    try:
        snapshots = {table: _tag(table, tag_of(name)) for table in DEPENDS_ON}
        dataset = _checked(name, from_ns, until_ns, features, label, snapshots)
    except BaseException:
        for table in DEPENDS_ON:
            _untag(table, tag_of(name))
        raise
    # Tags before the manifest: what is written down can be read for ever. A crash in between leaves tags alone.
    save(dataset)
    return dataset


def _checked(
    name: str, from_ns: int, until_ns: int, features: Sequence[str], label: str, snapshots: Mapping[str, int]
) -> Dataset:
    made = code()
    dataset = Dataset(
        name=name,
        from_ns=from_ns,
        until_ns=until_ns,
        features=tuple(features),
        label=label,
        snapshots=snapshots,
        rows=0,
        labels={},
        config_hashes=(),
        digest="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        code_commit=made.commit,
        code_dirty=made.dirty,
    )
    rows = selected(table_of(TABLE), dataset)
    if rows.num_rows == 0:
        raise InputError(
            f"there are no rows with {label} in that time",
            hint="./breakwater query 'SELECT min(ts_event), max(ts_event) FROM gold.training_es_pipeline' says when.",
        )
    check_rows(rows, dataset)
    return replace(
        dataset,
        rows=rows.num_rows,
        labels=dict(sorted(Counter(rows[label].to_pylist()).items())),
        config_hashes=tuple(sorted(set(rows["config_hash"].to_pylist()) - {None})),
        digest=digest_of(rows, dataset),
    )


def _tag(name: str, tag: str) -> int:
    """Tag the table's newest snapshot and return its id. Raises UnavailableError when the table keeps changing."""
    for _ in range(TAG_ATTEMPTS):
        table = table_of(name)
        snapshot = table.current_snapshot()
        try:
            if snapshot is not None:
                table.manage_snapshots().create_tag(snapshot.snapshot_id, tag).commit()
                return int(snapshot.snapshot_id)
        except CommitFailedException:
            continue
    raise UnavailableError(f"{name} could not be tagged: it keeps changing", hint="Repeat the command.")


def _untag(name: str, tag: str) -> None:
    """A tag that cannot be removed now stays, and keeps a snapshot that nobody needs."""
    table = iceberg.load_table(name)
    if table is not None and tag in table.refs():
        with suppress(CommitFailedException):
            table.manage_snapshots().remove_tag(tag).commit()
