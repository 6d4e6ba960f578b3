"""Option flow per contract and snap, as the kernel writes it and as the columns of ``options.flow.v1`` (DESIGN 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column, repeated_string
from common.jit import kernel
from processors.engine.contracts import DELTA, GAMMA, PREMIUM, VOLUME, OptionArrays
from processors.engine.inputs import no_records
from processors.engine.rows import framed

SCHEMA = schemas.load(topics.OPTIONS_FLOW)

FLOW_ROW = np.dtype(
    [
        ("ts_event_ns", np.int64),
        ("exp_date", np.int32),
        ("right", np.int32),
        ("strike", np.float64),
        ("volume", np.int64),
        ("premium", np.float64),
        ("net_dealer_gamma", np.float64),
        ("net_dealer_delta", np.float64),
    ],
    align=True,
)


@kernel
def has_flow_room(op: OptionArrays, rows: NDArray[np.void], at: int) -> bool:
    """True when the rows of one snap fit into ``rows`` from ``at`` on."""
    return bool(at + op.scalars[0].active_count <= len(rows))


@kernel
def flow_rows(op: OptionArrays, snap_ns: int, rows: NDArray[np.void], at: int) -> int:
    """Write the flow within W_g at the snap into ``rows`` from ``at`` on; returns the next free place.

    One row per contract that traded within the window, and one of zeros for each that has just left it. Nothing is
    written while the window stands as at the last written snap. The caller keeps room.
    """
    s = op.scalars[0]
    if s.flow_dirty == 0:
        return at
    s.flow_dirty = 0
    for n in range(s.active_count):
        slot = op.active[n]
        c = op.contract[slot]
        volume = op.flow.total[slot, VOLUME]
        if volume == 0 and c.shown == 0:
            continue
        c.shown = 1 if volume > 0 else 0
        row = rows[at]
        at += 1
        row.ts_event_ns = snap_ns
        row.exp_date = c.exp_days
        row.right = c.is_put
        row.strike = c.strike_milli / 1000.0
        row.volume = volume
        row.premium = op.flow.total[slot, PREMIUM] / 1e4
        row.net_dealer_gamma = op.flow.total[slot, GAMMA] / 1e9
        row.net_dealer_delta = op.flow.total[slot, DELTA] / 1e6
    return at


def to_flow_batch(rows: NDArray[np.void], underlying: str) -> Batch:
    """Rows of whole snaps, in time order, as a batch; within a snap by expiration, strike, right."""
    if len(rows) == 0:
        return no_records(SCHEMA.name)
    rows = rows[np.lexsort((rows["right"], rows["strike"], rows["exp_date"], rows["ts_event_ns"]))]
    columns = {
        "underlying": repeated_string(underlying, len(rows)),
        **framed(np.ascontiguousarray(rows["ts_event_ns"])),
    }
    for field in SCHEMA.fields:
        if field.name not in columns:
            columns[field.name] = Column(np.ascontiguousarray(rows[field.name]))
    return Batch(SCHEMA.name, len(rows), {field.name: columns[field.name] for field in SCHEMA.fields})
