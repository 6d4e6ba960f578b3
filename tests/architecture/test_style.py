"""How code and tests are written: documented, quiet, never skipped, tests where the code is."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.tree import PACKAGES, ROOT, Module, bindings, dotted, listed, modules, modules_of_tests, parsed

SKIPPERS = ("skip", "skipif", "importorskip", "xfail", "SkipTest", "expectedFailure")
MIRRORED_BESIDES = ("support",)
"""Folders of tests/unit that stand for no package: tests/support has tests of its own."""
NAME_WORDS_MIN = 4


def _public(body: list[ast.stmt], prefix: str) -> Iterator[tuple[ast.AST, str]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node, prefix + node.name
            yield from _public(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            exempt = {"overload", "setter", "override"}
            marks = {getattr(d, "attr", getattr(d, "id", "")) for d in node.decorator_list}
            if not marks & exempt:
                yield node, prefix + node.name


def docstring_problems(module: Module) -> list[str]:
    """Public things without a docstring."""
    problems = [] if ast.get_docstring(module.tree) else [f"{module.path}:1 the module"]
    for node, name in _public(module.tree.body, ""):
        if not ast.get_docstring(node):  # type: ignore[arg-type]
            problems.append(f"{module.at(node)} {name}")
    return problems


def print_problems(module: Module) -> list[str]:
    """Calls of print()."""
    return [
        f"{module.at(node)}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def skip_problems(module: Module) -> list[str]:
    """Ways not to run a test, or to expect it to fail."""
    names = bindings(module)
    return [
        f"{module.at(node)} uses {found}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute | ast.Name)
        and (found := dotted(node, names)).rpartition(".")[2] in SKIPPERS
        and found.partition(".")[0] in ("pytest", "unittest")
    ]


def name_problems(module: Module) -> list[str]:
    """Tests whose names state no claim."""
    return [
        f"{module.at(node)} {node.name}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")) - 1 < NAME_WORDS_MIN
    ]


def test_everything_public_has_a_docstring() -> None:
    problems = [problem for module in modules() for problem in docstring_problems(module)]
    assert not problems, listed(
        problems, "Give it a docstring with its contract (shapes, units, errors), or a leading _:"
    )


def test_no_module_prints_anything() -> None:
    problems = [problem for module in modules() for problem in print_problems(module)]
    assert not problems, listed(
        problems, "Services log through common.telemetry; commands write with rich or typer.echo:"
    )


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    problems = [problem for module in modules_of_tests() for problem in skip_problems(module)]
    assert not problems, listed(problems, "Make it run everywhere (fixtures start what it needs), or take it out:")


def test_test_names_state_claims() -> None:
    tests = [module for module in modules_of_tests() if module.path.rpartition("/")[2].startswith("test_")]
    problems = [problem for module in tests for problem in name_problems(module)]
    assert not problems, listed(
        problems, "Name the test after what it claims (test_a_truncated_file_keeps_what_was_read):"
    )


def test_unit_tests_mirror_the_packages() -> None:
    problems = []
    for path in sorted((ROOT / "tests" / "unit").rglob("test_*.py")):
        folder = path.parent.relative_to(ROOT / "tests" / "unit")
        top = folder.parts[0] if folder.parts else ""
        if top in MIRRORED_BESIDES:
            continue
        place = ROOT / folder
        if top not in PACKAGES or not (place.is_dir() or place.with_suffix(".py").is_file()):
            problems.append(f"{path.relative_to(ROOT)}: there is no package {folder}")
    assert not problems, listed(problems, "Move it to tests/unit/<package>/<subpackage> of what it tests:")


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        '"""Doc."""\ndef f(): ...',
        '"""Doc."""\nclass C:\n    """Doc."""\n    def m(self): ...',
        '"""Doc."""\nclass C: ...',
    ],
)
def test_a_missing_docstring_is_found(source: str) -> None:
    assert docstring_problems(parsed(source, "common.example"))


def test_what_is_private_needs_no_docstring() -> None:
    source = (
        '"""Doc."""\ndef _f(): ...\nclass _C:\n    def m(self): ...\ndef g():\n    """Doc."""\n    def inner(): ...'
    )
    assert not docstring_problems(parsed(source, "common.example"))


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\npytest.skip('no')",
        "import pytest\n@pytest.mark.skipif(True, reason='')\ndef test_x(): ...",
        "import pytest as p\npytestmark = p.mark.xfail",
        "from pytest import importorskip\nimportorskip('x')",
        "import unittest\nraise unittest.SkipTest",
    ],
)
def test_a_skipped_test_is_found(source: str) -> None:
    assert skip_problems(parsed(source, "tests.example"))


def test_a_call_of_print_is_found() -> None:
    assert print_problems(parsed("def f():\n    print('x')", "common.example"))


def test_a_name_without_a_claim_is_found() -> None:
    assert name_problems(parsed("def test_codec(): ...", "tests.example"))
