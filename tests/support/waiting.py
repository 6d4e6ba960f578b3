"""Waiting for what a process of ours will do, and what it said when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

LIMIT_S = 300.0
LOOK_S = 0.02
SAID_CHARACTERS = 4_000


def wait_until(what: str, home: Path, true: Callable[[], bool]) -> None:
    """Until it is true. Raises AssertionError with the ends of the logs in ``home`` when it does not come to be."""
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline_s:
            said = "\n".join(path.read_text()[-SAID_CHARACTERS:] for path in sorted(home.glob("*.log")))
            raise AssertionError(f"{what}: not within {LIMIT_S} s\n{said}")
        time.sleep(LOOK_S)
