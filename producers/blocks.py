"""A file's bytes, plain or zstd, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import zstandard

from common.errors import InputError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
READ_BYTES = 32 << 10
"""Of a compressed file; what it becomes stays in the nearer caches until it is copied."""

AGAIN = "Download or copy the file again and run the same command; what was published before the damage is kept."


def blocks(path: Path) -> Iterator[bytes]:
    """The file's bytes, decompressed, block by block.

    Raises InputError without position words, which the caller adds.
    """
    try:
        with path.open("rb") as file:
            first = file.read(READ_BYTES)
            if not first:
                raise InputError(f"{path} is empty", hint="Give a file with records.")
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
