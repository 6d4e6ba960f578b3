"""Signal rows for tests of readers: snaps of a few levels, as batches, as whole snaps, as Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from api.snaps import Snap, SnapAssembler
from common import schemas, topics
from common.columns import Batch, to_arrow
from tests.support.feature_rows import column

INTERVAL_NS = 250_000_000
START_NS = 1_703_500_000_000_000_000
"""A point of the snap grid."""
SCHEMA = schemas.load(topics.SIGNALS)

_DEFAULTS: dict[str, Any] = {
    "underlying": "SPY",
    "session_date": 20231225,
    "spot": 472.02,
    "bid": 472.01,
    "ask": 472.03,
    "level_kind": "ROUND",
    "direction": "SUPPORT",
    "break_score_raw": 50.0,
    "break_score_smooth": 50.0,
    "runway_direction": "UP",
    "validity_bits": 128,
    "actionable": True,
    "config_hash": "cafe",
}


def snap_ns(number: int) -> int:
    """Time of the ``number``-th snap."""
    return START_NS + number * INTERVAL_NS


def snap_rows(
    number: int, levels: Sequence[str] = ("ROUND_471", "ROUND_472", "VWAP"), **fields: Any
) -> list[dict[str, Any]]:
    """The rows of one whole snap; the levels stand in the order of their ids."""
    ordered = sorted(levels)
    return [
        {
            "ts_event_ns": snap_ns(number),
            "snap_row": row,
            "snap_rows": len(ordered),
            "level_id": level_id,
            "level_price": 471.0 + row,
            "distance": abs(472.02 - (471.0 + row)),
            "break_score_raw": float(number % 100),
            **fields,
        }
        for row, level_id in enumerate(ordered)
    ]


def _zero(field: schemas.Field) -> Any:
    if field.nullable:
        return None
    return {"string": "", "enum": field.symbols[0] if field.symbols else None}.get(field.kind, 0)


def signal_batch(rows: Sequence[Mapping[str, Any]]) -> Batch:
    """Rows from the fields given; the others are a quiet level's, zero or null."""
    columns = {}
    for field in SCHEMA.fields:
        default = _DEFAULTS.get(field.name, _zero(field))
        columns[field.name] = column(field, [row.get(field.name, default) for row in rows])
    return Batch(topics.SIGNALS, len(rows), columns)


def committed_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as the sink hands them to the table."""
    batch = signal_batch(rows)
    table = pa.Table.from_batches([to_arrow(batch, SCHEMA.arrow, SCHEMA.symbols)])
    times_us = pa.array(batch["ts_event_ns"] // 1_000).cast(pa.timestamp("us", tz="UTC"))
    added = {
        "ts_event": times_us,
        "_partition": pa.array(np.zeros(batch.length, np.int32)),
        "_offset": pa.array(np.arange(batch.length)),
        "_schema_id": pa.array(np.ones(batch.length, np.int32)),
        "_ingested_at": times_us,
    }
    for name, values in added.items():
        table = table.append_column(pa.field(name, values.type, nullable=False), values)
    return table


def signal_snaps(*numbers: int, first_offset: int = 0, **fields: Any) -> list[Snap]:
    """Whole snaps as the API cuts them from a log that begins at ``first_offset``."""
    rows = [row for number in numbers for row in snap_rows(number, **fields)]
    offsets = np.arange(first_offset, first_offset + len(rows), dtype=np.int64)
    return SnapAssembler(Snap).push(signal_batch(rows), offsets)
