"""What was looked at, and with what: a record of every opening of test days, written before they are read.

A result on test days is worth less with every configuration tried on them. So each study appends one line to
``<home>/study/ledger.jsonl`` before it reads the first test day, and the report says how many configurations those days
have seen. Lines are never changed; who deletes the file deletes the evidence.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: ``variants`` and ``looks`` count this one too."""

    opened_at: str
    frozen_hash: str
    config_hash: str
    variants: int
    looks: int
    days: tuple[int, ...]


def frozen_hash(config_hash: str, choices: Mapping[str, Any]) -> str:
    """The hash of all that was decided before: the engine's configuration and the study's own choices."""
    canonical = json.dumps({"engine": config_hash, **choices}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Ledger:
    """The ledger of one home. ``path`` need not exist."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> list[Entry]:
        """All lines, oldest first. Raises InputError for a damaged one: its count could not be trusted."""
        if not self._path.exists():
            return []
        out = []
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                raw = json.loads(line)
                out.append(Entry(**{**raw, "days": tuple(raw["days"])}))
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(
                    f"{self._path}:{number} is no line of a ledger: {error}",
                    hint="Restore the file: the number of variants tried cannot be told without it.",
                ) from None
        return out

    def open_days(self, days: Sequence[int], frozen: str, config_hash: str, opened_at: str) -> Entry:
        """Note that ``days`` (yyyymmdd) are about to be opened; the line is on disk when this returns.

        ``variants``: distinct frozen hashes that any of these days has seen. ``looks``: times any of them was opened.
        """
        before = [entry for entry in self.entries() if not set(entry.days).isdisjoint(days)]
        variants = len({frozen, *(entry.frozen_hash for entry in before)})
        entry = Entry(opened_at, frozen, config_hash, variants, len(before) + 1, tuple(days))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return entry
