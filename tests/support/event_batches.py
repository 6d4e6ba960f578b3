"""Small batches of ES events from a few columns, for tests that care about order and time and not about prices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common import schemas
from common.columns import Batch, Column, repeated_string


def event_batch(
    topic: str,
    effective_ns: Sequence[int],
    event_ns: Sequence[int] | None = None,
    seq: Sequence[int | None] | None = None,
    event_id: Sequence[int] | None = None,
) -> Batch:
    """Records of ``topic`` with these times; every other field is zero, empty or null."""
    length = len(effective_ns)
    given = {
        "ts_effective_ns": effective_ns,
        "ts_event_ns": effective_ns if event_ns is None else event_ns,
        "event_id": list(range(length)) if event_id is None else event_id,
    }
    columns: dict[str, Column] = {}
    for field in schemas.load(topic).fields:
        if field.kind == "string":
            columns[field.name] = repeated_string("ES", length)
            if field.nullable:
                columns[field.name] = Column(
                    np.zeros(0, np.uint8), np.zeros(length, bool), np.zeros(length + 1, np.int64)
                )
        elif field.name == "seq":
            items = [None] * length if seq is None else list(seq)
            valid = np.array([item is not None for item in items], bool)
            columns["seq"] = Column(np.array([item or 0 for item in items], np.int64), valid)
        else:
            values = np.array(given.get(field.name, np.zeros(length)), field.dtype)
            columns[field.name] = Column(values, np.zeros(length, bool) if field.nullable else None)
    return Batch(topic, length, columns)
