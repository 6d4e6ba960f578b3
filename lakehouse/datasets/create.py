"""Making a training set: choose the snapshot, check every row, tag what it depends on, write it down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from common import iceberg, topics
from common.errors import InputError
from common.version import code
from lakehouse.datasets.check import check_columns, check_rows
from lakehouse.datasets.manifest import Dataset, check_name, names, save
from lakehouse.datasets.read import TABLE, digest_of, selected, table_of

DEPENDS_ON = (
    TABLE,
    iceberg.TABLES[topics.FEATURES],
    iceberg.TABLES[topics.SIGNALS],
    iceberg.TABLES[topics.OUTCOMES],
)
"""Tables whose snapshots are tagged: the rows', and those by which they can be checked again."""


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
    tables = {table: table_of(table) for table in DEPENDS_ON}
    snapshots = {
        table: snapshot.snapshot_id
        for table, loaded in tables.items()
        if (snapshot := loaded.current_snapshot()) is not None
    }
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
    rows = selected(tables[TABLE], dataset)
    if rows.num_rows == 0:
        raise InputError(
            f"there are no rows with {label} in that time",
            hint="./breakwater query 'SELECT min(ts_event), max(ts_event) FROM gold.training_es_pipeline' says when.",
        )
    check_rows(rows, dataset)
    dataset = replace(
        dataset,
        rows=rows.num_rows,
        labels=dict(sorted(Counter(rows[label].to_pylist()).items())),
        config_hashes=tuple(sorted(set(rows["config_hash"].to_pylist()) - {None})),
        digest=digest_of(rows, dataset),
    )
    # Tags before the manifest: what is written down can be read for ever. A crash in between leaves tags alone.
    for table, loaded in tables.items():
        loaded.manage_snapshots().create_tag(snapshots[table], dataset.tag).commit()
    save(dataset)
    return dataset
