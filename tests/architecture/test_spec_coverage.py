"""Every definition of the specification has a test that names its section, and the table of them is fresh."""

from __future__ import annotations

from tests.architecture import spec_coverage


def test_every_section_is_named_by_a_test() -> None:
    named = {section for sections in spec_coverage.marks().values() for section in sections}
    assert [section for section in spec_coverage.SECTIONS if section not in named] == []


def test_every_named_section_exists() -> None:
    wrong = [
        f"{path} names {section}"
        for path, sections in spec_coverage.marks().items()
        for section in sections
        if section not in spec_coverage.SECTIONS
    ]
    assert wrong == []


def test_a_docstring_names_the_sections_of_its_line() -> None:
    assert spec_coverage.named_in("Flows.\n\nSpec: plan 5.1; core BarrierEngine.") == ["plan 5.1", "core BarrierEngine"]
    assert spec_coverage.named_in("Spec plan 5.1") == []


def test_the_table_is_what_the_tests_say() -> None:
    assert spec_coverage.TABLE.read_text(encoding="utf-8") == spec_coverage.table()
