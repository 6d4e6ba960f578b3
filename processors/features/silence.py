"""Which inputs have kept the others waiting for too long (DESIGN §5). Pure: the caller brings the time."""

from __future__ import annotations

from collections.abc import Collection

from common.topics import ALWAYS_AWAITED
from processors.engine.order import Merger


class Silence:
    """Times how long each input has said nothing while the others wait for it.

    The wait counts from what it said last, from when the others went beyond its promise, or from ``begun_s``, whichever
    is latest: an input that starts a moment after ES is given its time. Times are seconds of one monotonic clock.
    """

    def __init__(self, timeout_s: float, begun_s: float) -> None:
        self._timeout_s = timeout_s
        self._begun_s = begun_s
        self._heard_s: dict[str, float] = {}
        self._behind_s: dict[str, float] = {}

    def heard(self, names: Collection[str], now_s: float) -> None:
        """A record or a heartbeat of each of these inputs was read."""
        self._heard_s.update(dict.fromkeys(names, now_s))

    def overdue(self, merger: Merger, files_open: Collection[str], now_s: float) -> list[str]:
        """The inputs to put aside now, in rank order: they hold the merge back and were silent for the timeout.

        ``files_open``: inputs that are files whose source is connected. Like ES they are waited for however long it
        takes, so that a replay of the same files gives the same bytes.
        """
        promises_ns = merger.promises_ns
        kept = [name for name in merger.awaited if name in ALWAYS_AWAITED or name in files_open]
        reached_ns = min((promises_ns[name] for name in kept), default=merger.floor_ns)
        behind = {n: self._behind_s.get(n, now_s) for n in merger.awaited if promises_ns[n] < reached_ns}
        self._behind_s = behind
        return [
            name
            for name, since_s in behind.items()
            if promises_ns[name] <= merger.floor_ns
            and now_s - max(since_s, self._heard_s.get(name, self._begun_s)) >= self._timeout_s
        ]
