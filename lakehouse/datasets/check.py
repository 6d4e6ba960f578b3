"""Proof that a training set knows nothing of its future: feature's time <= row's time < label's time, in every row.

Nothing that the training table says about time is believed. Each feature is looked up anew in what the engine
published for that level at that very snap, and each label's time is computed anew from the outcome's own record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, LessThan, Reference
from pyiceberg.expressions.literals import literal

from common import iceberg, schemas, topics
from common.config import NS_PER_S
from common.errors import ConfigError, InvariantError
from lakehouse.datasets.manifest import KEYS, Dataset
from lakehouse.datasets.read import table_of
from lakehouse.silver.features import once
from lakehouse.silver.hours import within
from lakehouse.silver.records import HORIZONS_S
from lakehouse.silver.training import OUTCOME_COLUMNS, first_outcomes, label_known_ns
from lakehouse.tables import HOUR_NS

SOURCES = (topics.FEATURES, topics.SIGNALS)
"""What features come from; a column that both have is the first one's."""

_FRAME = ("ts_event_ns", "level_id", "_partition", "_offset")

LABELS = tuple(f"outcome_{horizon_s}s" for horizon_s in HORIZONS_S)


def check_columns(features: Sequence[str], label: str) -> None:
    """Raises ConfigError for columns that are no features, and for a label that is none."""
    known = _features()
    wrong = [name for name in features if name not in known]
    if not features or wrong or len(set(features)) != len(features):
        raise ConfigError(
            f"{', '.join(wrong) or 'these'} cannot be features",
            hint="Name each once; features are columns of levels.features.v1 and levels.signals.v1: docs/features.md.",
        )
    if label not in LABELS:
        raise ConfigError(f"{label!r} is no label", hint=f"The labels are: {', '.join(LABELS)}")


def check_rows(rows: pa.Table, dataset: Dataset) -> None:
    """Raises InvariantError that names the first row which knows something too early, or what nobody published."""
    for some in _by_hour(rows):
        _check_labels(some, dataset)
        for topic in SOURCES:
            columns = [name for name in dataset.features if _source_of(name) == topic]
            if columns:
                _check_features(some, topic, columns, dataset)


def _check_features(rows: pa.Table, topic: str, columns: Sequence[str], dataset: Dataset) -> None:
    times = rows["ts_event_ns"].to_numpy()
    published = once(_scan(iceberg.TABLES[topic], int(times[0]), int(times[-1]) + 1, (*_FRAME, *columns), dataset))
    place = _find(rows, published)
    missing = np.flatnonzero(place < 0)
    if len(missing):
        raise _leak(rows, int(missing[0]), f"{topic} holds no row of its level at its time")
    source = published.take(pa.array(place))
    for name in columns:
        differs = np.flatnonzero(~_same(rows[name], source[name]))
        if len(differs):
            at = int(differs[0])
            raise _leak(
                rows, at, f"{name} is {rows[name][at].as_py()!r}, at its time {source[name][at].as_py()!r} was known"
            )


def _check_labels(rows: pa.Table, dataset: Dataset) -> None:
    times = rows["ts_event_ns"].to_numpy()
    begin_ns, until_ns = int(times[0]), int(times[-1]) + 2 * HOUR_NS
    name = iceberg.TABLES[topics.OUTCOMES]
    outcomes = first_outcomes(_scan(name, begin_ns, until_ns, OUTCOME_COLUMNS, dataset))
    place = pc.index_in(rows["episode_id"], value_set=outcomes["episode_id"].combine_chunks()).to_numpy()
    unknown = np.flatnonzero(np.isnan(place.astype(np.float64)))
    if len(unknown):
        raise _leak(rows, int(unknown[0]), "its episode has no outcome, so its label is not known at all")
    own = outcomes.take(pa.array(place.astype(np.int64)))
    match = re.fullmatch(r"outcome_(\d+)s", dataset.label)
    assert match is not None, dataset.label
    known_ns = label_known_ns(own, int(match.group(1)))
    late = np.flatnonzero(times >= known_ns)
    if len(late):
        at = int(late[0])
        behind_s = (int(times[at]) - int(known_ns[at])) / NS_PER_S
        raise _leak(rows, at, f"its label was known {behind_s:g} s before it")
    differs = np.flatnonzero(~_same(rows[dataset.label], own[dataset.label]))
    if len(differs):
        at = int(differs[0])
        raise _leak(rows, at, f"its label is {rows[dataset.label][at].as_py()}, the outcome {own[dataset.label][at]}")


def _leak(rows: pa.Table, at: int, what: str) -> InvariantError:
    where = f"row {at} (level {rows['level_id'][at]}, ts_event_ns {rows['ts_event_ns'][at]})"
    return InvariantError(
        f"the training set would leak: {where}: {what}",
        hint="Compute Silver and Gold anew from the sink's tables (drop silver.features_es_pipeline and"
        " gold.training_es_pipeline, then ./breakwater silver --once).",
    )


def _scan(name: str, begin_ns: int, until_ns: int, columns: Sequence[str], dataset: Dataset) -> pa.Table:
    times: BooleanExpression = And(
        GreaterThanOrEqual(term=Reference("ts_event_ns"), value=literal(begin_ns)),
        LessThan(term=Reference("ts_event_ns"), value=literal(until_ns)),
    )
    scan = table_of(name).scan(
        row_filter=And(within(begin_ns, until_ns), times),
        selected_fields=tuple(columns),
        snapshot_id=dataset.snapshots[name],
    )
    return scan.to_arrow()


def _find(rows: pa.Table, published: pa.Table) -> np.ndarray:
    """Place of each row's level and time in ``published``, -1 where there is none."""
    keys = {
        key: place
        for place, key in enumerate(
            zip(published["ts_event_ns"].to_pylist(), published["level_id"].to_pylist(), strict=True)
        )
    }
    wanted = zip(rows["ts_event_ns"].to_pylist(), rows["level_id"].to_pylist(), strict=True)
    return np.array([keys.get(key, -1) for key in wanted], np.int64)


def _same(left: pa.ChunkedArray, right: pa.ChunkedArray) -> np.ndarray:
    """Equal or both null, row by row; a NaN equals a NaN."""
    equal = pc.fill_null(pc.equal(left, right.cast(left.type)), False)
    both_null = pc.and_(pc.is_null(left, nan_is_null=True), pc.is_null(right, nan_is_null=True))
    return np.asarray(pc.or_(equal, both_null).to_numpy(), np.bool_)


def _by_hour(rows: pa.Table) -> Iterator[pa.Table]:
    hours = rows["ts_event_ns"].to_numpy() // HOUR_NS
    bounds = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(hours)]
    for begin, end in pairwise(bounds):
        if end > begin:
            yield rows.slice(begin, end - begin)


def _features() -> dict[str, str]:
    """The topic of each column that may be a feature."""
    out: dict[str, str] = {}
    for topic in SOURCES:
        for field in schemas.load(topic).fields:
            if field.name not in KEYS:
                out.setdefault(field.name, topic)
    return out


def _source_of(name: str) -> str:
    return _features()[name]
