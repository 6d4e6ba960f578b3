"""Each event once, in event time: the rows of a market topic's silver table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from pyiceberg.table import Table

from lakehouse.silver.hours import pieces_of_hour


def deduplicated(rows: pa.Table) -> pa.Table:
    """One row of each (event_id, ts_event_ns), the one that stands first in the topic, in the order (ts_event_ns,
    _partition, _offset).
    """
    times, ids = rows["ts_event_ns"].to_numpy(), rows["event_id"].to_numpy()
    partitions, offsets = rows["_partition"].to_numpy(), rows["_offset"].to_numpy()
    order = np.lexsort((offsets, partitions, ids, times))
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(times[order]) != 0) | (np.diff(ids[order]) != 0)
    kept = order[first]
    kept = kept[np.lexsort((offsets[kept], partitions[kept], times[kept]))]
    return rows.take(pa.array(kept))


def build(hour: int, sources: Mapping[str, Table], name: str) -> Iterator[pa.Table]:
    """The hour of the bronze table ``name``."""
    for _, _, rows in pieces_of_hour(sources[name], hour):
        yield deduplicated(rows)
