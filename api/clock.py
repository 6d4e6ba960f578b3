"""Times in requests: ISO 8601 or integer ns, to integer ns since the epoch, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from common.errors import InputError

_ISO = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d{1,9}))?"
    r"(?P<zone>[Zz]|[+\- ]\d{2}:?\d{2})?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_NS = 1_000_000_000_000_000
"""Integers below it, zero apart, are seconds or ms by mistake: as ns they would mean the first days of 1970."""
_MOST_NS = 2**63 - 1


def parse_time_ns(name: str, text: str) -> int:
    """``text`` of the parameter ``name`` as ns since the epoch, UTC.

    Takes an integer (ns) or ISO 8601 to the ns; a time without an offset is UTC, a date is its midnight. A ``+`` that
    a query string turned into a blank is understood. Raises InputError that names parameter and value.
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,19}", text):
        return _from_integer(name, text)
    match = _ISO.fullmatch(text)
    if match is None:
        raise _unreadable(name, text)
    zone = (match["zone"] or "Z").upper().replace(" ", "+")
    try:
        found = datetime.fromisoformat(f"{match['date']}T{match['time'] or '00:00'}{zone}")
        since = found - _EPOCH
    except (ValueError, OverflowError):
        raise _unreadable(name, text) from None
    ns = since // timedelta(seconds=1) * 1_000_000_000 + int((match["fraction"] or "0").ljust(9, "0"))
    if not 0 <= ns <= _MOST_NS:
        raise InputError(f"{name}={text} is not between 1970 and 2262", hint="Times are ns since the epoch in 64 bits.")
    return ns


def _from_integer(name: str, text: str) -> int:
    value = int(text)
    if 0 < value < _LEAST_NS:
        raise InputError(
            f"{name}={text} is not ns since the epoch: it would be in January 1970",
            hint="Give ns (19 digits), not seconds or ms, or ISO 8601 such as 2023-12-25T23:00:00Z.",
        )
    if value > _MOST_NS:
        raise InputError(f"{name}={text} does not fit 64 bits", hint="Give ns since the epoch (19 digits).")
    return value


def _unreadable(name: str, text: str) -> InputError:
    return InputError(
        f"{name}={text} is not a time",
        hint="Give ISO 8601, such as 2023-12-25T23:00:00Z, or integer ns since the epoch.",
    )


def iso(ts_ns: int) -> str:
    """ISO 8601 in UTC to the ms, for messages."""
    return moment(ts_ns).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(ts_ns: int) -> datetime:
    """The time as a datetime in UTC, cut to the microsecond."""
    return _EPOCH + timedelta(microseconds=ts_ns // 1_000)
