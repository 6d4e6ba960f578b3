"""The source tree as the rules of the house see it: modules, what they import and use, and the repository's files."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("common", "producers", "processors", "lakehouse", "api", "infra")


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name, its path below the root, its syntax tree."""

    name: str
    path: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """Its top-level package."""
        return self.name.partition(".")[0]

    def within(self, *prefixes: str) -> bool:
        """Whether the module is one of these modules or below one of these packages."""
        return any(self.name == prefix or self.name.startswith(prefix + ".") for prefix in prefixes)

    def at(self, node: ast.AST) -> str:
        """Where a node stands, to click on."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


def parsed(source: str, name: str) -> Module:
    """A module from source text: how the tests of the rules make their examples."""
    return Module(name, name.replace(".", "/") + ".py", ast.parse(source))


def _module(path: Path) -> Module:
    relative = path.relative_to(ROOT)
    parts = relative.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, relative.as_posix(), ast.parse(path.read_text(encoding="utf-8"), str(relative)))


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the packages."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(_module(path) for path in paths)


@cache
def modules_of_tests() -> tuple[Module, ...]:
    """Every module below tests."""
    return tuple(_module(path) for path in sorted((ROOT / "tests").rglob("*.py")))


@cache
def files() -> tuple[str, ...]:
    """The files of the repository: what git tracks or would, as paths below the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = listed.stdout.decode().split("\0")
    return tuple(sorted(name for name in names if name and (ROOT / name).is_file()))


def text_of(file: str) -> str | None:
    """A file's text, None when it is not text."""
    try:
        return (ROOT / file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Every dotted name that the module imports, wherever it stands: also in functions and in import_module("...").

    ``from a import b`` gives ``a.b`` (b may be a module or a name in one).
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _resolved(module, node)
            for alias in node.names:
                yield node, base if alias.name == "*" else f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args:
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if function in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield node, str(first.value)


def _resolved(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    is_package = module.path.endswith("__init__.py")
    kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def bindings(module: Module) -> dict[str, str]:
    """What each imported local name stands for: ``import numpy as np`` gives ``np`` → ``numpy``."""
    out: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                out[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                out[alias.asname or alias.name] = f"{_resolved(module, node)}.{alias.name}"
    return out


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """What an expression such as ``np.random.default_rng`` stands for, "" when it is no chain of names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def uses(module: Module) -> Iterator[tuple[ast.expr, str]]:
    """Every name or chain of names that the module evaluates (annotations are not), as what it stands for."""
    names = bindings(module)
    ignored = _annotations(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in ignored:
            found = dotted(node, names)
            if found:
                yield node, found


def _annotations(tree: ast.AST) -> set[int]:
    ignored: set[int] = set()
    for node in ast.walk(tree):
        annotation = getattr(node, "annotation", None)
        returns = getattr(node, "returns", None)
        for part in (annotation, returns):
            if isinstance(part, ast.AST):
                ignored.update(id(inner) for inner in ast.walk(part))
    return ignored


def listed(problems: list[str], what_to_do: str) -> str:
    """A failure's message: what to do, and where."""
    return what_to_do + "\n  " + "\n  ".join(problems)
