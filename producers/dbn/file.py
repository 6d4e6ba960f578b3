"""DBN files as arrays of whole records: plain or zstd, versions 1 to 3, read in pieces.

What enters: a path. What leaves: NumPy arrays in the vendor's own record layout (:mod:`databento_dbn`), in file order.
What it raises: InputError for a file that is missing, foreign, of another schema, or damaged. Damage is raised only
after every whole record before it has been handed out.

The layouts of mbp-10 and trades are the same in versions 1 to 3 (only the metadata and other record types changed), so
nothing is upgraded but the metadata, which the vendor's own decoder does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import databento_dbn
import numpy as np
import zstandard
from numpy.typing import NDArray

from common.errors import InputError
from producers.dbn.symbols import SymbolMap, symbol_map

VERSIONS = (1, 2, 3)
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
DBN_MAGIC = b"DBN"
PRELUDE_BYTES = 8
"""Magic, version and the 4-byte length of the metadata."""

METADATA_BYTES_MAX = 64 << 20
READ_BYTES = 256 << 10
LENGTH_UNIT_BYTES = 4
"""A record's ``length`` counts 32-bit words."""

AGAIN = "Download or copy the file again and run the same command; what was published before the damage is kept."


@dataclass(frozen=True, slots=True)
class Layout:
    """How the records of one schema lie in a file: their dtype and the ``rtype`` each of them carries."""

    dtype: np.dtype[np.void]
    rtype: int


def _layout(message: type[databento_dbn.TradeMsg] | type[databento_dbn.MBP10Msg], rtype: int) -> Layout:
    return Layout(np.dtype(message._dtypes), rtype)


LAYOUTS: dict[str, Layout] = {
    "mbp-10": _layout(databento_dbn.MBP10Msg, 10),
    "trades": _layout(databento_dbn.TradeMsg, 0),
}
"""The schemas that are read, by their DBN names."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself.

    ``dtype`` is a record's layout, with ``ts_out`` at its end where the file has it.
    """

    path: Path
    version: int
    schema: str
    dataset: str
    symbols: SymbolMap
    dtype: np.dtype[np.void]
    rtype: int


class DbnFile:
    """An open DBN file; a context manager. Opening reads the header and raises InputError when it is no usable one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._blocks = _blocks(path)
        self._buffer = bytearray()
        self._damage: InputError | None = None
        self._ended = False
        self._records = 0
        try:
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise
        self._item_bytes = self.header.dtype.itemsize

    def __enter__(self) -> DbnFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading is over."""
        self._blocks.close()  # type: ignore[attr-defined]
        self._ended = True

    @property
    def records(self) -> int:
        """Records handed out so far."""
        return self._records

    def read(self, count: int) -> NDArray[np.void]:
        """The next ``count`` records, fewer before the end or damage, none at the end.

        Raises InputError when the next record cannot be read.
        """
        self._fill(count * self._item_bytes)
        whole = min(len(self._buffer) // self._item_bytes, count)
        records = np.frombuffer(self._buffer[: whole * self._item_bytes], self.header.dtype)
        records = records[: self._first_foreign(records)]
        del self._buffer[: len(records) * self._item_bytes]
        self._records += len(records)
        if len(records) == 0 and count > 0:
            self._raise_damage()
        return records

    def _fill(self, wanted_bytes: int) -> None:
        """Read on until that many bytes are buffered, the file ends or a block is damaged."""
        while len(self._buffer) < wanted_bytes and not self._ended and self._damage is None:
            try:
                block = next(self._blocks, None)
            except InputError as error:
                self._damage = error
                return
            if block is None:
                self._ended = True
            else:
                self._buffer += block

    def _first_foreign(self, records: NDArray[np.void]) -> int:
        """Index of the first record that is not one of this schema (their number when all are)."""
        good = (records["length"] == self._item_bytes // LENGTH_UNIT_BYTES) & (records["rtype"] == self.header.rtype)
        return len(records) if bool(good.all()) else int(np.argmin(good))

    def _raise_damage(self) -> None:
        """Say why there is no next record; returns when the file simply ended."""
        if len(self._buffer) >= self._item_bytes:
            length, rtype = self._buffer[0] * LENGTH_UNIT_BYTES, self._buffer[1]
            raise InputError(
                f"{self.path}: record {self._records} is no {self.header.schema} record:"
                f" rtype {rtype} and {length} bytes, not rtype {self.header.rtype} and {self._item_bytes} bytes",
                hint=AGAIN,
            )
        if self._damage is not None:
            raise InputError(f"{self._damage}, after {self._records} whole records", hint=AGAIN)
        if self._buffer:
            raise InputError(
                f"{self.path}: the file ends inside record {self._records}:"
                f" {len(self._buffer)} of its {self._item_bytes} bytes are there",
                hint=AGAIN,
            )

    def _take(self, size: int) -> bytes:
        """``size`` bytes of the header. Raises InputError when the file ends before."""
        self._fill(size)
        if len(self._buffer) < size:
            if self._damage is not None:
                raise InputError(f"{self._damage}, inside the header", hint=AGAIN)
            raise InputError(
                f"{self.path}: the file ends inside its header, after {len(self._buffer)} bytes", hint=AGAIN
            )
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _read_header(self) -> Header:
        self._fill(PRELUDE_BYTES)
        if not self._buffer.startswith(DBN_MAGIC):
            if self._damage is not None and not self._buffer:
                raise self._damage
            raise InputError(
                f"{self.path} is not a DBN file: it begins with {bytes(self._buffer[:PRELUDE_BYTES])!r}",
                hint="Give DBN files (.dbn or .dbn.zst) of the schemas " + " and ".join(LAYOUTS) + ".",
            )
        prelude = self._take(PRELUDE_BYTES)
        version, size = prelude[3], int.from_bytes(prelude[4:], "little")
        if version not in VERSIONS:
            raise InputError(
                f"{self.path} is DBN version {version}; versions {VERSIONS[0]} to {VERSIONS[-1]} can be read",
                hint="Convert it with the vendor's dbn tool.",
            )
        if size > METADATA_BYTES_MAX:
            raise InputError(f"{self.path}: its metadata claims {size} bytes, which cannot be true", hint=AGAIN)
        raw = prelude + self._take(size)
        try:
            metadata = databento_dbn.Metadata.decode(raw)
        except databento_dbn.DBNError as error:
            raise InputError(f"{self.path}: its metadata cannot be read: {error}", hint=AGAIN) from error
        schema = "mixed" if metadata.schema is None else str(metadata.schema)
        layout = LAYOUTS.get(schema)
        if layout is None:
            raise InputError(
                f"{self.path} holds {schema} records; only {' and '.join(LAYOUTS)} can be read",
                hint="Give one file per schema; mbp-10 is the book, trades are the trades.",
            )
        dtype = layout.dtype
        if metadata.ts_out:
            dtype = np.dtype([*dtype.descr, ("ts_out", "<u8")])
        return Header(
            path=self.path,
            version=version,
            schema=schema,
            dataset=metadata.dataset,
            symbols=symbol_map(metadata),
            dtype=dtype,
            rtype=layout.rtype,
        )


def _blocks(path: Path) -> Iterator[bytes]:
    """The file's bytes, decompressed, block by block.

    Raises InputError without position words, which the caller adds.
    """
    try:
        with path.open("rb") as file:
            first = file.read(READ_BYTES)
            if not first:
                raise InputError(f"{path} is empty", hint="Give a DBN file.")
            if first.startswith(ZSTD_MAGIC):
                yield from _decompressed(path, first, iter(lambda: file.read(READ_BYTES), b""))
            else:
                yield first
                yield from iter(lambda: file.read(READ_BYTES), b"")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", hint="Check the path.") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", hint="Check the path and its permissions."
        ) from None


def _decompressed(path: Path, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """The content of one zstd frame after the other."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    begun = False
    position = 0
    piece: bytes | None = first
    while piece is not None:
        size = len(piece)
        while piece:
            begun = True
            try:
                block = frame.decompress(piece)
            except zstandard.ZstdError as error:
                problem = f"{path}: the zstd stream is damaged near byte {position}: {error}"
                raise InputError(problem, hint=AGAIN) from error
            if block:
                yield block
            piece = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame = decompressor.decompressobj()
                begun = False
        position += size
        piece = next(rest, None)
    if begun:
        problem = f"{path}: the zstd stream is truncated: the file ends at byte {position} inside a frame"
        raise InputError(problem, hint=AGAIN)
