"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.errors import ConfigError
from common.settings import override, settings


def _use_home(value: Path | None) -> Path | None:
    if value is not None:
        override(home=str(value))
    return value


def _use_stored_home(value: Path | None) -> Path | None:
    _use_home(value)
    require_home()
    return value


def require_home() -> None:
    """Raise ConfigError when the tables would lie in a home that is not there: who only reads does not make one."""
    from common.iceberg import configured

    home = settings().home
    if not home.is_dir() and configured() is None:
        raise ConfigError(
            f"nothing is stored in {home}: there is no such folder",
            hint="Name the right one with --home or BREAKWATER_HOME, or make it: ./breakwater demo.",
        )


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of all local state.", show_default=".breakwater", file_okay=False, callback=_use_home
    ),
]
"""Takes effect when it is parsed: from then on ``settings().home`` is that folder, in child processes too."""

StoredHomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Folder of all local state.",
        show_default=".breakwater",
        file_okay=False,
        callback=_use_stored_home,
    ),
]
"""The same for a command that asks the tables that are there: see `require_home`."""
