"""A small made-up ES session as real DBN files: seeded, deterministic, with levels that break and levels that reject.

:mod:`.script` says what happens, :mod:`.market` makes the orders and trades of it, :mod:`.files` writes them as DBN.
"""

from __future__ import annotations

from pathlib import Path

from producers.simulator.files import write_session
from producers.simulator.market import Market
from producers.simulator.script import START_NS, START_TICK, play

__all__ = ["simulate"]


def simulate(out: Path, seed: int = 7, minutes: float = 4.0) -> tuple[Path, Path]:
    """Write ``<out>/sim-es-<seed>.mbp-10.dbn.zst`` and ``….trades.dbn.zst``; equal arguments write equal bytes.

    ``minutes``: length of the session, which begins on 2025-06-03 at 14:30 UTC with ESM5 near 6003.00.
    """
    market = Market(seed, START_NS, START_TICK)
    play(market, round(minutes * 60 * 1_000_000_000))
    return write_session(market, out, f"sim-es-{seed}")
