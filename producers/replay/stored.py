"""The rows of a run that was: from a file, from its topics, or from the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import schemas, topics
from common.columns import Batch
from common.errors import InputError
from common.recorded import END_NS, LakeReader, LogReader
from producers.replay.engine import table_of
from producers.replay.ranges import Range


def signals_of_file(path: Path, columns: Sequence[str], shown: Range) -> pa.Table:
    """The rows of a Parquet file that a replay wrote. Raises InputError for another one."""
    if not path.exists():
        raise InputError(
            f"{path} does not exist", hint="Name a Parquet file of a replay (--out), live, or a namespace."
        )
    try:
        found = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {error}",
            hint="Name a Parquet file of a replay (--out), live, or a namespace.",
        ) from None
    missing = [name for name in columns if name not in found.column_names]
    if missing:
        raise InputError(
            f"{path} holds no signals: it lacks {', '.join(missing)}", hint="Write the file with --what signals."
        )
    times = found["ts_event_ns"].to_numpy()
    return found.select(list(columns)).filter(pa.array((times >= shown.from_ns) & (times < shown.until_ns)))


def signals_of_run(
    log: LogReader | None, lake: LakeReader | None, columns: Sequence[str], shown: Range
) -> pa.Table | None:
    """The stored signals of the range, each (level_id, ts_event_ns) once; None when there are none."""
    found = [table_of(batch).select(list(columns)) for batch in output_rows(topics.SIGNALS, log, lake, shown)]
    return pa.concat_tables(found) if found else None


def output_rows(topic: str, log: LogReader | None, lake: LakeReader | None, shown: Range) -> Iterator[Batch]:
    """The stored rows of an output in the range, in order, each once: from the topic, what is older from its table.

    The topic's snaps rise in time but for rows that were sent again after a crash.
    """
    bounds = None if log is None else log.bounds(topic)
    rows = _all(topic, log, lake, shown, END_NS if bounds is None else bounds.begin_offset)
    framed = any(field.name == "snap_row" for field in schemas.load(topic).fields)
    return _once(rows) if framed else rows


def empty_signals(columns: Sequence[str]) -> pa.Table:
    """A run without rows."""
    return schemas.load(topics.SIGNALS).arrow.empty_table().select(list(columns))


def _all(
    topic: str, log: LogReader | None, lake: LakeReader | None, shown: Range, begin_offset: int
) -> Iterator[Batch]:
    field = "ts_event_ns"
    if lake is not None and begin_offset > 0:
        for piece in lake.pieces(topic, shown.from_ns, shown.until_ns, end_offset=begin_offset, field=field):
            yield piece.batch
    bounds = None if log is None else log.bounds(topic)
    if log is None or bounds is None:
        return
    begin = log.offset_at(topic, shown.from_ns, field)
    end = bounds.end_offset if shown.until_ns == END_NS else log.offset_at(topic, shown.until_ns, field)
    for piece in log.pieces(topic, begin, end):
        yield piece.batch


def _once(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Rows without those that are not later than one before them, by (ts_event_ns, snap_row): the same bytes again."""
    last = (-1, -1)
    for batch in batches:
        if batch.length == 0:
            continue
        times, places = batch["ts_event_ns"].tolist(), batch["snap_row"].tolist()
        keep = np.zeros(batch.length, np.bool_)
        for i, key in enumerate(zip(times, places, strict=True)):
            if key > last:
                keep[i] = True
                last = key
        yield batch if keep.all() else batch.take(np.flatnonzero(keep))
