"""How kernels are compiled: without the GIL, without fastmath, once per version of the code on each machine.

Numba's own on-disk cache looks only at the file a function stands in: when a function that it calls changes in another
file, the stale machine code stays in use. Here the cache's folder is named by the content of all files beside it.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def _version(folder: Path) -> str:
    """Digest of the Python files in ``folder`` and of those beside this one, which kernels take constants from."""
    digest = hashlib.sha256()
    for path in sorted({*folder.glob("*.py"), *Path(__file__).parent.glob("*.py")}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(function: Function, **options: bool) -> Function:
    folder = Path(inspect.getfile(function)).parent
    setting: Any = config
    base: str = setting.CACHE_DIR
    setting.CACHE_DIR = str(Path(base or folder / "__pycache__") / f"{folder.name}-{_version(folder)}")
    try:
        # _nrt=False: kernels do not allocate, so no reference counts (atomic, and dear around small calls)
        njit: Any = numba.njit
        return cast(Function, njit(cache=True, nogil=True, _nrt=False, **options)(function))
    finally:
        setting.CACHE_DIR = base


def kernel(function: Function) -> Function:
    """Compile a function of scalars and arrays, which may not allocate."""
    return _compile(function)


def inlined(function: Function) -> Function:
    """Like :func:`kernel`, and into every kernel that calls it."""
    return _compile(function, forceinline=True)
