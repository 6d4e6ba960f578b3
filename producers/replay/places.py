"""Readers of what a deployment stores, opened for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa

from common import endpoints, kafka
from common.errors import InputError
from common.recorded import LakeReader, LogReader
from common.registry import Registry
from producers.replay.diff import COLUMNS
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
    lake = LakeReader(namespace, partition)
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
            lake = LakeReader(namespace, partition) if run_name == LIVE else None
            found = signals_of_run(log, lake, COLUMNS, shown)
    if found is None:
        raise InputError(
            f"{run_name} holds no signals of this range",
            hint="A run is a Parquet file of a replay, live, or a namespace (./breakwater topics --all).",
        )
    return found
