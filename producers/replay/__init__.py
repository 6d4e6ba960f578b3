"""Replay of stored input through the engine: the same functions as live, the same bytes.

Input comes from files, topics or tables (:mod:`producers.replay.sources`), goes through the engine alone
(:mod:`producers.replay.engine`) and leaves as a file, a namespace of topics or lines of text.
"""

from __future__ import annotations

from producers.replay.command import app
from producers.replay.engine import replay, signal_tables

__all__ = ["app", "replay", "signal_tables"]
