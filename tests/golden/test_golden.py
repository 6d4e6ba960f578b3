"""Golden sessions: what the engine says of staged scenes is what was reviewed, and every threshold matters in one.

Spec: plan 9; core Configuration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import pytest

from common.config import EngineConfig, make_config
from common.errors import ConfigError
from common.settings import PROJECT_ROOT
from tests.golden.play import lines_of, output_of, path_of
from tests.golden.scenes import SCENES, Scene
from tests.support.market import to_rows

ELSEWHERE = {
    "HVL_RANGE": "tests/unit/processors/engine/test_fuel.py",
    "RATIO_TAU_S": "tests/unit/processors/engine/test_spot.py",
    "REJECT_EXIT_THRESHOLD": "tests/unit/processors/engine/test_signals_configuration.py",
    "CONTESTED_LOW": "tests/unit/processors/engine/test_signals_configuration.py",
    "LATENESS_FUTURES_S": "tests/unit/producers/test_sequencer.py",
    "LATENESS_STOCKS_S": "tests/unit/producers/test_sequencer.py",
    "LATENESS_OPTIONS_S": "tests/unit/producers/test_sequencer.py",
}
"""Keys whose edges no scene stands on, and the tests that do."""

OTHERWISE: Mapping[str, Any] = {
    "W_b": 11.0,
    "W_t": 5.25,
    "W_g": 3.0,
    "W_v": 3.25,
    "W_wall": 3.0,
    "WEAK_WINDOW_S": 40.0,
    "WEAK_MIN_HISTORY_S": 60.25,
    "SNAP_INTERVAL_MS": 500,
    "REFRESH_INTERVAL_S": 2.0,
    "USER_HOTZONES": (600.3,),
    "MULTI_LEG_CONDITIONS": (209,),
    "SMOOTHING": "MEDIAN",
    "VWAP_ANCHOR": "RTH",
}
"""Other values of keys for which half, double and a tenth more or less would not do: windows are whole snaps."""

WEIGHTS = ("w_L", "w_H", "w_T")


@cache
def scene(name: str) -> Scene:
    return SCENES[name]()


@cache
def spoken(name: str) -> str:
    """Digest of all that the engine says of a scene."""
    return digest(scene(name), {})


def digest(played: Scene, overrides: Mapping[str, Any]) -> str:
    output, judged = output_of(played, overrides)
    said = hashlib.sha256()
    for row in (*judged, *to_rows(output.features), *to_rows(output.outcomes), *to_rows(output.flow)):
        said.update(repr([value for name, value in row.items() if name != "config_hash"]).encode())
    return said.hexdigest()


def others(key: str, value: Any) -> Iterator[Any]:
    """Values near and less near to the one in use."""
    if key in OTHERWISE:
        yield OTHERWISE[key]
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, max(0, value - 1), 2 * value)
    else:
        yield from (1.1 * value, 0.9 * value, 2.0 * value, 0.5 * value)


def changes(name: str, key: str) -> Iterator[dict[str, Any]]:
    value = scene(name).overrides.get(key, getattr(EngineConfig(), key))
    for other in others(key, value):
        if key not in WEIGHTS:
            changed = {key: other}
        else:
            balance = next(weight for weight in WEIGHTS if weight != key)
            rest = 1.0 - other - sum(getattr(EngineConfig(), w) for w in WEIGHTS if w not in (key, balance))
            changed = {key: other, balance: rest}
        with suppress(ConfigError):  # a value that the configuration itself refuses changes nothing
            make_config({**scene(name).overrides, **changed})
            yield changed


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_says_what_was_reviewed(name: str) -> None:
    """``python -m tests.golden.play`` writes the files anew; review the diff."""
    assert lines_of(scene(name)) == path_of(name).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_shows_the_state_it_is_named_after(name: str) -> None:
    played = scene(name)
    output, judged = output_of(played)
    rows = [
        {**feature, **signal}
        for feature, signal in zip(to_rows(output.features), judged, strict=True)
        if signal["level_id"] == "ROUND_600"
    ]
    assert any(all(row[key] == value for key, value in played.shows.items()) for row in rows)


@pytest.mark.parametrize(("key", "path"), ELSEWHERE.items())
def test_the_other_keys_have_their_tests(key: str, path: str) -> None:
    text = (PROJECT_ROOT / path).read_text(encoding="utf-8")
    assert key in text or key.split("_", maxsplit=1)[0].lower() in text


@pytest.mark.parametrize("key", [key for key in EngineConfig.model_fields if key not in ELSEWHERE])
def test_another_value_of_a_key_changes_what_some_scene_says(key: str) -> None:
    assert any(digest(scene(name), change) != spoken(name) for name in SCENES for change in changes(name, key))
