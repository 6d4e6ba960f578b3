"""Readers of what a deployment stores, opened for one command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from common import endpoints, kafka, topics
from common.errors import InputError
from common.iceberg import TABLES
from common.recorded import END_NS, LakeReader, LogReader
from common.registry import Registry
from producers.replay.diff import COLUMNS
from producers.replay.follow import Markers
from producers.replay.ranges import Range
from producers.replay.sources import Stored
from producers.replay.stored import signals_of_file, signals_of_run

LIVE = "live"
"""The run whose topics are those of the settings' namespace, and whose rows are in the tables."""


@contextmanager
def open_log(namespace: str, partition: int) -> Iterator[LogReader]:
    """A reader of the namespace's topics. Raises UnavailableError when no broker is known."""
    with (
        Registry(endpoints.resolve().registry_url) as registry,
        closing(LogReader(kafka.consumer, registry.schema, namespace, partition)) as log,
    ):
        yield log


@contextmanager
def stored_inputs(namespace: str, partition: int, *, iceberg: bool) -> Iterator[Stored]:
    """The namespace's inputs: topics and, for what retention has cut, tables; or the tables alone."""
    lake = LakeReader(namespace, partition, strict=iceberg)
    if iceberg:
        yield Stored(None, lake)
        return
    with open_log(namespace, partition) as log:
        yield Stored(log, lake)


def signals_of(run_name: str, namespace: str, partition: int, shown: Range, *, iceberg: bool) -> pa.Table:
    """The signals (COLUMNS) of a run in the range: a Parquet file, live, or a namespace.

    ``namespace`` is that of live. Raises InputError when there is no such run.
    """
    path = Path(run_name)
    if path.suffix == ".parquet" or path.is_file():
        return signals_of_file(path, COLUMNS, shown)
    if run_name == LIVE and iceberg:
        found = signals_of_run(None, LakeReader(namespace, partition), COLUMNS, shown)
    else:
        with open_log(namespace if run_name == LIVE else run_name, partition) as log:
            lake = LakeReader(namespace, partition, strict=False) if run_name == LIVE else None
            found = signals_of_run(log, lake, COLUMNS, shown)
    if found is None:
        raise InputError(
            f"{run_name} holds no signals of this range",
            hint="A run is a Parquet file of a replay, live, or a namespace (./breakwater topics --all).",
        )
    return found


def read_markers(run_name: str, log: LogReader | None, lake: LakeReader) -> Markers:
    """All markers of the run. Raises InputError when there are none, or not all."""
    found: list[tuple[int, Mapping[str, Any]]] = []
    bounds = None if log is None else log.bounds(topics.MARKERS)
    if log is None or (bounds is not None and bounds.begin_offset > 0):
        found += lake.rows(topics.MARKERS, end_offset=END_NS if bounds is None else bounds.begin_offset)
    if log is not None and bounds is not None:
        found += log.rows(topics.MARKERS, *bounds)
    if not found:
        where = "its tables" if log is None else "its topics"
        raise InputError(
            f"{run_name} has no markers in {where}: no features worker has published there",
            hint="A replay's namespace has none: compare it with ./breakwater replay --diff NAMESPACE.",
        )
    if bounds is not None and bounds.begin_offset > 0 and found[0][0] == bounds.begin_offset:
        raise InputError(
            f"the first {bounds.begin_offset:,} markers of {run_name} are past their retention",
            hint="A run is verified from its beginning: raise the retention of control.markers.v1.",
        )
    return found


def stored_markers(namespace: str, partition: int, *, iceberg: bool) -> Markers:
    """All markers of the namespace's run: from its tables alone, or from its topic. Raises as `read_markers`."""
    lake = LakeReader(namespace, partition, strict=iceberg)
    name = namespace or LIVE
    if iceberg and topics.MARKERS in TABLES:
        return read_markers(name, None, lake)
    with open_log(namespace, partition) as log:
        return read_markers(name, log, lake)
