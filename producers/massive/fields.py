"""Values out of a vendor's message, checked: every function raises RecordError that names the key and the value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from common.errors import RecordError

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
NS_PER_MS = 1_000_000
TEXT_MAX = 64

Message = Mapping[str, Any]


def message_of(value: Any, what: str) -> Message:
    """The value as a JSON object."""
    if not isinstance(value, dict):
        raise RecordError(f"{what} is {_shown(value)}, not an object")
    return value


def part(message: Message, key: str) -> Message:
    """The object under the key; empty where absent."""
    value = message.get(key)
    return {} if value is None else message_of(value, key)


def text(message: Message, key: str) -> str:
    """A short text that must be there."""
    value = message.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
        raise RecordError(f"{key} is {_shown(value)}, not a short text")
    return value


def integer(message: Message, key: str, greatest: int = INT32_MAX) -> int | None:
    """A whole number from 0 to ``greatest``, None where absent."""
    value = message.get(key)
    if value is None:
        return None
    if type(value) is not int and not (type(value) is float and value.is_integer()):
        raise RecordError(f"{key} is {_shown(value)}, not a whole number")
    if not 0 <= value <= greatest:
        raise RecordError(f"{key} is {_shown(value)}, not within 0..{greatest}")
    return int(value)


def required(value: int | None, key: str) -> int:
    """The value, which must be there."""
    if value is None:
        raise RecordError(f"{key} is missing")
    return value


def number(message: Message, key: str) -> float | None:
    """A finite number, None where absent."""
    value = message.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise RecordError(f"{key} is {_shown(value)}, not a number")
    return float(value)


def price(message: Message, key: str) -> float:
    """A price above 0 that must be there."""
    value = number(message, key)
    if value is None or not value > 0:
        raise RecordError(f"{key} is {_shown(message.get(key))}, not a price")
    return value


def side(message: Message, price_key: str, size_key: str) -> tuple[float | None, int | None]:
    """One side of a quote: price and size. The vendor says 0 or nothing where there is none: both are None then."""
    found = number(message, price_key)
    size = integer(message, size_key)
    if found is not None and found < 0:
        raise RecordError(f"{price_key} is {_shown(found)}, below 0")
    return (found, size) if found else (None, None)


def integers(message: Message, key: str) -> list[int]:
    """A list of small whole numbers, empty where absent."""
    value = message.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or any(type(item) is not int or not 0 <= item <= INT32_MAX for item in value):
        raise RecordError(f"{key} is {_shown(value)}, not a list of codes")
    return value


def milliseconds(message: Message, key: str) -> int:
    """A time in ms since the epoch that must be there, in ns."""
    value = required(integer(message, key, INT64_MAX // NS_PER_MS), key)
    if value == 0:
        raise RecordError(f"{key} is 0, not a time")
    return value * NS_PER_MS


def nanoseconds(message: Message, key: str) -> int | None:
    """A time in ns since the epoch, None where absent or 0."""
    return integer(message, key, INT64_MAX) or None


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= TEXT_MAX else shown[:TEXT_MAX] + "…"
