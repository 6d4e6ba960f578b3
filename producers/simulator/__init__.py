"""A small made-up session of ES, SPY and its options: seeded, deterministic, with levels at which things are staged.

:mod:`.script` says what happens, :mod:`.crowd` and :mod:`.market` make ES orders and trades of it, which :mod:`.files`
writes as DBN. :mod:`.stocks` and :mod:`.options` follow ES and make the stock and option vendor's messages, which
:mod:`.feed` writes as a capture.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import orjson

from producers.simulator.feed import Underlying, write_bytes, write_capture
from producers.simulator.files import write_session
from producers.simulator.market import Market
from producers.simulator.options import option_messages
from producers.simulator.ratio import NS_PER_S, START_NS, tick_at
from producers.simulator.script import START_USD, Staged, play
from producers.simulator.stocks import stock_messages

__all__ = ["Session", "simulate"]


class Session(NamedTuple):
    """The files of a session: ES book and trades as DBN, the capture of SPY and its options, and the truth."""

    book: Path
    trades: Path
    capture: Path
    truth: Path

    @property
    def futures(self) -> tuple[Path, Path]:
        """ES alone: book and trades."""
        return self.book, self.trades

    @property
    def inputs(self) -> tuple[Path, Path, Path]:
        """What the platform reads."""
        return self.book, self.trades, self.capture


def simulate(out: Path, seed: int = 7, minutes: float = 10.0) -> Session:
    """Write a session into the folder ``out``; equal arguments write equal bytes.

    ``minutes``: its length from 2025-06-03 13:29:30 UTC on, with SPY near 597.35. The truth is JSON: what was staged at
    which level, when, with which intended signal and outcome; an episode that the end cuts off before price leaves is
    not in it. Raises InputError when a file cannot be written.
    """
    market = Market(seed, START_NS, tick_at(START_USD, START_NS))
    staged = play(market, round(minutes * 60 * NS_PER_S))
    book, trades = write_session(market, out, f"sim-es-{seed}")
    spy = Underlying(market)
    messages = [*stock_messages(spy, seed), *option_messages(spy, staged, seed)]
    capture = write_capture(out / f"sim-spy-{seed}.massive.jsonl.zst", messages)
    return Session(book, trades, capture, write_bytes(out / f"sim-{seed}.truth.json", _truth(seed, market, staged)))


def _truth(seed: int, market: Market, staged: list[Staged]) -> bytes:
    episodes = [
        {
            "kind": one.episode.kind,
            "level": one.episode.level,
            "direction": one.episode.side,
            "fuel": one.episode.fuel,
            "outcome": one.outcome,
            "signal": one.signal,
            "begin_ns": one.begin_ns,
            "fight_ns": one.fight_ns,
            "leave_ns": one.leave_ns,
            "end_ns": one.end_ns,
        }
        for one in staged
        if one.leave_ns < market.ts_ns
    ]
    content = {"seed": seed, "begin_ns": START_NS, "end_ns": market.ts_ns, "episodes": episodes}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"
