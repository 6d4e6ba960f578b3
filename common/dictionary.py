"""``python -m common.dictionary``: write docs/features.md, the dictionary of what the engine publishes and obeys.

Meaning, type and unit of a column come from its ``.avsc``, its formula, keys and leakage note from
``schemas-avro/formulas.toml``, keys and their defaults from :mod:`common.config`.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from common import schemas, topics
from common.config import PROFILES, EngineConfig, make_config
from common.errors import SchemaError
from common.schemas import SCHEMA_DIR, Field
from common.settings import PROJECT_ROOT

TOPICS = (topics.FEATURES, topics.SIGNALS, topics.OUTCOMES, topics.OPTIONS_FLOW)
PATH = PROJECT_ROOT / "docs" / "features.md"
COMMAND = "python -m common.dictionary"

GROUPS = {
    "envelope": "Envelope",
    "price": "Price",
    "level": "Level",
    "barrier": "Barrier",
    "tape": "Tape",
    "fuel": "Fuel",
    "score": "Score",
    "runway": "Runway",
    "episode": "Episode and outcome",
    "validity": "Validity",
}
"""The tables of formulas.toml, in the order of the document, with their headings."""


@dataclass(frozen=True, slots=True)
class Formula:
    """How a column is computed. ``keys``: configuration keys, windows first; ``known``: leakage notes by topic."""

    group: str
    formula: str
    keys: tuple[str, ...]
    known: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One column of one topic. ``window``: its first key when that is a time, with the default; ``leakage``: when it
    was known.
    """

    topic: str
    field: Field
    formula: Formula
    window: str
    leakage: str


@cache
def _table() -> dict[str, Any]:
    with (SCHEMA_DIR / "formulas.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def formulas() -> dict[str, Formula]:
    """By column. Raises SchemaError for a column given twice, an unknown group or an unknown configuration key."""
    out: dict[str, Formula] = {}
    for group, columns in _table().items():
        if group == "topics":
            continue
        if group not in GROUPS:
            raise SchemaError(f"formulas.toml: there is no group {group!r}", hint=f"Groups: {', '.join(GROUPS)}")
        for name, given in columns.items():
            keys = tuple(given.get("keys", ()))
            unknown = [key for key in keys if key not in EngineConfig.model_fields]
            if name in out or unknown:
                problem = f"names no configuration key: {unknown[0]}" if unknown else "is given twice"
                raise SchemaError(f"formulas.toml: {name} {problem}")
            out[name] = Formula(group, given["formula"], keys, given.get("known", {}))
    return out


def _unit(key: str) -> str:
    extra = EngineConfig.model_fields[key].json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def _window(formula: Formula) -> str:
    if not formula.keys or _unit(formula.keys[0]) not in ("s", "ms"):
        return ""
    key = formula.keys[0]
    return f"{key} ({_value(getattr(EngineConfig(), key))} {_unit(key)})"


def entries() -> Iterator[Entry]:
    """Every column of the four topics, in the order of the schemas. Raises SchemaError for one without a formula."""
    known = _table()["topics"]
    for topic in TOPICS:
        for field in schemas.load(topic).fields:
            formula = formulas().get(field.name)
            if formula is None:
                raise SchemaError(f"{topic}.{field.name} has no formula", hint="Add it to schemas-avro/formulas.toml.")
            yield Entry(topic, field, formula, _window(formula), formula.known.get(topic, known[topic]))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return f"{value[0]}..{value[-1]}" if len(value) > 3 else ", ".join(map(str, value)) or "none"
    return str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _columns(topic: str, group: str, given: list[Entry]) -> Iterator[str]:
    yield f"### {GROUPS[group]}"
    yield ""
    yield _row("column", "meaning", "formula", "unit", "window", "other keys")
    yield _row(*["---"] * 6)
    for entry in given:
        field = entry.field
        symbols = f" ({', '.join(field.symbols)})" if field.symbols and len(field.symbols) < 8 else ""
        keys = entry.formula.keys[1:] if entry.window else entry.formula.keys
        yield _row(
            f"`{field.name}`",
            _cell(field.doc) + symbols,
            _cell(entry.formula.formula),
            _cell(field.unit),
            _cell(entry.window),
            ", ".join(f"`{key}`" for key in keys),
        )
    yield ""
    for entry in given:
        if topic in entry.formula.known:
            yield f"- `{entry.field.name}`: {entry.leakage}."
    if any(topic in entry.formula.known for entry in given):
        yield ""


def _keys() -> Iterator[str]:
    configs = {name: make_config(values) for name, values in PROFILES.items()}
    yield "## Configuration keys"
    yield ""
    yield (
        "A profile is a set of keys over the defaults; a value is shown under a profile only where it differs from"
        " `spy`, which has the defaults."
    )
    yield ""
    yield _row("key", "meaning", "unit", *(f"`{name}`" for name in configs), "source")
    yield _row(*["---"] * (4 + len(configs)))
    for described in EngineConfig().described():
        key, default = described["key"], described["value"]
        values = [_value(value) for value in (getattr(config, key) for config in configs.values())]
        shown = [
            value if name == "spy" or value != _value(default) else ""
            for name, value in zip(configs, values, strict=True)
        ]
        yield _row(
            f"`{key}`", _cell(described["description"]), _cell(described["unit"]), *shown, _cell(described["source"])
        )
    yield ""


def _lines() -> Iterator[str]:
    yield "# Feature dictionary"
    yield ""
    yield (
        f"Made by `{COMMAND}` from the schemas, their formulas and the configuration; edit those, not this file."
        " Windows show the default. Names in formulas are other columns of the row or configuration keys; sums run over"
        " the window. *Smooth* values are in event time: dt is the time since the level's last snap."
    )
    yield ""
    yield (
        "Sources: *core.md*, *common.md*, *common-interfaces.md* and *plan* are the specification that the owner of"
        " this project gave, *DESIGN* the design made of it, each with its section. They are not part of this"
        " repository."
        " *decisions.md* is [docs/decisions.md](decisions.md)."
    )
    yield ""
    everything = list(entries())
    for topic in TOPICS:
        yield f"## {topic}"
        yield ""
        yield f"{schemas.load(topic).doc} Every column is {_table()['topics'][topic]}."
        yield ""
        for group in GROUPS:
            given = [entry for entry in everything if entry.topic == topic and entry.formula.group == group]
            if given:
                yield from _columns(topic, group, given)
    yield from _keys()


def text() -> str:
    """The document."""
    return "\n".join(_lines()).rstrip() + "\n"


def main() -> None:
    """Write the document."""
    PATH.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{PATH.relative_to(PROJECT_ROOT)} written\n")


if __name__ == "__main__":
    main()
