"""Columns brought together for the encoder: checked, and copied into the three arenas that its kernel reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.avro import decoding as d
from common.avro import encoding as e
from common.avro.machine import SLACK
from common.avro.program import ARRAYS, INTS, LONGS, OCTETS, OPERATIONS, Ints, Layout, is_varied, pitch
from common.columns import Batch, Column
from common.errors import InvariantError, RecordError
from common.schemas import Field, RecordSchema

_LONGEST = {"long": 10, "int": 5, "double": 8, "boolean": 1, "enum": 5, "string": 10, "bytes": 10, "array": 11}
"""Bytes of a value at most; of a string its length; of an array its item count and the closing zero."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The arguments of the encoder's kernel for one tile."""

    program: Ints
    longs: NDArray[np.int64]
    ints: NDArray[np.int32]
    octets: NDArray[np.uint8]


def _checked(name: str, f: Field, column: Column | None) -> Column:
    if column is None:
        raise InvariantError(f"{name}: the batch has no column {f.name}")
    values, valid, offsets = column.values, column.valid, column.offsets
    if (offsets is not None) != is_varied(f):
        raise InvariantError(f"{name}.{f.name}: a column of {f.kind} must {'' if is_varied(f) else 'not '}have offsets")
    if not np.can_cast(values.dtype, f.dtype, "safe"):
        raise InvariantError(f"{name}.{f.name}: {values.dtype} values in a column of {np.dtype(f.dtype)}")
    if offsets is not None and (
        offsets[0] < 0 or offsets[-1] > len(values) or bool(np.any(offsets[1:] < offsets[:-1]))
    ):
        raise InvariantError(f"{name}.{f.name}: its offsets fall, or leave its {len(values)} values")
    if valid is None or f.nullable:
        return column
    if not valid.all():
        raise RecordError(
            f"{name}: record {int(np.argmin(valid))} cannot be encoded: {f.name} is null and not nullable"
        )
    return Column(values, None, offsets)


class Packer:
    """Packs tiles of batches of one schema."""

    def __init__(self, schema: RecordSchema, layout: Layout) -> None:
        self._fields = schema.fields
        self._layout = layout
        self._fixed = d.FRAME + sum(_LONGEST[f.kind] + f.nullable for f in schema.fields)

    def checked(self, batch: Batch) -> Batch:
        """The batch with the schema's columns only.

        Raises InvariantError for a column that is missing, of another type or ill-formed; RecordError for a null where
        none may be.
        """
        columns = {f.name: _checked(batch.name, f, batch.columns.get(f.name)) for f in self._fields}
        return Batch(batch.name, batch.length, columns)

    def longest(self, batch: Batch) -> int:
        """Bytes that a checked batch takes at most when encoded, and those that the kernel may scribble on."""
        total = batch.length * self._fixed + SLACK
        for f in self._fields:
            offsets = batch.columns[f.name].offsets
            if offsets is not None:
                item = _LONGEST[f.item] if f.kind == "array" and f.item else 1
                total += int(offsets[-1] - offsets[0]) * item
        return total

    def pack(self, batch: Batch, start: int, stop: int) -> Packed:
        """Records ``start`` to ``stop`` of a checked batch."""
        count = stop - start
        tile = batch.slice(start, stop)
        pitches = [pitch(count + 1, arena) for arena in range(3)]  # offsets have one more
        ends = [columns * width for columns, width in zip(self._layout.columns, pitches, strict=True)]
        sizes = list(ends)
        for f in self._fields:
            if is_varied(f):
                sizes[_content_arena(f)] += len(tile.columns[f.name].values)
        longs = np.empty(sizes[LONGS], np.int64)
        ints = np.empty(sizes[INTS], np.int32)
        octets = np.empty(sizes[OCTETS] + SLACK, np.uint8)
        by_type: dict[type[np.generic], NDArray[Any]] = {
            np.int64: longs,
            np.float64: longs.view(np.float64),
            np.int32: ints,
            np.uint8: octets,
            np.bool_: octets.view(np.bool_),
        }
        rows = np.zeros((len(self._fields), e.ROW_WIDTH), np.int64)
        for row, f in zip(rows, self._fields, strict=True):
            slot = self._layout.slots[f.name]
            column = tile.columns[f.name]
            base = slot.main * pitches[slot.home]
            if column.offsets is not None:
                row[e.OFFSETS_BASE] = base
                longs[base : base + count + 1] = column.offsets
                arena = _content_arena(f)
                base = ends[arena]
                ends[arena] += len(column.values)
            np.copyto(by_type[f.dtype][base : base + len(column.values)], column.values, casting="safe")
            valid_base = -1
            if column.valid is not None:
                valid_base = slot.valid * pitches[OCTETS]
                by_type[np.bool_][valid_base : valid_base + count] = column.valid
            row[e.OP] = ARRAYS[f.item] if f.kind == "array" and f.item else OPERATIONS[f.kind, f.kind]
            row[e.TAGGED] = f.nullable
            row[e.BASE] = base
            row[e.VALID_BASE] = valid_base
            row[e.SYMBOLS] = len(f.symbols)
        return Packed(rows, longs, ints, octets)


def _content_arena(f: Field) -> int:
    if f.kind != "array":
        return OCTETS
    return INTS if f.item == "int" else LONGS
