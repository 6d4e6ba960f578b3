"""Facts live in common.config and schemas-avro: every number has a unit and a source, every name ends in its unit."""

from __future__ import annotations

import ast
import re

import pytest
from pydantic.fields import FieldInfo

from common import schemas
from common.config import EngineConfig
from tests.architecture.tree import ROOT, Module, imports, listed, modules, parsed

FIELDS = [(name, field) for name in schemas.names() for field in schemas.load(name).fields]

TIME_SUFFIXES = {"ns": "_ns", "us": "_us", "ms": "_ms", "s": "_s"}
FOREIGN_SUFFIX = re.compile(
    r"_(?:seconds|secs?|millis|milliseconds|msecs?|micros|microseconds|usecs?|nanos|nanoseconds|nsecs?|minutes|mins|hours)$",
    re.IGNORECASE,
)
"""Other ways to say a unit of time: one way is enough."""


def described(info: FieldInfo) -> dict[str, object]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}  # type: ignore[return-value]


def test_every_configuration_key_has_unit_source_and_meaning() -> None:
    problems = [
        f"{name}: {missing}"
        for name, info in EngineConfig.model_fields.items()
        for missing in ("unit", "source", "description")
        if not ({**described(info), "description": info.description}.get(missing))
    ]
    assert not problems, listed(problems, "Give the key in common/config.py what it lacks:")


def test_every_field_has_a_doc_and_a_unit() -> None:
    problems = [
        f"{topic}.{field.name}: {missing}"
        for topic, field in FIELDS
        for missing in ("doc", "unit")
        if not getattr(field, missing).strip()
    ]
    assert not problems, listed(problems, "Give the field in schemas-avro what it lacks:")


def time_problems(name: str, unit: str, *, many: bool = False) -> list[str]:
    """What is wrong with a field of that name and unit (``many``: an array, whose name may be a plural)."""
    word = unit.split(maxsplit=1)[0] if unit.split() else ""
    suffix = TIME_SUFFIXES.get(word)
    if suffix is not None and not name.endswith(suffix) and not many:
        return [f"{name} has the unit {unit!r} and does not end in {suffix}"]
    for own, ending in TIME_SUFFIXES.items():
        if ending != "_s" and name.endswith(ending) and word != own:
            return [f"{name} ends in {ending} and has the unit {unit!r}"]
    return []


def test_fields_of_time_end_in_their_unit() -> None:
    problems = [
        f"{topic}: {problem}"
        for topic, field in FIELDS
        for problem in time_problems(field.name, field.unit, many=field.kind == "array")
    ]
    assert not problems, listed(problems, "Name and unit of a field in schemas-avro must say the same:")


def test_a_topics_file_record_and_version_agree() -> None:
    problems = [
        f"{name}: the record is named {schemas.load(name).avro['name']}"
        for name in schemas.names()
        if schemas.load(name).avro["name"] != re.sub(r"[.\-]", "_", name)
    ]
    assert not problems, listed(problems, "Name the record as its file, dots as underscores:")


def unit_problems(module: Module) -> list[str]:
    """Names of variables, arguments and attributes that say a unit of time in another way than the house."""
    problems: list[str] = []
    if any(name.startswith("prometheus_client") for _, name in imports(module)):
        return problems  # Prometheus names its units in words
    for node in ast.walk(module.tree):
        names: list[str] = []
        if isinstance(node, ast.arg):
            names = [node.arg]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names = [node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names = [node.attr]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        problems += [f"{module.at(node)} names {name}" for name in names if FOREIGN_SUFFIX.search(name)]
    return problems


def test_names_of_times_end_in_ns_us_ms_or_s() -> None:
    problems = [problem for module in modules() for problem in unit_problems(module)]
    assert not problems, listed(problems, "End the name in _ns, _us, _ms or _s:")


def test_decisions_are_written_down_when_a_key_refers_to_them() -> None:
    decisions = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    problems = [
        name
        for name, info in EngineConfig.model_fields.items()
        if described(info).get("source") == "decisions.md" and name not in decisions
    ]
    assert not problems, listed(problems, "The key's source is decisions.md: say there why it has this value:")


@pytest.mark.parametrize(
    ("name", "unit"),
    [("ts_event", "ns since the Unix epoch, UTC"), ("lag_ns", "ms"), ("age_ms", "count"), ("lag", "ms")],
)
def test_a_time_without_its_unit_is_found(name: str, unit: str) -> None:
    assert time_problems(name, unit)


@pytest.mark.parametrize(
    ("name", "unit"), [("ts_event_ns", "ns since the Unix epoch, UTC"), ("levels", "count"), ("status", "symbol")]
)
def test_a_name_that_says_its_unit_is_let_through(name: str, unit: str) -> None:
    assert not time_problems(name, unit)


@pytest.mark.parametrize("source", ["def f(timeout_seconds): ...", "wait_millis = 3", "self.x_secs = 1"])
def test_another_way_to_say_a_unit_is_found(source: str) -> None:
    assert unit_problems(parsed(source, "common.example"))
