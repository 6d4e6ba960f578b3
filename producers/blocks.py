"""A file's bytes, plain or zstd, in order: into a reader's own memory, or block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from common.errors import InputError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
READ_BYTES = 128 << 10
"""Of the content; small enough to stay in the nearer caches until it is used."""

AGAIN = "Download or copy the file again and run the same command; what was published before the damage is kept."


class Content:
    """The content of a file, decompressed where it is zstd. Raises InputError when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                begins = file.read(len(ZSTD_MAGIC))
            self._compressed = begins == ZSTD_MAGIC
            self._open()
        except FileNotFoundError:
            raise InputError(f"{path} does not exist", hint="Check the path.") from None
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: {error.strerror}", hint="Check the path and its permissions."
            ) from None
        self._handed_out_bytes = 0
        self._salvaged = False
        if not begins:
            raise InputError(f"{path} is empty", hint="Give a file with records.")

    def _open(self) -> None:
        self._file = pa.OSFile(str(self._path))
        self._stream = pa.CompressedInputStream(self._file, "zstd") if self._compressed else self._file

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._file.close()

    def read_into(self, room: memoryview) -> int:
        """Fill ``room`` with what comes next. Returns how many bytes there were, fewer than asked for only before the
        end or damage, and 0 at the end.

        Raises InputError, once everything before it was handed out, where the file is damaged or ends too early.
        """
        try:
            count = self._stream.readinto(room)
        except OSError as error:
            count = 0 if self._salvaged else self._salvage(room)
            if count == 0:
                raise self._damage(error) from error
        self._handed_out_bytes += count
        return int(count)

    def _salvage(self, room: memoryview) -> int:
        """What can be had before the damage: the stream does not say how much of a failed read it had written."""
        self._salvaged = True
        self.close()
        self._open()
        left = self._handed_out_bytes
        while left:
            left -= self._stream.readinto(room[:left])
        count = 0
        try:
            while count < len(room):
                count += self._stream.readinto(room[count : count + 1])
        except OSError:
            return count
        return count

    def _damage(self, error: OSError) -> InputError:
        position = self._file.tell()
        if "Truncated" in str(error):
            what = f"{self._path}: the zstd stream is truncated: the file ends at byte {position} inside a frame"
        else:
            what = f"{self._path}: the zstd stream is damaged near byte {position}: {error}"
        return InputError(what, hint=AGAIN)


def blocks(path: Path) -> Iterator[bytes]:
    """The file's bytes, decompressed, block by block.

    Raises InputError without position words, which the caller adds.
    """
    content = Content(path)
    try:
        room = memoryview(bytearray(READ_BYTES))
        while count := content.read_into(room):
            yield bytes(room[:count])
    finally:
        content.close()
