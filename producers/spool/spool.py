"""The spool's files: segments of frames, written before they are sent, deleted when they are acknowledged.

Durability. A frame is handed to the operating system when it is appended: it outlives a kill of the process. It is
synced to the disk once the oldest unsynced frame is `Limits.sync_s` old or `Limits.sync_bytes` are unsynced, and
whenever a segment ends: then it outlives the machine. While the broker acknowledges at once, frames leave before that
and nothing is synced. A frame that was being written at a crash is cut off when the spool is opened again; a damaged
frame elsewhere cannot come from a crash and is refused.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import ConflictError, InputError, InvariantError, UnavailableError
from common.telemetry import get_logger
from producers.spool.frames import OUTER_BYTES, Frame, body_bytes, packed, unpacked

log = get_logger("producers.spool")

SUFFIX = ".spool"
SEGMENT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """``total_bytes``: when so much is held, there is no room (the last frames may go over it).

    ``sync_s``, ``sync_bytes``: age of the oldest and amount of unsynced frames at which they are synced.
    """

    total_bytes: int = 4 << 30
    segment_bytes: int = SEGMENT_BYTES
    sync_s: float = 0.5
    sync_bytes: int = 4 << 20


@dataclass(slots=True)
class Place:
    """Where the next frame is read: a segment (by the sequence number of its first frame) and a byte in it."""

    segment: int
    byte: int


@dataclass(slots=True)
class _Segment:
    first: int
    size: int


class Spool:
    """The spool in ``folder``, opened by one process at a time. ``sync`` is `os.fsync`.

    Opening cuts off a torn last frame. Raises ConflictError when another process has it, InvariantError for damage.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.folder = folder
        self.limits = limits or Limits()
        self._clock_s = clock_s
        self._sync_file = sync
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        self.next_sequence = 0
        self.synced_sequence = 0
        """Every frame before it is on the disk, or was acknowledged."""
        self._unsynced_bytes = 0
        self._unsynced_s = 0.0
        self._released = 0
        self._folder_changed = False
        self._reading: tuple[int, int] | None = None
        self._segments = self._opened()
        self._file = -1
        self._begin_segment()

    def close(self) -> None:
        """Sync and let go of the folder; when everything is acknowledged, no segment stays."""
        self.sync()
        os.close(self._file)
        for segment in self._segments:
            if segment.size == 0 or self._released == self.next_sequence:
                self._delete(segment)
        self._stop_reading()
        os.close(self._lock)

    @property
    def size_bytes(self) -> int:
        """What the spool takes on the disk."""
        return sum(segment.size for segment in self._segments)

    @property
    def has_room(self) -> bool:
        """Whether another frame may be appended."""
        return self.size_bytes < self.limits.total_bytes

    @property
    def begin(self) -> Place:
        """Where the oldest frame stands."""
        return Place(self._segments[0].first, 0)

    @property
    def end(self) -> Place:
        """Where the next frame will stand."""
        last = self._segments[-1]
        return Place(last.first, last.size)

    def append(self, frame: Frame) -> int:
        """Write a frame; returns its sequence number. Raises UnavailableError when the disk refuses it."""
        if self._segments[-1].size >= self.limits.segment_bytes:
            self.sync()
            os.close(self._file)
            self._begin_segment()
        sequence = self.next_sequence
        content = packed(sequence, frame)
        self._write(content)
        self.next_sequence += 1
        self._segments[-1].size += len(content)
        if self._unsynced_bytes == 0:
            self._unsynced_s = self._clock_s()
        self._unsynced_bytes += len(content)
        return sequence

    def sync_due(self) -> None:
        """Sync when it is time to; call it often."""
        late = self._clock_s() - self._unsynced_s >= self.limits.sync_s
        if self._unsynced_bytes and (late or self._unsynced_bytes >= self.limits.sync_bytes):
            self.sync()

    def sync(self) -> None:
        """Put everything appended onto the disk."""
        if self._unsynced_bytes:
            self._sync_file(self._file)
            if self._folder_changed:
                self._sync_folder()
        self._unsynced_bytes = 0
        self.synced_sequence = self.next_sequence

    def release(self, sequence: int) -> None:
        """Every frame before ``sequence`` is acknowledged: segments that hold no others are deleted."""
        self._released = max(self._released, sequence)
        while len(self._segments) > 1 and self._segments[1].first <= self._released:
            self._delete(self._segments.pop(0))
        last = self._segments[-1]
        if self._released == self.next_sequence:
            self._unsynced_bytes = 0
            self.synced_sequence = self.next_sequence
            if last.size >= self.limits.segment_bytes // 16:
                os.close(self._file)
                self._begin_segment()
                self._delete(self._segments.pop(0))

    def read(self, place: Place) -> tuple[int, Frame] | None:
        """The frame at ``place``, which moves behind it; None at the end. Raises InvariantError for damage."""
        while True:
            segment = next((s for s in self._segments if s.first >= place.segment), None)
            if segment is None:
                return None
            if segment.first > place.segment:
                place.segment, place.byte = segment.first, 0
            if place.byte < segment.size:
                break
            if segment is self._segments[-1]:
                return None
            place.segment, place.byte = place.segment + 1, 0
        try:
            sequence, frame, size = self._frame_at(segment.first, place.byte)
        except InputError as error:
            raise self._damaged(segment.first, place.byte, error) from error
        place.byte += size
        return sequence, frame

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """All frames, oldest first, with their sequence numbers."""
        place = self.begin
        while (found := self.read(place)) is not None:
            yield found

    # Files

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:020d}{SUFFIX}"

    def _locked(self) -> int:
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise ConflictError(
                f"the spool {self.folder} is another producer's",
                hint="One live producer per vendor and home: stop the other one, or use another --home.",
            ) from None
        return handle

    def _opened(self) -> list[_Segment]:
        firsts = sorted(int(path.stem) for path in self.folder.glob(f"*{SUFFIX}"))
        segments = []
        for first in firsts:
            size = self._path(first).stat().st_size
            whole = self._whole_bytes(first, size)
            if whole < size:
                if first != firsts[-1]:
                    raise self._damaged(first, whole, "a damaged frame")
                log.warning("torn_frame_cut_off", segment=self._path(first).name, at=whole, bytes=size - whole)
                os.truncate(self._path(first), whole)
            segments.append(_Segment(first, whole))
        self._stop_reading()
        for empty in [segment for segment in segments if segment.size == 0]:
            self._path(empty.first).unlink()
        kept = [segment for segment in segments if segment.size]
        # A process that was killed may have left them with the operating system only.
        for segment in kept:
            self._sync_file(self._reader(segment.first))
        self._stop_reading()
        if kept:
            self._sync_folder()
        self.synced_sequence = self.next_sequence
        return kept

    def _whole_bytes(self, first: int, size: int) -> int:
        """Bytes of the segment's whole frames; the next sequence number follows the last of them."""
        self.next_sequence = max(self.next_sequence, first)
        byte = 0
        while byte < size:
            try:
                sequence, _, length = self._frame_at(first, byte)
            except InputError:
                return byte
            if sequence != self.next_sequence:
                raise self._damaged(first, byte, f"frame {sequence} where {self.next_sequence} belongs")
            self.next_sequence += 1
            byte += length
        return byte

    def _frame_at(self, first: int, byte: int) -> tuple[int, Frame, int]:
        handle = self._reader(first)
        length, checksum = body_bytes(os.pread(handle, OUTER_BYTES, byte))
        body = os.pread(handle, length, byte + OUTER_BYTES)
        if len(body) < length:
            raise InputError(f"{len(body)} of {length} bytes of a frame")
        sequence, frame = unpacked(body, checksum)
        return sequence, frame, OUTER_BYTES + length

    def _reader(self, first: int) -> int:
        if self._reading is None or self._reading[0] != first:
            self._stop_reading()
            self._reading = first, os.open(self._path(first), os.O_RDONLY)
        return self._reading[1]

    def _stop_reading(self) -> None:
        if self._reading is not None:
            os.close(self._reading[1])
            self._reading = None

    def _begin_segment(self) -> None:
        path = self._path(self.next_sequence)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._segments.append(_Segment(self.next_sequence, 0))
        self._folder_changed = True

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            self._sync_file(folder)
        finally:
            os.close(folder)
        self._folder_changed = False

    def _delete(self, segment: _Segment) -> None:
        if self._reading is not None and self._reading[0] == segment.first:
            self._stop_reading()
        self._path(segment.first).unlink(missing_ok=True)

    def _write(self, content: bytes) -> None:
        size = self._segments[-1].size
        try:
            written = os.write(self._file, content)
            while written < len(content):
                written += os.write(self._file, content[written:])
        except OSError as error:
            # What is half written would stand before the next frame.
            os.ftruncate(self._file, size)
            raise UnavailableError(
                f"the spool {self.folder} cannot be written: {error.strerror}",
                hint="Make room on the disk, or set BREAKWATER_SPOOL_BYTES lower.",
            ) from error

    def _damaged(self, first: int, byte: int, what: object) -> InvariantError:
        return InvariantError(
            f"the spool's segment {self._path(first)} is damaged at byte {byte}: {what}",
            hint="The disk lost what was written. Move the segment away to go on without its records.",
        )
