"""Times as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime

from common.errors import ConfigError


def parse_time(text: str) -> int:
    """ISO 8601 (UTC unless it says otherwise) or ns since the epoch. Raises ConfigError."""
    if text.isdecimal() and len(text) > 8:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a time", hint="Write it as 2023-12-25T23:30:00 (UTC), or as ns since 1970."
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def shown_time(ts_ns: int) -> str:
    """A time as people read it: UTC to the millisecond."""
    return datetime.fromtimestamp(ts_ns // 1_000_000 / 1_000, UTC).isoformat(sep=" ", timespec="milliseconds")[:23]
