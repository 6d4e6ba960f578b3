"""The digest of rows in an order: the same for the same content, whatever files, pieces or machines it came through."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BLOCK_ROWS = 65_536


class ContentDigest:
    """SHA-256 over the named columns of rows that come in their order, piece by piece.

    Rows are hashed in blocks of a fixed size, each column as validity, lengths and values with nulls as zero, all
    little-endian; so neither the pieces nor a column's layout in memory matter.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._hash = hashlib.sha256()
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self.rows = 0

    def update(self, rows: pa.Table) -> None:
        """Add the rows that follow."""
        if rows.num_rows == 0:
            return
        self._held.append(rows.select(list(self._columns)))
        self._held_rows += rows.num_rows
        self.rows += rows.num_rows
        if self._held_rows >= _BLOCK_ROWS:
            self._hash_blocks(_BLOCK_ROWS)

    def hexdigest(self) -> str:
        """The digest; nothing may follow."""
        if self._held_rows:
            self._hash_blocks(1)
        return self._hash.hexdigest()

    def _hash_blocks(self, least: int) -> None:
        whole = pa.concat_tables(self._held).combine_chunks()
        at = 0
        while whole.num_rows - at >= least:
            block = whole.slice(at, _BLOCK_ROWS)
            self._hash.update(f"rows={block.num_rows};".encode())
            for name in self._columns:
                self._hash.update(f"{name}:{block.schema.field(name).type};".encode())
                self._add(block[name].combine_chunks())
            at += block.num_rows
        self._held = [whole.slice(at)] if at < whole.num_rows else []
        self._held_rows = whole.num_rows - at

    def _add(self, column: pa.Array) -> None:
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        self._hash.update(pc.is_valid(column).to_numpy(zero_copy_only=False).astype(np.uint8).tobytes())
        kind = column.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            lengths = pc.fill_null(pc.list_value_length(column), 0)
            self._hash.update(lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes())
            self._add(pc.list_flatten(column))
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
            filled = pc.fill_null(column.cast(pa.large_binary()), b"")
            self._hash.update(pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
            self._hash.update(b"".join(filled.to_pylist()))
        else:
            if pa.types.is_timestamp(kind):
                column = column.cast(pa.int64())
            elif pa.types.is_boolean(kind):
                column = column.cast(pa.uint8())
            values = pc.fill_null(column, pa.scalar(0, column.type)).to_numpy(zero_copy_only=False)
            self._hash.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
