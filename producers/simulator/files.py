"""The made-up session's files, written in pieces: DBN in the vendor's layout, the capture, the table of causes.

Compressors are given pieces of one size whatever arrives, so that the bytes do not depend on how the session was cut.
A file has its name only when it is whole.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import databento_dbn
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from databento_dbn.metadata import MappingInterval
from numpy.typing import NDArray

from common.errors import InputError
from producers.dbn.parse import SIMULATED_DATASET
from producers.simulator.records import BASE_TICK, INSTRUMENT_ID, TICK_1E9
from producers.simulator.shapes import CAUSES

SYMBOL = "ESM5"
NS_PER_DAY = 86_400_000_000_000
PIECE_BYTES = 1 << 20
GROUP_ROWS = 1 << 18
"""Rows of a row group of the table of causes."""

_CAUSES = pa.array(CAUSES)
_SIDES = pa.array(["B", "A"])


@dataclass(slots=True)
class SymbolInterval:
    """As the vendor's encoder wants a mapping's days."""

    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass(slots=True)
class SymbolMapping:
    """As the vendor's encoder wants a mapping."""

    raw_symbol: str
    intervals: Sequence[MappingInterval]


class CompressedFile:
    """A zstd file in the making. Raises InputError when it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = partial_of(path)
        self._held = bytearray()
        self._file: BinaryIO = _opened(self._partial)
        self._stream = zstandard.ZstdCompressor(level=3).stream_writer(self._file, closefd=False)

    def write(self, content: bytes | memoryview) -> None:
        """Add to the file."""
        self._held += content
        whole = len(self._held) // PIECE_BYTES * PIECE_BYTES
        if whole:
            with memoryview(self._held) as held:
                for at in range(0, whole, PIECE_BYTES):
                    self._stream.write(held[at : at + PIECE_BYTES])
            del self._held[:whole]

    def close(self) -> Path:
        """Write the rest; the file is whole."""
        self._stream.write(bytes(self._held))
        self._stream.close()  # type: ignore[no-untyped-call]
        self._file.close()
        self._partial.replace(self._path)
        return self._path


class DbnFile(CompressedFile):
    """A DBN file of one schema from ``begin_ns`` until before ``end_ns``; records come as 64-bit words."""

    def __init__(self, path: Path, schema: str, begin_ns: int, end_ns: int) -> None:
        super().__init__(path)
        day = dt.date(1970, 1, 1) + dt.timedelta(days=begin_ns // NS_PER_DAY)
        mapping = SymbolMapping(SYMBOL, [SymbolInterval(day, day + dt.timedelta(days=1), str(INSTRUMENT_ID))])
        metadata = databento_dbn.Metadata(
            dataset=SIMULATED_DATASET,
            start=begin_ns,
            end=end_ns,
            stype_in=databento_dbn.SType.from_str("raw_symbol"),
            stype_out=databento_dbn.SType.from_str("instrument_id"),
            schema=databento_dbn.Schema.from_str(schema),
            symbols=[SYMBOL],
            mappings=[mapping],
        )
        self.write(bytes(metadata))

    def add(self, words: NDArray[np.uint64]) -> None:
        """Add records, uint64[rows, words of one]."""
        self.write(words.data.cast("B") if words.size else b"")


class CausesFile:
    """Why displayed sizes changed, as Parquet: ``ts_event`` (ns), ``side`` (B or A), ``price`` (1e-9 points), ``size``
    (contracts), ``cause`` (one of CAUSES).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = partial_of(path)
        _opened(self._partial).close()
        fields = {"ts_event": pa.int64(), "side": pa.string(), "price": pa.int64(), "size": pa.int64()}
        self._schema = pa.schema([*fields.items(), ("cause", pa.string())])
        self._writer = pq.ParquetWriter(self._partial, self._schema, compression="zstd")
        self._held = np.zeros((0, 5), np.int64)

    def add(self, rows: NDArray[np.int64]) -> None:
        """Add rows as `shapes.World.causes` has them."""
        self._held = np.concatenate([self._held, rows])
        while len(self._held) >= GROUP_ROWS:
            self._write(self._held[:GROUP_ROWS])
            self._held = self._held[GROUP_ROWS:]

    def close(self) -> Path:
        """Write the rest; the file is whole."""
        self._write(self._held)
        self._writer.close()
        self._partial.replace(self._path)
        return self._path

    def _write(self, rows: NDArray[np.int64]) -> None:
        ts_ns, side, tick, size, cause = (np.ascontiguousarray(column) for column in rows.T)
        columns = [ts_ns, _SIDES.take(side), (tick + BASE_TICK) * TICK_1E9, size, _CAUSES.take(cause)]
        self._writer.write_table(pa.table([pa.array(column) for column in columns], schema=self._schema))


def partial_of(path: Path) -> Path:
    """The name of a file that is not whole yet."""
    return path.with_name(path.name + ".partial")


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all. Raises InputError when it cannot."""
    partial = partial_of(path)
    with _opened(partial) as file:
        file.write(content)
    partial.replace(path)
    return path


def _opened(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", hint="Choose another --out folder.") from None
