"""Documents name what the code has."""

from __future__ import annotations

import re

import pytest

from common.settings import PROJECT_ROOT, Settings

DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    *(f"docs/{n}.md" for n in ("decisions", "determinism", "features", "operations")),
]


@pytest.mark.parametrize("key", sorted(Settings.model_fields))
def test_every_setting_is_documented(key: str) -> None:
    assert f"`{key}`" in (PROJECT_ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    text = (PROJECT_ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[a-z-]+/)+[A-Za-z0-9_.*-]+\.(?:py|md|csv|yaml|avsc))`", text))
    missing = [path for path in sorted(named) if not list(PROJECT_ROOT.glob(path)) and "<" not in path]
    assert not missing, f"{document} names files that are not there: {missing}"
