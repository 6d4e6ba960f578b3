"""Where the log of a one-off command goes."""

from __future__ import annotations

import sys

from common.settings import override
from common.telemetry import configure_logging


def log_beside(command: str, *, level: str | None = None) -> None:
    """Log to stderr, beside the result: JSON lines, but text on a terminal.

    ``level``: on a terminal nothing below it; what is less is for files.
    """
    if sys.stderr.isatty():
        override(log_json="false")
        if level is not None:
            override(log_level=level)
    configure_logging(command)
