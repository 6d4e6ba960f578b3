"""The digest of a run's signals: the same bytes from the live tables, an offline replay, or any other way to the same
judgements.

SHA-256 over every column of ``levels.signals.v1`` (which holds no offsets and no run ids), rows in the order
(ts_event_ns, level_id), in blocks of a fixed number of rows, so that however the rows arrive the digest is the same.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common import schemas, topics
from common.errors import InvariantError

_SCHEMA = schemas.load(topics.SIGNALS)
_BLOCK_ROWS = 65_536


def _column_bytes(column: pa.Array) -> list[bytes]:
    """Validity as one byte a row, then the values with nulls as zero; strings as lengths, then text."""
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False).astype(np.uint8).tobytes()
    if pa.types.is_string(column.type):
        filled = pc.fill_null(column, "")
        lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i4")
        return [valid, lengths.tobytes(), "".join(filled.to_pylist()).encode()]
    if pa.types.is_boolean(column.type):
        return [valid, pc.fill_null(column, False).to_numpy(zero_copy_only=False).astype(np.uint8).tobytes()]
    values = pc.fill_null(column, pa.scalar(0, column.type)).to_numpy(zero_copy_only=False)
    return [valid, values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()]


class SignalsDigest:
    """Takes signal rows in order, piece by piece."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._last: tuple[int, str] | None = None
        self.rows = 0

    def update(self, table: pa.Table) -> None:
        """Add rows that follow all earlier ones. Raises InvariantError when a row is out of order or a duplicate."""
        if table.num_rows == 0:
            return
        table = table.select([field.name for field in _SCHEMA.fields]).cast(_SCHEMA.arrow)
        self._check_order(table)
        self.rows += table.num_rows
        self._held.append(table)
        self._held_rows += table.num_rows
        if self._held_rows >= _BLOCK_ROWS:
            whole = pa.concat_tables(self._held).combine_chunks()
            at = 0
            while whole.num_rows - at >= _BLOCK_ROWS:
                self._add_block(whole.slice(at, _BLOCK_ROWS))
                at += _BLOCK_ROWS
            self._held = [whole.slice(at)]
            self._held_rows = whole.num_rows - at

    def _check_order(self, table: pa.Table) -> None:
        times = table["ts_event_ns"].to_pylist()
        levels = table["level_id"].to_pylist()
        for key in zip(times, levels, strict=True):
            if self._last is not None and key <= self._last:
                raise InvariantError(
                    f"signal rows must rise by (ts_event_ns, level_id): {key} came after {self._last}",
                    hint="Sort and drop duplicates by (ts_event_ns, level_id) first.",
                )
            self._last = key

    def _add_block(self, block: pa.Table) -> None:
        self._hash.update(f"rows={block.num_rows};".encode())
        for name in block.column_names:
            self._hash.update(f"{name}:".encode())
            for piece in _column_bytes(block[name].combine_chunks()):
                self._hash.update(piece)

    def hexdigest(self) -> str:
        """The digest of all rows so far; more rows may follow."""
        digest = SignalsDigest()
        digest._hash = self._hash.copy()
        if self._held_rows:
            digest._add_block(pa.concat_tables(self._held).combine_chunks())
        return digest._hash.hexdigest()


def signals_digest(table: pa.Table) -> str:
    """The digest of signal rows in any order. Raises InvariantError when two rows have the same (ts_event_ns,
    level_id).
    """
    digest = SignalsDigest()
    digest.update(table.sort_by([("ts_event_ns", "ascending"), ("level_id", "ascending")]))
    return digest.hexdigest()
