"""Sessions of landmarks on real dates, and what they hold."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from common import prices
from common.sessions import cme_es_sessions
from processors.engine.landmarks import LandmarkArrays, begin_session, empty
from tests.support.universe import parameters_of

NEW_YORK = ZoneInfo("America/New_York")
P = parameters_of()
SNAP_NS = int(P["snap_ns"])
ABSENT = int(prices.ABSENT)
NONE = (ABSENT, ABSENT)


def at(date: int, hour: int, minute: int = 0, ns: int = 0) -> int:
    """A time of day in New York."""
    moment = datetime(date // 10_000, date // 100 % 100, date % 100, hour, minute, tzinfo=NEW_YORK)
    return int(moment.timestamp()) * 10**9 + ns


def begin(lm: LandmarkArrays, date: int) -> LandmarkArrays:
    table = cme_es_sessions()
    n = list(table.date).index(date)
    begin_session(lm, int(table.rth_open_ns[n]), int(table.rth_close_ns[n]))
    return lm


def session(date: int = 20250603) -> LandmarkArrays:
    return begin(empty(8192), date)


def get(lm: LandmarkArrays, *fields: str) -> tuple[int, ...]:
    return tuple(int(lm.scalars[name][0]) for name in fields)


def span(lm: LandmarkArrays, name: str) -> tuple[int, ...]:
    return get(lm, f"{name}_high", f"{name}_low")
