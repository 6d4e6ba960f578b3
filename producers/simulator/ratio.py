"""ES over SPY in the made-up session: about 10.05, slowly moving."""

from __future__ import annotations

START_NS = 1_748_957_370_000_000_000
"""2025-06-03 13:29:30 UTC, half a minute before the regular session opens."""

RTH_OPEN_NS = START_NS + 30_000_000_000
"""2025-06-03 13:30 UTC."""

CLOSE_NS = RTH_OPEN_NS + 23_400_000_000_000
"""2025-06-03 20:00 UTC, when the regular session ends and its options expire."""

NS_PER_S = 1_000_000_000
TICKS_PER_POINT = 4

_LEAST, _SPAN = 10.0494, 0.0012
_SWING_S = 400


def ratio_at(ts_ns: int) -> float:
    """ES points per dollar of SPY: from 10.0494 to 10.0506 and back, each way within 400 s."""
    place = (ts_ns - START_NS) / (_SWING_S * NS_PER_S) % 2.0
    return _LEAST + _SPAN * min(place, 2.0 - place)


def tick_at(usd: float, ts_ns: int) -> int:
    """The ES tick nearest to a price of SPY."""
    return int(usd * ratio_at(ts_ns) * TICKS_PER_POINT + 0.5)
