"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.settings import override


def _use_home(value: Path | None) -> Path | None:
    if value is not None:
        override(home=str(value))
    return value


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of all local state.", show_default=".breakwater", file_okay=False, callback=_use_home
    ),
]
"""Takes effect when it is parsed: from then on ``settings().home`` is that folder, in child processes too."""
