"""A frame of the spool: records of one topic as they go into the log, with a checksum.

Little endian: ``length`` uint32 and ``crc32`` uint32 of what follows; ``sequence`` uint64, ``first_offset`` int64,
``count`` uint32, the topic's length uint16 and its name, ``count`` uint32 lengths of values, the values.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np

from common.errors import InputError

SHARED: Final = -1
"""``first_offset`` of a frame for a topic with other writers, where nobody can know it."""

_OUTER = struct.Struct("<II")
_INNER = struct.Struct("<QqIH")
OUTER_BYTES = _OUTER.size
FRAME_BYTES_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Frame:
    """Framed records of the schema ``topic``, the first of which gets ``first_offset`` in the log.

    ``received_s``: when the oldest left the socket, by this process's monotonic clock; 0 when it is not known.
    """

    topic: str
    first_offset: int
    values: list[bytes]
    received_s: float = 0.0


def packed(sequence: int, frame: Frame) -> bytes:
    """The frame's bytes."""
    name = frame.topic.encode()
    lengths = np.fromiter(map(len, frame.values), "<u4", len(frame.values)).tobytes()
    head = _INNER.pack(sequence, frame.first_offset, len(frame.values), len(name))
    body = b"".join((head, name, lengths, *frame.values))
    return _OUTER.pack(len(body), zlib.crc32(body)) + body


def body_bytes(head: bytes) -> tuple[int, int]:
    """Length and checksum of the body that follows these `OUTER_BYTES`. Raises InputError for what can be none."""
    if len(head) < OUTER_BYTES:
        raise InputError(f"{len(head)} of {OUTER_BYTES} bytes of a frame's head")
    length, checksum = _OUTER.unpack(head)
    if not _INNER.size <= length <= FRAME_BYTES_MAX:
        raise InputError(f"a frame of {length} bytes")
    return length, checksum


def unpacked(body: bytes, checksum: int) -> tuple[int, Frame]:
    """Sequence number and frame. Raises InputError when the checksum is another's."""
    if zlib.crc32(body) != checksum:
        raise InputError("a frame's checksum is wrong")
    sequence, first_offset, count, name_bytes = _INNER.unpack_from(body)
    lengths_at = _INNER.size + name_bytes
    topic = body[_INNER.size : lengths_at].decode()
    lengths = np.frombuffer(body, "<u4", count, lengths_at)
    ends = (lengths_at + 4 * count + np.cumsum(lengths, dtype=np.int64)).tolist()
    values = []
    begin = lengths_at + 4 * count
    for end in ends:
        values.append(body[begin:end])
        begin = end
    return sequence, Frame(topic, first_offset, values)
