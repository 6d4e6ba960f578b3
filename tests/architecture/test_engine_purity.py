"""processors/engine waits for nothing, and reads neither time, files, environment nor chance."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.tree import Module, bindings, dotted, imports, listed, modules, parsed, uses

ALLOWED = (
    "__future__",
    "collections.abc",
    "collections.deque",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "json",
    "math",
    "struct",
    "typing",
    "numba.njit",
    "numba.types",
    "numba.typed",
    "numpy",
    "common.columns",
    "common.jit",  # how kernels are compiled; looks at source files once, when a module is loaded
    "common.config.EngineConfig",
    "common.config.MOST_HOTZONES",
    "common.config.NS_PER_MS",
    "common.config.NS_PER_S",
    "common.errors",
    "common.ticks",
    "common.prices",
    "common.schemas",
    "common.sessions",
    "common.topics",
    "processors.engine",
)
"""All that the engine may import. Schemas and sessions are files of the repository, read once, the same for all."""

BANNED = ("numpy.random", "numpy.load", "numpy.save", "numpy.fromfile", "numpy.memmap", "numpy.datetime64")
"""Parts of allowed modules that are not: they read chance, files or clocks (``datetime64("now")``)."""

BANNED_CALLS = ("open", "input", "print", "exec", "eval", "__import__", "hash", "id", "globals", "breakpoint")
"""Builtins with an outside, or whose result differs between processes."""

ORDER_FREE = ("sorted", "len", "any", "all", "min", "max", "sum", "set", "frozenset")
"""What a set may be handed to: the order of its items does not show (sum of integers included)."""


def engine() -> list[Module]:
    """The engine's modules."""
    return [module for module in modules() if module.within("processors.engine")]


def _within(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def import_problems(module: Module) -> list[str]:
    """Imports that are not on the list."""
    return [
        f"{module.at(node)} imports {name}"
        for node, name in imports(module)
        if not _within(name, ALLOWED) or _within(name, BANNED)
    ]


def use_problems(module: Module) -> list[str]:
    """Uses of what reads chance, files or clocks."""
    problems = []
    for node, name in uses(module):
        if _within(name, BANNED):
            problems.append(f"{module.at(node)} uses {name}")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            problems.append(f"{module.at(node)} calls {node.func.id}()")
    return problems


def _is_set(node: ast.AST) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    return isinstance(node, ast.BinOp) and (_is_set(node.left) or _is_set(node.right))


def order_problems(module: Module) -> list[str]:
    """Sets whose order shows: iterated over, unpacked, or handed to something that keeps their order."""
    problems = []
    for node in ast.walk(module.tree):
        iterated: list[ast.AST] = []
        if isinstance(node, (ast.For, ast.comprehension)):
            iterated = [node.iter]
        elif isinstance(node, ast.Starred):
            iterated = [node.value]
        elif isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in ORDER_FREE):
            iterated = list(node.args)
        problems += [f"{module.at(item)} depends on the order of a set" for item in iterated if _is_set(item)]
    return problems


def kernel_problems(module: Module) -> list[str]:
    """Numba kernels whose arithmetic may be reordered, or that are not compiled ahead in one mode."""
    names = bindings(module)
    problems = []
    for node, keyword in _keywords(module):
        if keyword.arg in ("fastmath", "parallel") and getattr(keyword.value, "value", True) is not False:
            problems.append(f"{module.at(node)} has {keyword.arg}")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute | ast.Name) and dotted(node, names) in ("numba.prange", "numba.vectorize"):
            problems.append(f"{module.at(node)} uses {dotted(node, names)}")
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                bare = not isinstance(decorator, ast.Call)
                if dotted(decorator if bare else decorator.func, names) == "numba.njit" and (  # type: ignore[union-attr]
                    bare or not any(k.arg == "cache" for k in decorator.keywords)  # type: ignore[union-attr]
                ):
                    problems.append(f"{module.at(node)} compiles {node.name} without cache=True")
    return problems


def _keywords(module: Module) -> Iterator[tuple[ast.AST, ast.keyword]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                yield node, keyword


def test_the_engine_imports_only_what_is_pure() -> None:
    problems = [problem for module in engine() for problem in import_problems(module)]
    assert not problems, listed(
        problems,
        "The engine is pure: let the shell read it and hand it in, or add a pure module to ALLOWED with a reason:",
    )


def test_the_engine_reads_no_time_no_files_and_no_chance() -> None:
    problems = [problem for module in engine() for problem in use_problems(module)]
    assert not problems, listed(problems, "Time arrives in events; take this out of the engine:")


def test_nothing_in_the_engine_depends_on_the_order_of_a_set() -> None:
    problems = [problem for module in engine() for problem in order_problems(module)]
    assert not problems, listed(problems, "Sort it, or use a tuple or dict: PYTHONHASHSEED must not show:")


def test_kernels_keep_the_order_of_operations() -> None:
    problems = [problem for module in engine() for problem in kernel_problems(module)]
    assert not problems, listed(problems, "Bytes must agree between machines: no fastmath, no parallel; cache kernels:")


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import numpy.random",
        "from datetime import datetime",
        "def f():\n    import os",
        "import importlib\nimportlib.import_module('socket')",
        "from common.settings import settings",
        "from common.config import load_config",
        "from common import kafka",
        "import pathlib, uuid",
    ],
)
def test_an_impure_import_is_found(source: str) -> None:
    assert import_problems(parsed(source, "processors.engine.example"))


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.random.default_rng()",
        "from numpy import random\nrandom.rand()",
        "import numpy as np\nnp.datetime64('now')",
        "open('x')",
        "hash('x')",
    ],
)
def test_an_impure_use_is_found(source: str) -> None:
    assert use_problems(parsed(source, "processors.engine.example"))


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: pass",
        "[x for x in set(y)]",
        "list({1} | z)",
        "tuple(frozenset(y))",
        "f(*{1, 2})",
        "','.join({a})",
    ],
)
def test_a_set_whose_order_shows_is_found(source: str) -> None:
    assert order_problems(parsed(source, "processors.engine.example"))


@pytest.mark.parametrize("source", ["sorted({1, 2})", "1 in {1, 2}", "len(set(y))", "for x in sorted(set(y)): pass"])
def test_a_set_whose_order_does_not_show_is_let_through(source: str) -> None:
    assert not order_problems(parsed(source, "processors.engine.example"))


@pytest.mark.parametrize(
    "source",
    [
        "from numba import njit\n@njit(cache=True, fastmath=True)\ndef f(): pass",
        "from numba import njit\n@njit(cache=True, parallel=True)\ndef f(): pass",
        "from numba import njit\n@njit(cache=True, fastmath={'nnan'})\ndef f(): pass",
        "import numba\nfor i in numba.prange(3): pass",
        "from numba import njit\n@njit\ndef f(): pass",
        "from numba import njit\n@njit(nogil=True)\ndef f(): pass",
    ],
)
def test_a_kernel_with_loose_arithmetic_is_found(source: str) -> None:
    assert kernel_problems(parsed(source, "processors.engine.example"))
