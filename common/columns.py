"""Records as columns: the one in-memory form between the log, the engine and the tables.

A :class:`Batch` holds ``length`` records of one schema as NumPy arrays. Values under a cleared ``valid`` bit are
unspecified (the codec writes zeros). Nothing here copies unless it says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.errors import InvariantError, RecordError, SchemaError

if TYPE_CHECKING:
    from common.schemas import Field, RecordSchema


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a batch.

    ``values``: int64 (long), int32 (int, and enum as the symbol's index), float64 (double), bool (boolean), uint8
    (the UTF-8 bytes of all strings, end to end) or int32 (the items of all arrays, end to end).
    ``valid``: bool[length], or None when the field is not nullable.
    ``offsets``: int64[length + 1] into ``values`` for strings and arrays, else None.
    """

    values: NDArray[np.generic]
    valid: NDArray[np.bool_] | None = None
    offsets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    @property
    def validity(self) -> NDArray[np.bool_]:
        """Which records are not null: bool[length]."""
        return np.ones(len(self), np.bool_) if self.valid is None else self.valid

    def filled(self, instead: float, dtype: type[np.generic] | None = None) -> Any:
        """The values, ``instead`` where they are null, contiguous and of ``dtype`` (None: as they are); a view where
        that is nothing to do.
        """
        values = np.ascontiguousarray(self.values, dtype)
        return values if self.valid is None else np.where(self.valid, values, values.dtype.type(instead))

    def take(self, index: NDArray[np.int64]) -> Column:
        """The records at ``index``, in that order (copies)."""
        valid = None if self.valid is None else self.valid[index]
        if self.offsets is None:
            return Column(self.values[index], valid)
        starts = self.offsets[:-1][index]
        sizes = self.offsets[1:][index] - starts
        offsets = np.zeros(len(index) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        within = np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], sizes)
        return Column(self.values[np.repeat(starts, sizes) + within], valid, offsets)

    def slice(self, start: int, stop: int) -> Column:
        """Records ``start`` to ``stop`` (views)."""
        valid = None if self.valid is None else self.valid[start:stop]
        if self.offsets is None:
            return Column(self.values[start:stop], valid)
        first, last = self.offsets[start], self.offsets[stop]
        return Column(self.values[first:last], valid, self.offsets[start : stop + 1] - first)


def strings(items: Sequence[str | None]) -> Column:
    """A string column from Python strings; nullable when any item is None."""
    encoded = [b"" if item is None else item.encode() for item in items]
    offsets = np.zeros(len(items) + 1, np.int64)
    np.cumsum([len(item) for item in encoded], out=offsets[1:])
    values = np.frombuffer(b"".join(encoded), np.uint8)
    has_null = any(item is None for item in items)
    valid = np.array([item is not None for item in items], np.bool_) if has_null else None
    return Column(values, valid, offsets)


def repeated_string(item: str, length: int) -> Column:
    """A string column that holds the same text ``length`` times."""
    raw = np.frombuffer(item.encode(), np.uint8)
    return Column(np.tile(raw, length), None, np.arange(length + 1, dtype=np.int64) * len(raw))


def string_list(column: Column) -> list[str | None]:
    """The Python strings of a string column, None where it is null."""
    if column.offsets is None:
        raise InvariantError("string_list needs a string column; this one has no offsets")
    raw = column.values.tobytes()
    bounds = column.offsets.tolist()
    valid = itertools.repeat(True, len(column)) if column.valid is None else column.valid.tolist()
    pieces = zip(itertools.pairwise(bounds), valid, strict=True)
    return [raw[start:stop].decode() if ok else None for (start, stop), ok in pieces]


@dataclass(frozen=True, slots=True)
class Batch:
    """``length`` records of the schema ``name`` (a topic's name, e.g. ``futures.mbp10.v1``)."""

    name: str
    length: int
    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        for field, column in self.columns.items():
            if len(column) != self.length:
                raise InvariantError(f"{self.name}: column {field} has {len(column)} records, the batch {self.length}")

    def __getitem__(self, field: str) -> NDArray[np.generic]:
        return self.columns[field].values

    def take(self, index: NDArray[np.int64]) -> Batch:
        """The records at ``index``, in that order (copies)."""
        return Batch(self.name, len(index), {name: column.take(index) for name, column in self.columns.items()})

    def slice(self, start: int, stop: int) -> Batch:
        """Records ``start`` to ``stop`` (views)."""
        stop = min(stop, self.length)
        start = min(start, stop)
        return Batch(
            self.name, stop - start, {name: column.slice(start, stop) for name, column in self.columns.items()}
        )


def concat(batches: Sequence[Batch]) -> Batch:
    """One batch from several of the same schema (copies when there is more than one)."""
    if not batches:
        raise InvariantError("concat needs at least one batch")
    if len(batches) == 1:
        return batches[0]
    columns = {}
    for name in batches[0].columns:
        parts = [batch.columns[name] for batch in batches]
        values = np.concatenate([part.values for part in parts])
        valid = None
        if any(part.valid is not None for part in parts):
            valid = np.concatenate([np.ones(len(p), np.bool_) if p.valid is None else p.valid for p in parts])
        offsets = None
        if parts[0].offsets is not None:
            sizes = np.concatenate([np.diff(part.offsets) for part in parts if part.offsets is not None])
            offsets = np.zeros(len(sizes) + 1, np.int64)
            np.cumsum(sizes, out=offsets[1:])
        columns[name] = Column(values, valid, offsets)
    return Batch(batches[0].name, sum(batch.length for batch in batches), columns)


def to_arrow(batch: Batch, schema: pa.Schema, symbols: Mapping[str, Sequence[str]]) -> pa.RecordBatch:
    """The batch as Arrow, in ``schema``'s field order.

    ``symbols`` maps each enum field to its symbols; enums become plain strings, as in the tables.
    """
    arrays = [_array(batch.columns[field.name], field.type, symbols.get(field.name)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(column: Column, kind: pa.DataType, symbols: Sequence[str] | None) -> pa.Array:
    null = None if column.valid is None else ~column.valid
    if symbols is not None:
        indices = pa.array(column.values, pa.int32(), mask=null)
        return pa.DictionaryArray.from_arrays(indices, pa.array(symbols, pa.string())).cast(pa.string())
    if column.offsets is None:
        return pa.array(column.values, kind, mask=null)
    offsets = pa.array(column.offsets, pa.int32())
    if pa.types.is_list(kind):
        items = pa.array(column.values, kind.value_type)
        return pa.ListArray.from_arrays(offsets, items, type=kind, mask=None if null is None else pa.array(null))
    bitmap = None if column.valid is None else pa.array(column.valid).buffers()[1]
    content = pa.py_buffer(np.ascontiguousarray(column.values))
    return pa.Array.from_buffers(kind, len(column), [bitmap, offsets.buffers()[1], content])


def from_arrow(batch: pa.RecordBatch, schema: RecordSchema) -> Batch:
    """The schema's columns of an Arrow batch (copies); columns that the schema does not have are left out.

    A column the batch lacks is all null where the schema allows it. Raises SchemaError for another missing column or
    one of a type that cannot become the schema's; RecordError for a null or a symbol that the schema does not have.
    """
    columns = {}
    for field in schema.fields:
        where = f"{schema.name}.{field.name}"
        position = batch.schema.get_field_index(field.name)
        if position < 0 and not field.nullable:
            raise SchemaError(f"{where}: the Arrow batch has no such column")
        array = pa.nulls(batch.num_rows, field.arrow) if position < 0 else batch.column(position)
        try:
            array = array.cast(field.arrow)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(f"{where}: Arrow {array.type} cannot become {field.arrow}: {error}") from error
        if array.null_count and not field.nullable:
            raise RecordError(f"{where}: {array.null_count} values are null, and the field is not nullable")
        valid = np.asarray(array.is_valid()) if field.nullable else None
        columns[field.name] = _column(where, array, field, valid)
    return Batch(schema.name, batch.num_rows, columns)


def _column(where: str, array: pa.Array, field: Field, valid: NDArray[np.bool_] | None) -> Column:
    if field.kind == "array":
        offsets = np.zeros(len(array) + 1, np.int64)
        np.cumsum(np.asarray(array.value_lengths().fill_null(0)), out=offsets[1:])
        return Column(np.array(array.flatten(), field.dtype), valid, offsets)
    if field.kind == "enum":
        indices = pc.index_in(array, value_set=pa.array(field.symbols, pa.string()))
        unknown = pc.and_(indices.is_null(), array.is_valid())
        if pc.any(unknown).as_py():
            symbol = array.filter(unknown)[0].as_py()
            raise RecordError(f"{where}: {symbol!r} is none of its symbols: {', '.join(field.symbols)}")
        return Column(np.array(indices.fill_null(0), np.int32), valid)
    if field.kind in ("string", "bytes"):
        array = array.fill_null(b"" if field.kind == "bytes" else "")
        if len(array) == 0:
            return Column(np.empty(0, np.uint8), valid, np.zeros(1, np.int64))
        _, ends, content = array.buffers()
        offsets = np.frombuffer(ends, np.int32)[array.offset : array.offset + len(array) + 1].astype(np.int64)
        values = np.frombuffer(content or b"", np.uint8)[offsets[0] : offsets[-1]].copy()
        return Column(values, valid, offsets - offsets[0])
    return Column(np.array(array.fill_null(False if field.kind == "boolean" else 0), field.dtype), valid)
