"""DBN files as arrays of whole records: plain or zstd, versions 1 to 3, read in pieces.

What enters: a path. What leaves: NumPy arrays in the vendor's own record layout (:mod:`databento_dbn`), in file order.
What it raises: InputError for a file that is missing, foreign, of another schema, or damaged. Damage is raised only
after every whole record before it has been handed out.

Only definitions differ between versions 1 to 3, and are read in the layout of the file's version. So nothing is
upgraded but the metadata, which the vendor's own decoder does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import databento_dbn
import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from producers.blocks import AGAIN, READ_BYTES, Content
from producers.dbn.symbols import SymbolMap, symbol_map

VERSIONS = (1, 2, 3)
DBN_MAGIC = b"DBN"
PRELUDE_BYTES = 8
"""Magic, version and the 4-byte length of the metadata."""

METADATA_BYTES_MAX = 64 << 20
LENGTH_UNIT_BYTES = 4
"""A record's ``length`` counts 32-bit words."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the records of one schema lie in a file: their dtype and the ``rtype`` each of them carries."""

    dtype: np.dtype[np.void]
    rtype: int


LAYOUTS: dict[str, Layout] = {
    "mbp-10": Layout(np.dtype(databento_dbn.MBP10Msg._dtypes), 10),
    "trades": Layout(np.dtype(databento_dbn.TradeMsg._dtypes), 0),
    "definition": Layout(np.dtype(databento_dbn.InstrumentDefMsg._dtypes), 19),
    "status": Layout(np.dtype(databento_dbn.StatusMsg._dtypes), 18),
}
"""The schemas that are read, by their DBN names, as the newest version has them."""

_OLDER_DEFINITIONS = {
    1: Layout(np.dtype(databento_dbn.InstrumentDefMsgV1._dtypes), 19),
    2: Layout(np.dtype(databento_dbn.InstrumentDefMsgV2._dtypes), 19),
}
_READ = ", ".join(LAYOUTS)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself.

    ``dtype`` is a record's layout, with ``ts_out`` at its end where the file has it. ``start_ns``: the beginning of
    what was asked for.
    """

    path: Path
    version: int
    schema: str
    dataset: str
    symbols: SymbolMap
    dtype: np.dtype[np.void]
    rtype: int
    start_ns: int


class OtherSchemaError(InputError):
    """The file is a good one, of a schema that is not read."""


class DbnFile:
    """An open DBN file; a context manager. Opening reads the header and raises InputError when it is no usable one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = Content(path)
        self._room = bytearray(READ_BYTES)
        self._begin = self._end = 0
        self._damage: InputError | None = None
        self._ended = False
        self._records = 0
        try:
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise
        self._item_bytes = self.header.dtype.itemsize
        self._to_front(0)

    def __enter__(self) -> DbnFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading is over."""
        self._content.close()
        self._ended = True

    @property
    def records(self) -> int:
        """Records handed out so far."""
        return self._records

    def read(self, count: int) -> NDArray[np.void]:
        """The next ``count`` records, fewer before the end or damage, none at the end.

        Raises InputError when the next record cannot be read.
        """
        return self.lend(count).copy()

    def lend(self, count: int) -> NDArray[np.void]:
        """As `read`, in the file's own memory: the records are there until the next call, and are not to be changed.

        Every record begins at a multiple of eight bytes, as the machine reads them fastest.
        """
        self._fill(count * self._item_bytes)
        whole = min((self._end - self._begin) // self._item_bytes, count)
        records = np.frombuffer(self._room, self.header.dtype, whole, self._begin)
        records = records[: self._first_foreign(records)]
        self._begin += len(records) * self._item_bytes
        self._records += len(records)
        if len(records) == 0 and count > 0:
            self._raise_damage()
        return records

    def _fill(self, wanted_bytes: int) -> None:
        """Read on until that many bytes are held, the file ends or is damaged."""
        if self._end - self._begin >= wanted_bytes or self._ended or self._damage is not None:
            return
        self._to_front(wanted_bytes)
        with memoryview(self._room) as view:
            while self._end < wanted_bytes and not self._ended:
                try:
                    count = self._content.read_into(view[self._end : self._end + READ_BYTES])
                except InputError as error:
                    self._damage = error
                    return
                self._end += count
                self._ended = count == 0

    def _to_front(self, wanted_bytes: int) -> None:
        """Move what is held to the beginning of memory with room for that many bytes."""
        held = self._end - self._begin
        room = self._room
        if len(room) < wanted_bytes + READ_BYTES:
            # Whoever still reads what was lent before keeps the old memory.
            self._room = bytearray(wanted_bytes + READ_BYTES)
        self._room[:held] = room[self._begin : self._end]
        self._begin, self._end = 0, held

    def _held(self, size: int) -> bytes:
        """The next ``size`` bytes, or all that are held; they stay held."""
        return bytes(self._room[self._begin : min(self._begin + size, self._end)])

    def _first_foreign(self, records: NDArray[np.void]) -> int:
        """Index of the first record that is not one of this schema (their number when all are)."""
        mark = (self.header.rtype << 8) + self._item_bytes // LENGTH_UNIT_BYTES
        good = records.view("<u2").reshape(len(records), self._item_bytes // 2)[:, 0] == mark
        return len(records) if bool(good.all()) else int(np.argmin(good))

    def _raise_damage(self) -> None:
        """Say why there is no next record; returns when the file simply ended."""
        held_bytes = self._end - self._begin
        if held_bytes >= self._item_bytes:
            words, rtype = self._held(2)
            length = words * LENGTH_UNIT_BYTES
            raise InputError(
                f"{self.path}: record {self._records} is no {self.header.schema} record:"
                f" rtype {rtype} and {length} bytes, not rtype {self.header.rtype} and {self._item_bytes} bytes",
                hint=AGAIN,
            )
        if self._damage is not None:
            raise InputError(f"{self._damage}, after {self._records} whole records", hint=AGAIN)
        if held_bytes:
            raise InputError(
                f"{self.path}: the file ends inside record {self._records}:"
                f" {held_bytes} of its {self._item_bytes} bytes are there",
                hint=AGAIN,
            )

    def _take(self, size: int) -> bytes:
        """``size`` bytes of the header. Raises InputError when the file ends before."""
        self._fill(size)
        taken = self._held(size)
        if len(taken) < size:
            if self._damage is not None:
                raise InputError(f"{self._damage}, inside the header", hint=AGAIN)
            raise InputError(f"{self.path}: the file ends inside its header, after {len(taken)} bytes", hint=AGAIN)
        self._begin += size
        return taken

    def _read_header(self) -> Header:
        self._fill(PRELUDE_BYTES)
        beginning = self._held(PRELUDE_BYTES)
        if not beginning.startswith(DBN_MAGIC):
            if self._damage is not None and not beginning:
                raise self._damage
            raise InputError(
                f"{self.path} is not a DBN file: it begins with {beginning!r}",
                hint="Give DBN files (.dbn or .dbn.zst) of the schemas " + _READ + ".",
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
            raise OtherSchemaError(
                f"{self.path} holds {schema} records; only {_READ} can be read",
                hint="Give one file per schema; mbp-10 is the book, trades are the trades.",
            )
        if schema == "definition":
            layout = _OLDER_DEFINITIONS.get(version, layout)
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
            start_ns=metadata.start,
        )
