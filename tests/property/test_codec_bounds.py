"""The kernels under a compiler that checks every index: the properties again, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from common.settings import PROJECT_ROOT, child_environment

OUT_OF_BOUNDS = """
import numpy as np
from common.avro.machine import load_word, store_word
data = np.zeros(10, np.uint8)
for position in (3, 10, -11):
    for access in (lambda: load_word(data, position), lambda: store_word(data, position, 1)):
        try:
            access()
        except IndexError:
            continue
        raise SystemExit(f"{position} is not refused")
load_word(data, 2)
"""


def _run(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = child_environment(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(cache), PYTHONHASHSEED="0")
    environment.pop("BREAKWATER_HOME", None)  # the inner session makes its own
    return subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_no_kernel_reads_or_writes_out_of_bounds(tmp_path: Path) -> None:
    proof = _run(tmp_path, "-c", OUT_OF_BOUNDS)
    assert proof.returncode == 0, proof.stdout + proof.stderr
    properties = str(PROJECT_ROOT / "tests" / "property" / "test_codec.py")
    run = _run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", properties)
    assert run.returncode == 0, run.stdout + run.stderr
