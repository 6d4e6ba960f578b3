"""What was recorded, read again: the engine's inputs and outputs from their topics or from their tables.

Inputs come as :class:`Recorded`, piece by piece, in an order that keeps every topic's own order and lets a merge apply
them with little held in memory. A time is always effective time for inputs and the snap's time for outputs.
"""

from __future__ import annotations

from common.recorded.lake import LakeReader, bronze_inputs
from common.recorded.log import LogReader
from common.recorded.streams import END_NS, Piece, Recorded, interleave

__all__ = ["END_NS", "LakeReader", "LogReader", "Piece", "Recorded", "bronze_inputs", "interleave"]
