"""``gold.training_es_pipeline``: rows of episodes with what became of them, and never a label before its time.

An outcome is one record with three horizons, written when the last of them is known. A horizon is known at the first
passage when that lies within it, else at its end, and at the latest when the record was written (an episode that was
cut off). A row holds a horizon's label only when the row is earlier than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyiceberg.expressions import NotNull, Reference
from pyiceberg.table import Table

from common.config import NS_PER_S
from lakehouse.silver.hours import pieces_of_hour, rows_between
from lakehouse.silver.records import HORIZONS_S
from lakehouse.tables import HOUR_NS

FEATURES = "silver.features_es_pipeline"
OUTCOMES = "gold.levels_outcomes"

HOURS_TO_OUTCOME = 1
"""An outcome is known within 480 s of event time, so an episode's rows lie in its hour or in the one before."""

OUTCOME_COLUMNS = (
    "ts_event_ns",
    "episode_id",
    "ts_touch_ns",
    "ts_passage_ns",
    *(f"outcome_{horizon_s}s" for horizon_s in HORIZONS_S),
    "_partition",
    "_offset",
)


def build(hour: int, sources: Mapping[str, Table]) -> Iterator[pa.Table]:
    """The hour's training rows in the order (ts_event_ns, level_id)."""
    if FEATURES not in sources or OUTCOMES not in sources:
        return
    until_ns = (hour + 1 + HOURS_TO_OUTCOME) * HOUR_NS
    outcomes = rows_between(
        sources[OUTCOMES], hour * HOUR_NS, until_ns, OUTCOME_COLUMNS, NotNull(term=Reference("episode_id"))
    )
    if outcomes.num_rows == 0:
        return
    for _, _, rows in pieces_of_hour(sources[FEATURES], hour):
        yield labelled(rows.filter(pc.is_valid(rows["episode_id"])), outcomes)


def labelled(rows: pa.Table, outcomes: pa.Table) -> pa.Table:
    """The rows of episodes whose outcome was still to come, with its columns."""
    known = first_outcomes(outcomes)
    place = pc.index_in(rows["episode_id"], value_set=known["episode_id"].combine_chunks())
    held = pc.is_valid(place)
    rows, place = rows.filter(held), place.filter(held)
    if rows.num_rows == 0:
        return rows
    of_row = known.take(place.combine_chunks() if isinstance(place, pa.ChunkedArray) else place)
    times = rows["ts_event_ns"].to_numpy()
    out = rows.append_column("ts_touch_ns", of_row["ts_touch_ns"]).append_column("ts_known_ns", of_row["ts_event_ns"])
    for horizon_s in HORIZONS_S:
        name = f"outcome_{horizon_s}s"
        known_ns = label_known_ns(of_row, horizon_s)
        before = pa.array(times < known_ns)
        label = pc.if_else(before, of_row[name], pa.scalar(None, pa.string()))
        out = out.append_column(name, label).append_column(f"{name}_known_ns", pa.array(known_ns))
    still_open = pa.array(times < of_row["ts_event_ns"].to_numpy())
    return out.filter(still_open).sort_by([("ts_event_ns", "ascending"), ("level_id", "ascending")])


def first_outcomes(outcomes: pa.Table) -> pa.Table:
    """One row per episode, the one that stands first in the topic."""
    rows = outcomes.sort_by([(name, "ascending") for name in ("episode_id", "_partition", "_offset")]).combine_chunks()
    if rows.num_rows < 2:
        return rows
    codes = rows["episode_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return rows.filter(pa.array(np.concatenate([[True], np.diff(codes) != 0])))


def label_known_ns(outcomes: pa.Table, horizon_s: int) -> NDArray[np.int64]:
    """When each outcome's label of that horizon was known, int64[rows] ns since the epoch."""
    touch = outcomes["ts_touch_ns"].to_numpy()
    end = touch + horizon_s * NS_PER_S
    none = np.iinfo(np.int64).max
    passage = pc.fill_null(outcomes["ts_passage_ns"], none).to_numpy()
    known: NDArray[np.int64] = np.minimum(np.minimum(end, passage), outcomes["ts_event_ns"].to_numpy())
    return known
