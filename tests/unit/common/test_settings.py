"""The deployment's settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import settings as module
from common.errors import ConfigError
from common.settings import Settings, child_environment, environment_with_prefix, override, settings
from tests.support.stack import environment


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder without a settings file, and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    ours = [name for name in os.environ if name.startswith("BREAKWATER_")]
    with environment(**dict.fromkeys(ours)):
        yield


def test_the_defaults_bind_the_loopback_and_free_ports_only() -> None:
    assert (settings().api_host, settings().health_host) == ("127.0.0.1", "127.0.0.1")
    assert (settings().api_port, settings().health_port) == (0, 0)


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults() -> None:
    Path("breakwater.toml").write_text('api_port = 8001\nprofile = "desk"\n', encoding="utf-8")
    with environment(BREAKWATER_API_PORT="8002"):
        assert settings().api_port == 8002
        assert settings().profile == "desk"
        assert settings().namespace == ""
    assert settings().api_port == 8001


def test_settings_are_read_once() -> None:
    first = settings()
    os.environ["BREAKWATER_PROFILE"] = "es"
    try:
        assert settings() is first
    finally:
        del os.environ["BREAKWATER_PROFILE"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("BREAKWATER_API_PORT", "many"), ("BREAKWATER_API_PORT", "70000"), ("BREAKWATER_LOG_JSON", "perhaps")],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with environment(**{name: value}), pytest.raises(ConfigError) as caught:
        settings()
    assert name.removeprefix("BREAKWATER_").lower() in str(caught.value)
    assert value in str(caught.value)
    assert "BREAKWATER_" in str(caught.value.hint)


def test_a_key_of_the_file_that_does_not_exist_is_named() -> None:
    Path("breakwater.toml").write_text("kafka_botstrap = 'x'\n", encoding="utf-8")
    settings.cache_clear()
    with pytest.raises(ConfigError, match="kafka_botstrap"):
        settings()


def test_a_secret_is_never_shown() -> None:
    with environment(BREAKWATER_KAFKA_SASL_PASSWORD="hunter2"):
        assert "hunter2" not in repr(settings())
        assert "hunter2" not in str(settings())
        assert "hunter2" not in settings().model_dump_json()
        password = settings().kafka_sasl_password
        assert password is not None
        assert password.get_secret_value() == "hunter2"


def test_the_wrong_value_of_a_secret_is_not_in_the_error() -> None:
    Path("breakwater.toml").write_text('kafka_sasl_password = ["hunter2"]\n', encoding="utf-8")
    settings.cache_clear()
    with pytest.raises(ConfigError, match="kafka_sasl_password") as caught:
        settings()
    assert "hunter2" not in str(caught.value)


def test_folders_are_absolute_and_derived_from_the_home(tmp_path: Path) -> None:
    with environment(BREAKWATER_HOME="relative", BREAKWATER_CACHE="~/x"):
        assert settings().home == tmp_path / "relative"
        assert settings().lake == tmp_path / "relative" / "lake"
        assert settings().logs == tmp_path / "relative" / "logs"
        assert settings().cache == Path.home() / "x"


@pytest.mark.parametrize(("text", "names"), [("SPY", ("SPY",)), ("SPY, QQQ,", ("SPY", "QQQ")), ("", ())])
def test_complexes_are_names_between_commas(text: str, names: tuple[str, ...]) -> None:
    with environment(BREAKWATER_COMPLEXES=text):
        assert settings().complex_names == names


def test_an_override_reaches_this_process_and_its_children(tmp_path: Path) -> None:
    with environment(BREAKWATER_HOME=None):
        override(home=str(tmp_path / "elsewhere"))
        assert settings().home == tmp_path / "elsewhere"
        assert child_environment()["BREAKWATER_HOME"] == str(tmp_path / "elsewhere")


def test_a_childs_environment_is_ours_with_changes() -> None:
    with environment(BREAKWATER_PROFILE="es"):
        assert child_environment(NEW="1", BREAKWATER_PROFILE="spy") == {
            **os.environ,
            "NEW": "1",
            "BREAKWATER_PROFILE": "spy",
        }
        assert os.environ["BREAKWATER_PROFILE"] == "es"


def test_variables_with_a_prefix_come_without_it_and_sorted() -> None:
    with environment(BREAKWATER_ENGINE_W_t="5", BREAKWATER_ENGINE_W_b="10", OTHER="x"):
        assert list(environment_with_prefix("BREAKWATER_ENGINE_").items()) == [("W_b", "10"), ("W_t", "5")]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().profile = "es"  # type: ignore[misc]


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, info in Settings.model_fields.items() if not info.description] == []
    assert module.PROJECT_ROOT.joinpath("pyproject.toml").is_file()
