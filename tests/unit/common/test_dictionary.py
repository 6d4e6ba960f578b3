"""The feature dictionary says what the schemas, formulas and configuration say."""

from __future__ import annotations

import re

from common import dictionary, schemas
from common.config import PROFILES, EngineConfig


def test_the_document_is_what_its_sources_make_of_it() -> None:
    fresh = dictionary.PATH.read_text(encoding="utf-8") == dictionary.text()
    assert fresh, f"docs/features.md is out of date: run .venv/bin/{dictionary.COMMAND} from the project's folder"


def test_every_published_column_has_a_formula_and_no_formula_is_left_over() -> None:
    columns = {entry.field.name for entry in dictionary.entries()}
    assert columns == set(dictionary.formulas())


def test_formulas_name_columns_and_keys_that_exist() -> None:
    known = set(dictionary.formulas()) | set(EngineConfig.model_fields)
    known |= {field.name for name in schemas.names() for field in schemas.load(name).fields}
    for column, formula in dictionary.formulas().items():
        unknown = set(re.findall(r"\b(?:[a-z]+_[a-z_]*[a-z]|[A-Z]+_[A-Z_]+[A-Z])\b", formula.formula)) - known
        assert not unknown, f"{column}: {unknown}"


def test_a_formula_lists_every_configuration_key_that_it_names() -> None:
    for column, formula in dictionary.formulas().items():
        words = set(re.findall(r"\b[A-Za-z_]+\b", formula.formula))
        missing = (words & set(EngineConfig.model_fields)) - set(formula.keys)
        assert not missing, f"{column} names {missing}; add them to its keys"


def test_what_comes_after_the_snap_carries_a_leakage_note_of_its_own() -> None:
    for entry in dictionary.entries():
        later = entry.topic == "levels.outcomes.v1"
        assert ("ts_event_ns" in entry.leakage) and (("known only" in entry.leakage) == later), entry


def test_every_profile_and_key_is_shown() -> None:
    table = dictionary.text().partition("## Configuration keys")[2]
    assert all(f"| `{key}` |" in table for key in EngineConfig.model_fields)
    assert all(f"`{name}`" in table for name in PROFILES)
