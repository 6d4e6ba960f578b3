"""A few seconds of SPY and its options as a tape, and fault schedules, from a seed."""

from __future__ import annotations

import random
from pathlib import Path

import orjson
import zstandard

from producers.massive.capture import line_of
from producers.massive.strikes import day_name, expiries
from producers.massive.symbols import OptionSymbol
from tests.support.dbn_files import BASE_NS
from tests.support.massive_play import Fault, Played, PlayedFrame

MS = 1_000_000
STRIKES = range(585, 613)


def market(seed: int, seconds: int = 4) -> list[PlayedFrame]:
    """SPY wanders by dollars, so that its strikes change; every contract is quoted and traded."""
    rng = random.Random(f"market-{seed}")
    spot_cents, out, number = 59_900, [], 0
    days = expiries(BASE_NS)
    for ms in range(0, seconds * 1_000, 5):
        spot_cents += rng.choice((-19, -9, 9, 19))
        for channel in ("stocks", "options"):
            if rng.random() < 0.3:
                continue
            bodies = [_body(rng, channel, ms, number + i, spot_cents, days) for i in range(rng.randint(1, 4))]
            messages = [
                Played(number + i, channel, f"{body['ev']}.{body['sym']}", body) for i, body in enumerate(bodies)
            ]
            out.append(PlayedFrame(BASE_NS + ms * MS, channel, tuple(messages)))
            number += len(messages)
    return out


def write_market(path: Path, seed: int, seconds: int) -> Path:
    """The tape as a capture, with a snapshot of the chain every second."""
    frames = market(seed, seconds)
    lines = [(f.at_ns, line_of(f.at_ns, f.channel, orjson.dumps([m.body for m in f.messages]))) for f in frames]
    for second in range(seconds):
        at_ns = BASE_NS + second * 1_000 * MS
        entries = [
            _entry(day, right, strike, second) for day in expiries(BASE_NS) for right in (0, 1) for strike in STRIKES
        ]
        lines.append((at_ns, line_of(at_ns, "chain", orjson.dumps(entries))))
    path.write_bytes(zstandard.compress(b"".join(line for _, line in sorted(lines, key=lambda line: line[0]))))
    return path


def _entry(day: int, right: int, strike: int, second: int) -> dict[str, object]:
    symbol = OptionSymbol("SPY", day, right, strike * 1_000)
    return {
        "details": {"ticker": str(symbol), "strike_price": strike, "expiration_date": day_name(day)},
        "greeks": {"delta": 0.5, "gamma": 0.01 * (second + 1), "theta": -1.0, "vega": 0.1},
        "implied_volatility": 0.2,
        "open_interest": 1_000 + strike,
        "underlying_asset": {"ticker": "SPY", "last_updated": BASE_NS + second * 1_000 * MS},
    }


def _body(
    rng: random.Random, channel: str, ms: int, number: int, spot_cents: int, days: tuple[int, ...]
) -> dict[str, object]:
    head = {"t": BASE_NS // MS + ms - rng.randint(0, 30), "q": number + 1}
    if channel == "stocks":
        sides = {"bp": spot_cents / 100, "bs": 100, "ap": (spot_cents + 1) / 100, "as": 200}
        trade = {"p": spot_cents / 100, "s": 100, "x": 4, "i": str(number), "c": []}
        return (
            {"ev": "Q", "sym": "SPY", **sides, **head}
            if rng.random() < 0.6
            else {"ev": "T", "sym": "SPY", **trade, **head}
        )
    symbol = str(OptionSymbol("SPY", rng.choice(days), rng.randint(0, 1), rng.choice(STRIKES) * 1_000))
    if rng.random() < 0.6:
        return {"ev": "Q", "sym": symbol, "bp": 1.5, "bs": 10, "ap": 1.6, "as": 20, **head}
    return {"ev": "T", "sym": symbol, "p": 1.6, "s": 3, "x": 302, "c": [209], **head}


def schedule(seed: int) -> list[Fault]:
    """One to eight things that go wrong, at random moments of both channels."""
    rng = random.Random(f"faults-{seed}")
    kinds = ("drop", "drop", "stall", "reorder", "duplicate", "garbage")
    faults = [
        Fault(
            rng.choice(("stocks", "options")),
            rng.randint(5, 900),
            rng.choice(kinds),
            rng.randint(1, 6),
            rng.uniform(0.05, 0.8),
        )
        for _ in range(rng.randint(1, 8))
    ]
    return sorted(faults, key=lambda fault: fault.after)
