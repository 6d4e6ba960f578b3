"""Kernels are compiled once per version of the code, whatever process asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from common.settings import PROJECT_ROOT, child_environment

OUTER = """
from common.jit import kernel
from inner import inner
@kernel
def outer(x):
    return inner(x) + 1
if __name__ == "__main__":
    value = outer(1)
    print(value, sum(outer.stats.cache_hits.values()), sum(outer.stats.cache_misses.values()))
"""
INNER = """
from common.jit import inlined
@inlined
def inner(x):
    return x * {factor}
"""


def _run(folder: Path) -> list[int]:
    environment = child_environment(
        PYTHONPATH=f"{PROJECT_ROOT}{os.pathsep}{folder}", NUMBA_CACHE_DIR=str(folder / "cache")
    )
    run = subprocess.run(
        [sys.executable, str(folder / "outer.py")], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return [int(word) for word in run.stdout.split()]


def test_a_second_process_compiles_nothing_and_a_change_in_another_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "outer.py").write_text(OUTER)
    (tmp_path / "inner.py").write_text(INNER.format(factor=10))
    assert _run(tmp_path) == [11, 0, 1]
    assert _run(tmp_path) == [11, 1, 0]
    (tmp_path / "inner.py").write_text(INNER.format(factor=20))
    assert _run(tmp_path) == [21, 0, 1]
