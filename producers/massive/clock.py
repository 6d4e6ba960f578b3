"""What time it is at the vendor, as far as its messages tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class VendorClock:
    """The newest time that was heard, carried on by the time that has passed here since.

    The vendor sends no heartbeats with a time, so its messages' times are its clock. Unlike the time of receipt it is
    right whatever our own clock says, and when a recorded day is played again. All times are ns since the epoch.
    """

    _newest_ns: int = 0
    _heard_ns: int = 0

    def heard(self, ts_event_ns: int, received_ns: int) -> None:
        """A message of ``ts_event_ns`` came at ``received_ns`` by our clock; one older than another says nothing."""
        if ts_event_ns > self._newest_ns:
            self._newest_ns, self._heard_ns = ts_event_ns, received_ns

    def at(self, now_ns: int) -> int:
        """The vendor's time when ours is ``now_ns``; 0 before the first message."""
        if self._newest_ns == 0:
            return 0
        return self._newest_ns + max(now_ns - self._heard_ns, 0)
