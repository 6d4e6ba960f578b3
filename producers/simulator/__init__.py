"""A made-up market of ES, SPY and its options: seeded, equal to the byte, with fights staged at levels.

ES is an order book of single orders: :mod:`.book` holds the queues, :mod:`.records` tells what changes in them,
:mod:`.flow` is who trades (all three are kernels on the arrays of :mod:`.shapes`), :mod:`.exchange` lets it run.
:mod:`.script` says what happens, :mod:`.stocks` and :mod:`.options` follow ES and make the stock and option vendor's
messages, :mod:`.truth` keeps what really happened, and :mod:`.files` and :mod:`.feed` write it all, in pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from producers.simulator.exchange import ROWS, Exchange
from producers.simulator.feed import CaptureFile, Underlying
from producers.simulator.files import CausesFile, DbnFile, write_bytes
from producers.simulator.options import Options
from producers.simulator.ratio import CLOSE_NS, NS_PER_S, START_NS, tick_at
from producers.simulator.recorder import Recorder
from producers.simulator.script import DEMO, FULL, START_USD, Episode, play
from producers.simulator.stocks import Stocks
from producers.simulator.truth import Truth

__all__ = ["Session", "simulate"]

FULL_DENSITY = 3
"""Messages of SPY and its options in a whole day, against a demonstration's."""


class Session(NamedTuple):
    """The files of a session: ES book and trades as DBN, the capture of SPY and its options, and the truth.

    ``truth`` is JSON: what was staged where and what came of it. ``causes`` is Parquet: why each displayed size of ES
    changed. ``orders``: ES order by order (DBN, MBO), when that was asked for.
    """

    book: Path
    trades: Path
    capture: Path
    truth: Path
    causes: Path
    orders: Path | None

    @property
    def futures(self) -> tuple[Path, Path]:
        """ES alone: book and trades."""
        return self.book, self.trades

    @property
    def inputs(self) -> tuple[Path, Path, Path]:
        """What the platform reads."""
        return self.book, self.trades, self.capture


def simulate(
    out: Path,
    seed: int = 7,
    minutes: float = 10.0,
    *,
    day: bool = False,
    orders: bool = False,
    progress: Callable[[float], None] = lambda share: None,
    rows: int = ROWS,
) -> Session:
    """Write a session into the folder ``out``; equal arguments write equal bytes, however many ``rows`` a piece has.

    ``minutes``: its length from 2025-06-03 13:29:30 UTC on, with SPY near 597.35, in a thin market. ``day``: the whole
    regular session instead, at its usual rates. ``orders``: write the order-by-order feed too. ``progress`` is told
    what share is done. Raises InputError when a file cannot be written.
    """
    end_ns = CLOSE_NS if day else START_NS + round(minutes * 60 * NS_PER_S)
    name = f"sim-es-{seed}"
    schemas = ("mbp-10", "trades", "mbo") if orders else ("mbp-10", "trades")
    files = {schema: DbnFile(out / f"{name}.{schema}.dbn.zst", schema, START_NS, end_ns) for schema in schemas}
    causes = CausesFile(out / f"{name}.causes.parquet")
    capture = CaptureFile(out / f"sim-spy-{seed}.massive.jsonl.zst")
    truth, spy = Truth(seed), Underlying()
    recorder = Recorder(files["mbp-10"], files["trades"], files.get("mbo"), causes, (spy.add, truth.follow))
    exchange = Exchange(seed, START_NS, tick_at(START_USD, START_NS), recorder, rows)
    density = FULL_DENSITY if day else 1
    stocks, options = Stocks(spy, seed, START_NS, density), Options(spy, seed, START_NS, density)

    def follow(episode: Episode) -> None:
        exchange.flush()
        until_ns = exchange.ts_ns
        capture.add([*stocks.until(until_ns), *options.until(until_ns, episode.fuel)], until_ns)
        spy.forget(until_ns)
        progress((until_ns - START_NS) / (end_ns - START_NS))

    for staged in play(exchange, end_ns, seed, FULL if day else DEMO, follow):
        truth.note(staged, exchange.ts_ns)
    written = {schema: file.close() for schema, file in files.items()}
    told = causes.close()
    return Session(
        book=written["mbp-10"],
        trades=written["trades"],
        capture=capture.close(),
        truth=write_bytes(out / f"sim-{seed}.truth.json", truth.content(exchange.ts_ns, told.name)),
        causes=told,
        orders=written.get("mbo"),
    )
