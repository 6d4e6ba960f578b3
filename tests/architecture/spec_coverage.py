"""``python -m tests.architecture.spec_coverage``: write docs/spec-coverage.md, which tests hold which definition.

A test module says what it holds in a line of its docstring: ``Spec: plan 5.1; core BarrierEngine.``
"""

from __future__ import annotations

import ast
import re

from tests.architecture.tree import ROOT

SECTIONS = {
    "plan 3.1": "Level",
    "plan 3.2": "Direction context at a level",
    "plan 3.3": "Active monitoring zone",
    "plan 4": "Level universe",
    "plan 5.1": "Barrier engine",
    "plan 5.1.1": "Cancel versus fill inferred from MBP-10 and trades",
    "plan 5.2": "Tape engine",
    "plan 5.3": "Fuel engine",
    "plan 5.4.1": "Component scores",
    "plan 5.4.2": "Composite",
    "plan 5.4.3": "Signal triggers",
    "plan 5.5": "Room to run",
    "plan 5.6": "Smoothing",
    "plan 6.4": "Broadcast payload and its note",
    "plan 9": "Configuration",
    "core MarketState": "What is known of the market, and since when",
    "core LevelUniverse": "Kinds and ids of levels",
    "core BarrierEngine": "States of the barrier, replenishment, confidence",
    "core TapeEngine": "Imbalance, velocity, sweeps",
    "core FuelEngine": "Dealers' gamma, walls, gamma flip",
    "core ScoreEngine": "Scores, composite, trigger state machine",
    "core Smoothing": "EWMA, robust rolling median, hybrid",
    "core RoomToRun": "Next level, obstacle, quality",
    "core LevelSignalService": "What each snap publishes",
    "core Price conversion": "ES to SPY and back",
    "core Configuration": "Defaults and limits",
    "common-interfaces Event types": "Records and their common fields",
    "common-interfaces Configuration": "Keys, feasibility priors",
    "common-interfaces Storage schemas": "Avro, Arrow and Iceberg from one source",
    "common-interfaces Run manifests": "What a run leaves behind",
}
"""The definitions of the specification (plan 3 to 6 and 9, core, common-interfaces), by document and section."""

TABLE = ROOT / "docs" / "spec-coverage.md"
_MARK = re.compile(r"^Spec: (.+)\.$", re.MULTILINE)


def named_in(docstring: str) -> list[str]:
    """The sections that a module's docstring names."""
    return [section for line in _MARK.findall(docstring) for section in line.split("; ")]


def marks() -> dict[str, list[str]]:
    """Sections by test module, of those that name any."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        named = named_in(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
        if named:
            found[path.relative_to(ROOT).as_posix()] = named
    return found


def table() -> str:
    """The document."""
    by_section: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for path, named in marks().items():
        for section in named:
            by_section.setdefault(section, []).append(path)
    rows = [
        f"| {section} | {SECTIONS.get(section, '')} | {', '.join(f'`{path}`' for path in paths)} |"
        for section, paths in by_section.items()
    ]
    head = [
        "# Which tests hold which definition",
        "",
        "Made by `python -m tests.architecture.spec_coverage` from the tests' own docstrings; a test keeps it fresh.",
        "",
        "| section | what | tests |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, ""])


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
