"""The columns in which books go straight to the engine: ticks and contracts instead of forty columns of dollars.

A batch of ``futures.mbp10.v1`` that never becomes a record of the log may hold them in place of its levels: an offline
replay of files has no use for dollars. :mod:`processors.engine.inputs` takes either.
"""

from __future__ import annotations

TICKS = "ticks"
"""int32[n, 2, 10]: bids first, best price first; ABSENT beyond the levels and where a price is not on the grid."""

SIZES = "sizes"
"""int32[n, 2, 10]: contracts; 0 where there is no tick."""

ON_GRID = "on_grid"
"""bool[n]: every price is on the tick grid, no size negative, no level behind an absent one."""
