"""Small batches from a few columns, for tests that care about order and time and not about the rest of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common import schemas
from common.columns import Batch, Column, strings


def filled(name: str, length: int, given: Mapping[str, Sequence[Any]]) -> Batch:
    """Records of the schema ``name`` with the ``given`` fields; every other is zero, empty or null."""
    columns: dict[str, Column] = {}
    for field in schemas.load(name).fields:
        items = given.get(field.name)
        if field.kind == "string" and not field.nullable:
            columns[field.name] = strings(list(items) if items is not None else [""] * length)
            continue
        valid = None
        if field.nullable:
            present = [False] * length if items is None else [item is not None for item in items]
            valid = np.array(present, bool)
        if field.kind == "string":
            made = strings([""] * length if items is None else ["" if item is None else item for item in items])
            columns[field.name] = Column(made.values, valid, made.offsets)
        elif field.kind == "array":
            lists = [[] for _ in range(length)] if items is None else [list(item) for item in items]
            offsets = np.zeros(length + 1, np.int64)
            np.cumsum([len(item) for item in lists], out=offsets[1:])
            flat = [value for item in lists for value in item]
            columns[field.name] = Column(np.array(flat, field.dtype), valid, offsets)
        else:
            if field.kind == "enum" and items is not None:
                items = [field.symbols.index(item) if isinstance(item, str) else item for item in items]
            values = [0] * length if items is None else [0 if item is None else item for item in items]
            columns[field.name] = Column(np.array(values, field.dtype), valid)
    return Batch(name, length, columns)


def event_batch(
    topic: str,
    effective_ns: Sequence[int],
    event_ns: Sequence[int] | None = None,
    seq: Sequence[int | None] | None = None,
    event_id: Sequence[int] | None = None,
) -> Batch:
    """Events of ``topic`` with these times; ``event_id`` counts from 0 unless given."""
    length = len(effective_ns)
    return filled(
        topic,
        length,
        {
            "ts_effective_ns": effective_ns,
            "ts_event_ns": effective_ns if event_ns is None else event_ns,
            "seq": [None] * length if seq is None else seq,
            "event_id": range(length) if event_id is None else event_id,
        },
    )
