"""Sizes and names that all kernels share: how large each array is, and what its components mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.config import MOST_HOTZONES

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Parameters = Any
"""One record of :data:`processors.engine.parameters.PARAMETERS`; Numba reads its fields as attributes."""
Scalars = Any
"""The record of :data:`processors.engine.state.SCALARS`."""
SessionTable = tuple[Integers, Integers, Integers, Integers, Integers]
"""Date, open and close of the sessions, and open and close of the NYSE's regular hours (0 without)."""

BID, ASK = 0, 1
DEPTH = 10
"""Price levels per side of MBP-10."""

TICKS = 8192
"""Ticks that per-tick arrays can tell apart: 2,048 points, more than the widest daily price limit within any window."""
TICK_MASK = TICKS - 1
CENTS = 8192
"""Cents that the underlying's tape can tell apart: 81.92 USD."""
CENT_MASK = CENTS - 1

ADDED, CANCELED, FILLED, HIDDEN = 0, 1, 2, 3
BOUGHT, SOLD, UNSIGNED = 0, 1, 2

DISTANCES = 24
"""Distances from the best price for which zone depth is remembered, from -DISTANCE_MIN ticks on."""
DISTANCE_MIN = 4
DEPTH_STEPS = 1024
"""Steps that remembered zone depths are counted in (:mod:`processors.engine.depths`)."""
SWEEPS = 256
LEVELS = 512
HOTZONES = MOST_HOTZONES
PENDING = 1024
"""Episodes whose outcome is not known yet."""
DAY_PARTS = 48
"""Half hours of a session day for which the usual volume is remembered."""
