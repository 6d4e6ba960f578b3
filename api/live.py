"""The recent snaps in memory: written by the feed's thread, read by request handlers and WebSocket tasks."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from api.snaps import AnySnap, FlowSnap, Snap

RING_SNAPS = 4_800
"""Snaps kept for resuming clients and for history's newest rows: twenty minutes at a snap each 250 ms."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A reader's place.

    The ``index``-th snap since the API began to read has been seen, in this ``epoch`` of the log.
    """

    epoch: int
    index: int


@dataclass(frozen=True, slots=True)
class Ahead(Generic[AnySnap]):
    """What lies ahead of a mark.

    ``next`` is the snap after it, None when there is none or it is ``lost`` (no longer kept, or the log was replaced).
    ``newest`` and ``newest_mark`` are the end; ``behind`` counts the snaps from the mark to there.
    """

    next: AnySnap | None
    newest: AnySnap | None
    newest_mark: Mark
    behind: int
    lost: bool


class LiveSnaps(Generic[AnySnap]):
    """A ring of the newest snaps. Thread-safe."""

    def __init__(self, ring_snaps: int = RING_SNAPS) -> None:
        self._ring_snaps = ring_snaps
        self._lock = threading.Lock()
        self._snaps: list[AnySnap] = []
        """The kept ones are the last ``ring_snaps``; older ones are cut off now and then."""
        self._base = 0
        """Index of ``_snaps[0]``."""
        self._epoch = 0
        self._from_log_begin = False
        self._listeners: list[Callable[[], None]] = []

    def start(self, *, from_log_begin: bool) -> None:
        """Forget everything: the reading begins (again), at the log's first record or not. Listeners stay."""
        with self._lock:
            self._base += len(self._snaps)
            self._snaps = []
            self._epoch += 1
            self._from_log_begin = from_log_begin
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def append(self, snaps: Sequence[AnySnap]) -> None:
        """Take new snaps, oldest first, and tell the listeners once."""
        if not snaps:
            return
        with self._lock:
            self._snaps.extend(snaps)
            if len(self._snaps) > self._ring_snaps:
                self._from_log_begin = False
            if len(self._snaps) > 2 * self._ring_snaps:
                surplus = len(self._snaps) - self._ring_snaps
                del self._snaps[:surplus]
                self._base += surplus
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` (from the feed's thread) after every change. Returns what ends it."""
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return end

    @property
    def latest(self) -> AnySnap | None:
        """The newest whole snap."""
        with self._lock:
            return self._snaps[-1] if self._snaps else None

    def all(self) -> tuple[list[AnySnap], bool]:
        """All snaps kept, oldest first, and whether the first of them is the first of the log."""
        with self._lock:
            return self._snaps[-self._ring_snaps :], self._from_log_begin

    def ahead(self, mark: Mark) -> Ahead[AnySnap]:
        """What a reader at ``mark`` has not seen yet."""
        with self._lock:
            end = self._base + len(self._snaps)
            newest = self._snaps[-1] if self._snaps else None
            lost = mark.epoch != self._epoch or mark.index + 1 < self._oldest_index()
            behind = end - 1 - mark.index
            following = None if lost or behind == 0 else self._snaps[mark.index + 1 - self._base]
            return Ahead(following, newest, Mark(self._epoch, end - 1), behind, lost)

    def mark_after(self, since_seq: int) -> tuple[Mark | None, str]:
        """The place of a reader that has seen everything up to ``since_seq``.

        Or None, and why it cannot go on from there.
        """
        with self._lock:
            if not self._snaps:
                return None, "there is no snap yet"
            oldest_index = self._oldest_index()
            oldest, newest = self._snaps[oldest_index - self._base], self._snaps[-1]
            if since_seq > newest.seq:
                return None, f"since_seq {since_seq} is beyond the newest snap, {newest.seq}"
            floor = oldest.seq if oldest.prev_seq is None else oldest.prev_seq
            if since_seq < floor and not self._from_log_begin:
                return None, f"since_seq {since_seq} is too old: {floor} is the oldest that can be resumed"
            position = bisect_right(self._snaps, since_seq, key=lambda snap: snap.seq)
            return Mark(self._epoch, max(self._base + position, oldest_index) - 1), ""

    def _oldest_index(self) -> int:
        return self._base + max(0, len(self._snaps) - self._ring_snaps)


LiveSignals = LiveSnaps[Snap]
LiveFlow = LiveSnaps[FlowSnap]
