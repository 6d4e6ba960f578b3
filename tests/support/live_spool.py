"""A spool that is watched: what was written into it, and how much of that is on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.avro import decode_row
from common.schemas import load
from common.topics import DEAD_LETTERS
from producers.letters.letter import letter_of
from producers.spool import Frame, Limits, Spool
from tests.support.producer_run import Schemas

WRITER = Schemas().schema


@dataclass(frozen=True, slots=True)
class _Written:
    sequence: int
    at_ns: int
    inode: int
    end: int
    keys: tuple[tuple[str, bytes], ...]


class WatchedSpool(Spool):
    """``synced``: bytes on the disk by inode, kept over deaths. ``at_sync``: before (False) and after each fsync.

    ``written``: topic and value of every record that was appended; of a dead letter its place.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        clock_ns: Callable[[], int],
        synced: dict[int, int],
        at_sync: Callable[[bool], None],
    ) -> None:
        self._now_ns = clock_ns
        self._synced = synced
        self._at_sync = at_sync
        self._journal: list[_Written] = []
        self.written: set[tuple[str, bytes]] = set()
        super().__init__(folder, limits, lambda: clock_ns() / 1e9, self._note_sync)

    def append(self, frame: Frame) -> int:
        """As `Spool.append`."""
        sequence = super().append(frame)
        found = os.fstat(self._file)
        keys = tuple((frame.topic, _key(frame.topic, value)) for value in frame.values)
        self._journal.append(_Written(sequence, self._now_ns(), found.st_ino, found.st_size, keys))
        self.written.update(keys)
        return sequence

    def release(self, sequence: int) -> None:
        """As `Spool.release`."""
        super().release(sequence)
        self._journal = [entry for entry in self._journal if entry.sequence >= sequence]

    def unsynced(self) -> set[tuple[str, bytes]]:
        """What was written, is not acknowledged, and is not on the disk."""
        return {key for entry in self._off_disk() for key in entry.keys}

    def oldest_unsynced_ns(self) -> int | None:
        """When the oldest of that was written."""
        return min((entry.at_ns for entry in self._off_disk()), default=None)

    def _off_disk(self) -> list[_Written]:
        return [entry for entry in self._journal if entry.end > self._synced.get(entry.inode, 0)]

    def _begin_segment(self) -> None:
        super()._begin_segment()
        # A new file may have a deleted one's inode.
        self._synced.pop(os.fstat(self._file).st_ino, None)

    def _note_sync(self, handle: int) -> None:
        self._at_sync(False)
        found = os.fstat(handle)
        self._synced[found.st_ino] = found.st_size
        self._at_sync(True)


def _key(topic: str, value: bytes) -> bytes:
    if topic != DEAD_LETTERS:
        return value
    return str(letter_of(decode_row(load(DEAD_LETTERS), value, WRITER)).place).encode()
