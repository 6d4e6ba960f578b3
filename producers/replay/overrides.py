"""The deployment's configuration with some keys changed on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.config import EngineConfig, load_config, make_config
from common.errors import ConfigError


def config_with(changes: Sequence[str]) -> tuple[EngineConfig, dict[str, Any]]:
    """The configuration after all ``KEY=VALUE``, and the keys that they name with their values.

    Raises ConfigError that names the key or the value that cannot be used.
    """
    config = load_config()
    values = config.model_dump()
    names = []
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise ConfigError(f"--set {change} is not KEY=VALUE", hint=f"Write --set {key}=VALUE.")
        if key not in values:
            close = [name for name in values if name.lower() == key.lower()]
            raise ConfigError(
                f"--set {change}: {key!r} is no configuration key",
                hint=f"Did you mean {close[0]}?" if close else "docs/features.md and GET /v1/config list the keys.",
            )
        values[key] = [part.strip() for part in text.split(",")] if isinstance(values[key], tuple) else text
        names.append(key)
    config = make_config(values) if changes else config
    return config, {name: getattr(config, name) for name in names}
