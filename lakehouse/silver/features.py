"""``silver.features_es_pipeline``: what the engine measured of each level, with how it was judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from pyiceberg.table import Table

from lakehouse.silver.hours import pieces_of_hour, rows_between
from lakehouse.silver.records import features

FEATURES = "gold.levels_features"
SIGNALS = "gold.levels_signals"

_KEY = ("ts_event_ns", "level_id")


def build(hour: int, sources: Mapping[str, Table]) -> Iterator[pa.Table]:
    """The hour's rows in the order (ts_event_ns, level_id), each once."""
    if FEATURES not in sources:
        return
    names = [field.name for field in features().fields]
    for low, high, rows in pieces_of_hour(sources[FEATURES], hour):
        measured = once(rows)
        own = [name for name in names if name not in measured.column_names]
        if SIGNALS in sources:
            judged = once(rows_between(sources[SIGNALS], low, high, (*_KEY, *own, "_partition", "_offset")))
            yield joined(measured, judged, own)
        else:
            yield measured


def once(rows: pa.Table) -> pa.Table:
    """One row of each (ts_event_ns, level_id), the one that stands first in the topic, in that order."""
    rows = rows.sort_by([(name, "ascending") for name in (*_KEY, "_partition", "_offset")]).combine_chunks()
    if rows.num_rows < 2:
        return rows
    times = rows["ts_event_ns"].to_numpy()
    levels = rows["level_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.ones(rows.num_rows, np.bool_)
    first[1:] = (np.diff(times) != 0) | (np.diff(levels) != 0)
    return rows if first.all() else rows.filter(pa.array(first))


def joined(measured: pa.Table, judged: pa.Table, columns: list[str]) -> pa.Table:
    """The measured rows with these columns of the judgement of the same level and snap, null where there is none."""
    right = judged.select([*_KEY, *columns])
    out = measured.join(right, keys=list(_KEY), join_type="left outer")
    return out.sort_by([(name, "ascending") for name in _KEY])
