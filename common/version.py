"""Which code this is: what git says of the checkout that the process runs from."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache

from common.settings import PROJECT_ROOT

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Code:
    """``commit`` and ``branch`` are None where there is no git or no checkout; ``dirty``: files differ from it."""

    commit: str | None
    branch: str | None
    dirty: bool


@cache
def code() -> Code:
    """The checkout's state when it was first asked for."""
    commit = _git("rev-parse", "HEAD")
    branch = _git("rev-parse", "--abbrev-ref", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return Code(commit, None if branch == "HEAD" else branch, bool(changed))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
