"""Where things are: the deployment's settings, from ``breakwater.toml`` and the environment. The only reader of the
environment.

What the engine computes with is not here but in :mod:`common.config`. Environment variables win over the file:
``BREAKWATER_KAFKA_BOOTSTRAP`` sets ``kafka_bootstrap``, and so on. Secrets are ``SecretStr`` and never printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from common.errors import ConfigError

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """One deployment. Every key is also an environment variable with the prefix ``BREAKWATER_``."""

    model_config = SettingsConfigDict(
        env_prefix="BREAKWATER_", toml_file="breakwater.toml", frozen=True, extra="forbid", validate_default=True
    )

    home: Path = Field(
        default=PROJECT_ROOT / ".breakwater",
        description="Folder of all local state: broker logs, registry, tables, logs.",
    )
    cache: Path = Field(
        default=Path("~/.cache/breakwater"), description="Folder of downloaded parts, shared between checkouts."
    )
    config_file: Path | None = Field(
        default=None, description="TOML file with engine configuration keys (common.config)."
    )
    profile: str = Field(default="spy", description="Engine profile: a named set of configuration keys.")
    namespace: str = Field(
        default="", description="Prefix of all topic names; empty when live, replay.<run_id> in a replay."
    )
    complexes: str = Field(default="SPY", description="Complexes that a worker serves, separated by commas.")
    kafka_bootstrap: str | None = Field(default=None, description="Broker addresses; unset means the local stack's.")
    kafka_security: str | None = Field(
        default=None,
        description="Extra librdkafka settings for all clients, as key=value pairs separated by semicolons.",
    )
    kafka_sasl_password: SecretStr | None = Field(
        default=None, description="SASL password, kept apart from kafka_security."
    )
    registry_url: str | None = Field(
        default=None, description="Schema registry base address (Confluent API); unset means the local stack's."
    )
    source_timeout_ms: int = Field(
        default=2000,
        gt=0,
        description="How long the features worker waits for an input other than ES that is silent (ms).",
    )
    sink_member: str | None = Field(
        default=None,
        description="Name of this sink among those that share the work; default: the host's name.",
    )
    minio: Path | None = Field(
        default=None, description="MinIO's program for the local lake; unset means built with Go, once."
    )
    spool_bytes: int = Field(
        default=4 << 30,
        gt=0,
        description="Room for what a live producer holds while the broker is away (bytes); then the feed is held back.",
    )
    idle_grace_ms: int = Field(
        default=100,
        ge=0,
        description="How far behind its source's clock a live producer promises while nothing comes (ms).",
    )
    catalog: str = Field(
        default="breakwater", description="Iceberg catalog name; its properties come the PyIceberg way."
    )
    trino_url: str | None = Field(
        default=None, description="Trino that packs files and merges manifests, http://host:port/catalog."
    )
    ray_address: str | None = Field(
        default=None, description="Ray cluster of backfills, host:port; unset means workers on this machine."
    )
    databento_key: SecretStr | None = Field(default=None, description="Databento's API key.")
    databento_key_file: Path | None = Field(default=None, description="File that holds databento_key.")
    databento_dataset: str = Field(default="GLBX.MDP3", description="Databento's dataset of the futures.")
    databento_symbol: str = Field(
        default="ES.c.0",
        description="Continuous symbol that is followed: ES.c.0 rolls at expiry, ES.v.0 (recommended) with the volume.",
    )
    databento_gateway: str | None = Field(
        default=None, description="host:port of another live gateway in Databento's place."
    )
    databento_url: str | None = Field(
        default=None, description="Base address of another historical service in Databento's place."
    )
    massive_key: SecretStr | None = Field(default=None, description="Massive's (Polygon's) API key.")
    massive_key_file: Path | None = Field(default=None, description="File that holds massive_key.")
    massive_stocks_url: str = Field(
        default="wss://socket.massive.com/stocks", description="Massive's WebSocket of stocks."
    )
    massive_options_url: str = Field(
        default="wss://socket.massive.com/options", description="Massive's WebSocket of options."
    )
    massive_rest_url: str = Field(default="https://api.massive.com", description="Massive's REST base address.")
    massive_chain_interval_s: float = Field(
        default=10.0, gt=0, description="Time between two snapshots of the option chain (s)."
    )
    massive_capture: Path | None = Field(
        default=None, description="Folder into which a live day of Massive's is recorded; unset means it is not."
    )
    api_host: str = Field(default="127.0.0.1", description="Address the API binds.")
    api_port: int = Field(default=0, ge=0, le=65535, description="Port the API binds; 0 picks a free one.")
    health_host: str = Field(default="127.0.0.1", description="Address of each service's health and metrics endpoints.")
    health_port: int = Field(default=0, ge=0, le=65535, description="Port of them; 0 picks a free one.")
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_json: bool = Field(default=True, description="Log as JSON lines; false for reading in a terminal.")
    sample_data: Path = Field(
        default=PROJECT_ROOT.parent / "shared" / "data", description="Folder of real market data for tests."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over environment, environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def lake(self) -> Path:
        """Folder of the embedded catalog and its tables."""
        return self.home / "lake"

    @property
    def logs(self) -> Path:
        """Folder of the services' log files."""
        return self.home / "logs"

    @property
    def complex_names(self) -> tuple[str, ...]:
        """The complexes as a tuple, in the order given."""
        return tuple(part.strip() for part in self.complexes.split(",") if part.strip())


def _got(problem: Mapping[str, Any]) -> str:
    """The offending value for a message, unless the key is a secret."""
    info = Settings.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
    is_secret = info is not None and "SecretStr" in str(info.annotation)
    return "" if is_secret else f" (got {problem['input']!r})"


@cache
def settings() -> Settings:
    """The process's settings, read once. Raises ConfigError that names each offending key."""
    try:
        loaded = Settings()
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}{_got(e)}" for e in error.errors())
        raise ConfigError(
            f"settings cannot be used: {problems}", hint="Correct breakwater.toml or the BREAKWATER_ variables."
        ) from None
    return loaded.model_copy(
        update={"home": loaded.home.expanduser().resolve(), "cache": loaded.cache.expanduser().resolve()}
    )


def secret(name: str) -> SecretStr:
    """The secret of that key, or the content of the file that ``<name>_file`` names. Raises ConfigError without any."""
    given: SecretStr | None = getattr(settings(), name)
    path: Path | None = getattr(settings(), f"{name}_file")
    if given is None and path is not None:
        try:
            given = SecretStr(path.expanduser().read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}_file {path} cannot be read: {error}", hint="Check the path.") from None
    if given is None or not given.get_secret_value():
        variable = f"{Settings.model_config['env_prefix']}{name.upper()}"
        raise ConfigError(f"{name} is not set", hint=f"Set {variable}, or {variable}_FILE to a file that holds it.")
    return given


def override(**values: str) -> None:
    """Set keys for this process and its children, as if the environment had said so; read the settings anew."""
    os.environ.update({f"{Settings.model_config['env_prefix']}{key.upper()}": value for key, value in values.items()})
    settings.cache_clear()


def child_environment(**changes: str) -> dict[str, str]:
    """This process's environment for a child, with changes. Keeps the reading of the environment in one place."""
    return {**os.environ, **changes}


def tell_library(**variables: str) -> None:
    """Set variables for a library that takes them from the environment alone; what is set already stays."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def environment_with_prefix(prefix: str) -> Mapping[str, str]:
    """Variables whose names start with ``prefix``, without it (engine configuration keys, for one)."""
    return {key.removeprefix(prefix): value for key, value in sorted(os.environ.items()) if key.startswith(prefix)}
