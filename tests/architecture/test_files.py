"""What a file of the repository may hold: no machine's paths, no registries, nothing put off, nothing too long."""

from __future__ import annotations

import re
from collections.abc import Collection

import pytest

from tests.architecture.tree import files, listed, text_of

LINES_MAX = 400
LONG_FILES: dict[str, str] = {}
"""Files that may be longer, each with the reason."""

SOURCES = (".py", ".ts", ".html", ".scss", ".css", ".sql", ".sh", ".java", "breakwater", "run")
"""Ends of the names of files that people read as code."""

# Each is written in pieces, so that this file does not break its own rules.
MACHINE_PATHS = re.compile(
    "|".join(("/wor" + r"k/[a-z]", "/roo" + r"t/", "/hom" + r"e/[a-z]", "/tm" + r"p/[\w.]", "/User" + r"s/[a-z]"))
)
REGISTRIES = re.compile(
    "|".join(
        (
            r"pypi\." + r"org",
            r"files\.python" + r"hosted",
            r"registry\.npm" + r"js",
            r"registry\.yarn" + r"pkg",
            r"repo1?\.maven\." + r"(?:org|apache)",
            r"repo\.maven\." + r"apache",
            r"proxy\.golang\." + r"org",
            r"jfrog\." + r"io",
            r"arti" + r"factory\.",
            r"nexus\.[a-z]+\.",
            "--(?:extra-)?index" + "-url",
        )
    ),
    re.IGNORECASE,
)
PUT_OFF = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")


FOREIGN_PATHS: dict[str, str] = {"infra/compose.yaml": "the path is inside a container"}
"""Files that may hold such paths, each with the reason."""


def line_problems(name: str, text: str, pattern: re.Pattern[str]) -> list[str]:
    """The lines that hold what the pattern finds."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def found(pattern: re.Pattern[str], exceptions: Collection[str] = ()) -> list[str]:
    """All lines of the repository's text files that the pattern finds."""
    out = []
    for name in files():
        text = text_of(name)
        if text is not None and name not in exceptions:
            out += line_problems(name, text, pattern)
    return out


def test_no_file_holds_a_path_of_one_machine() -> None:
    problems = found(MACHINE_PATHS, FOREIGN_PATHS)
    assert not problems, listed(problems, "Take the path from common.settings, a temporary folder or an argument:")


def test_no_file_names_a_package_registry() -> None:
    problems = found(REGISTRIES)
    assert not problems, listed(problems, "Where packages come from is the machine's configuration, not ours:")


def test_nothing_is_put_off_in_a_comment() -> None:
    problems = found(PUT_OFF)
    assert not problems, listed(problems, "Do it now, or make it an issue and leave no trace in the code:")


def test_no_source_file_is_too_long() -> None:
    problems = []
    for name in files():
        if name.endswith(SOURCES) and name not in LONG_FILES:
            lines = len((text_of(name) or "").splitlines())
            if lines > LINES_MAX:
                problems.append(f"{name}: {lines} lines")
    assert not problems, listed(
        problems, f"Split it (more than {LINES_MAX} lines), or name it in LONG_FILES with a reason:"
    )


def test_the_listed_long_files_are_still_long() -> None:
    problems = [name for name in LONG_FILES if len((text_of(name) or "").splitlines()) <= LINES_MAX]
    assert not problems, listed(problems, "No longer an exception; take it off LONG_FILES:")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("DATA = '/wor" + "k/shared'", MACHINE_PATHS),
        ("see /hom" + "e/someone/x", MACHINE_PATHS),
        ("https://registry.npm" + "js.org/x", REGISTRIES),
        ("--index" + "-url x", REGISTRIES),
        ("# TO" + "DO later", PUT_OFF),
    ],
)
def test_a_line_that_breaks_a_rule_is_found(text: str, pattern: re.Pattern[str]) -> None:
    assert line_problems("example", text, pattern)
