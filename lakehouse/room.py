"""The memory that the sinks of one process share for what they have read and not committed."""

from __future__ import annotations

from lakehouse import metrics


class Room:
    """At most about ``size_bytes`` in all: a sink that finds the room full commits what it holds, or reads nothing.

    It may be overshot by what the sinks read in one step. Thread-safe: each holder writes only its own entry.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._held: dict[str, int] = {}

    def hold(self, holder: str, size_bytes: int) -> None:
        """Say how much the holder has now."""
        self._held[holder] = size_bytes
        metrics.HELD.labels(holder).set(size_bytes)

    @property
    def full(self) -> bool:
        """True when nothing more should be read."""
        return sum(tuple(self._held.values())) >= self._size_bytes
