"""What two or more packages need. Imports nothing from the other packages."""

import os

# Numba reads these when it is first imported, so they stand before every other import of ours: float code must be
# compiled alike on every machine (docs/determinism.md). Nothing is read from the environment here.
os.environ.setdefault("NUMBA_CPU_NAME", "generic")
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")
