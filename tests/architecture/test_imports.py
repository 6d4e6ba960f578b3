"""Imports point to common; services meet in topics and tables, never in imports."""

from __future__ import annotations

import pytest

from tests.architecture.tree import PACKAGES, Module, imports, listed, modules, parsed

FACADE = (
    "processors.engine.features",
    "processors.engine.signals",
    "processors.engine.order",
    "processors.engine.marked",
)
"""What of the engine may be seen from outside processors, and only by who replays."""

COMPOSITION = "infra"
"""Where the local stack and the demo put the parts together: it may import them, none of them may import it."""

APART = (("processors.features", "processors.signals"),)
"""Parts of one package that meet in topics all the same."""


def replays(module: Module) -> bool:
    """Whether the module is one that replays, by its name or its package's."""
    return "replay" in module.name.split(".")


def direction_problems(module: Module) -> list[str]:
    """Imports of the module that point the wrong way."""
    problems = []
    for node, name in imports(module):
        target = name.partition(".")[0]
        if target == "tests":
            problems.append(f"{module.at(node)} imports {name}: what ships knows no tests")
        if target not in PACKAGES or target in ("common", module.package) or module.package == COMPOSITION:
            continue
        if replays(module) and any(name == door or name.startswith(door + ".") for door in FACADE):
            continue
        problems.append(f"{module.at(node)} imports {name}")
    for left, right in APART:
        for own, other in ((left, right), (right, left)):
            if module.within(own):
                problems += [
                    f"{module.at(node)} imports {name}"
                    for node, name in imports(module)
                    if name == other or name.startswith(other + ".")
                ]
    return problems


def test_imports_point_to_common() -> None:
    problems = [problem for module in modules() for problem in direction_problems(module)]
    assert not problems, listed(
        problems,
        "Packages meet in topics and tables. Move what both need to common; the engine's facade "
        f"({', '.join(FACADE)}) is open to modules named replay only:",
    )


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import lakehouse", "api.history"),
        ("def f():\n    from producers.dbn import file", "lakehouse.sink"),
        ("import importlib\nimportlib.import_module('api.app')", "producers.feed"),
        ("from processors.engine import kernel", "producers.replay"),
        ("from processors.engine import features", "producers.publisher"),
        ("import processors", "common.kafka"),
        ("from infra.local import stack", "producers.feed"),
        ("from tests.support import memory_log", "common.kafka"),
        ("from processors.signals.app import make", "processors.features.worker"),
    ],
)
def test_an_import_the_wrong_way_is_found(source: str, name: str) -> None:
    assert direction_problems(parsed(source, name))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from common import kafka", "api.feed"),
        ("from lakehouse.read import table_rows", "infra.local.summary"),
        ("from processors.engine import features, signals", "producers.replay"),
        ("from processors.engine.order import Merger", "processors.features.worker"),
    ],
)
def test_an_import_the_right_way_is_let_through(source: str, name: str) -> None:
    assert not direction_problems(parsed(source, name))
