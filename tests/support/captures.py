"""Small capture files for tests, made message by message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import zstandard

from producers.massive.capture import line_of
from tests.support.dbn_files import BASE_NS

BASE_MS = BASE_NS // 1_000_000
CALL, PUT = "O:SPY250603C00597000", "O:SPY250603P00596000"


def stock_trade(ms: int, **fields: object) -> dict[str, Any]:
    """A trade of SPY at BASE_NS plus ``ms``."""
    return {
        "ev": "T",
        "sym": "SPY",
        "x": 4,
        "i": "1",
        "z": 1,
        "p": 597.01,
        "s": 100,
        "c": [],
        "t": BASE_MS + ms,
        **fields,
    }


def stock_quote(ms: int, **fields: object) -> dict[str, Any]:
    """A quote of SPY at BASE_NS plus ``ms``."""
    quote = {"ev": "Q", "sym": "SPY", "bx": 11, "bp": 597.0, "bs": 300, "ax": 12, "ap": 597.01, "as": 200, "z": 1}
    return {**quote, "t": BASE_MS + ms, "q": 1, **fields}


def option_trade(ms: int, **fields: object) -> dict[str, Any]:
    """A trade of a SPY call at BASE_NS plus ``ms``."""
    return {"ev": "T", "sym": CALL, "x": 302, "p": 1.54, "s": 10, "c": [209], "t": BASE_MS + ms, "q": 1, **fields}


def option_quote(ms: int, **fields: object) -> dict[str, Any]:
    """A quote of a SPY call at BASE_NS plus ``ms``."""
    quote = {"ev": "Q", "sym": CALL, "bx": 302, "ax": 303, "bp": 1.52, "ap": 1.54, "bs": 17, "as": 24}
    return {**quote, "t": BASE_MS + ms, "q": 1, **fields}


def chain_entry(ms: int, **fields: object) -> dict[str, Any]:
    """A contract of a chain snapshot whose underlying was updated at BASE_NS plus ``ms``."""
    return {
        "details": {"ticker": CALL, "contract_type": "call"},
        "greeks": {"delta": 0.5, "gamma": 0.16, "theta": -1.1, "vega": 0.06},
        "implied_volatility": 0.15,
        "open_interest": 8133,
        "underlying_asset": {"ticker": "SPY", "last_updated": (BASE_MS + ms) * 1_000_000},
        **fields,
    }


def line(channel: str, messages: Sequence[Mapping[str, Any]], recv_ms: int = 0) -> bytes:
    """One line of a capture, without its end."""
    return line_of((BASE_MS + recv_ms) * 1_000_000, channel, orjson.dumps(messages)).rstrip()


def write(path: Path, lines: Sequence[bytes]) -> Path:
    """Write a capture, compressed when its name ends in .zst."""
    raw = b"".join(item + b"\n" for item in lines)
    path.write_bytes(zstandard.compress(raw) if path.suffix == ".zst" else raw)
    return path
