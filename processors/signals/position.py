"""How far a partition has been judged: one row of the level table, beside the rows of its levels.

The row is written after the rows of all levels that it names, so whatever a crash leaves behind can be told apart: rows
newer than the position are duplicates to be dropped, a row older than it (a zombie's) means that the table cannot be
trusted, and the session is judged anew from its first row. The consumer group's offsets play no part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from common.errors import InvariantError
from processors.engine.levelstate import LevelState, SignalState

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next run begins and what it must find.

    ``next_offset``: of the feature row after the last whole snap that was judged. ``snap_ns``: that snap's time (0
    before the first) and ``level_ids`` its levels. ``session_offset``: of the first row of its session, in which every
    level starts anew.
    """

    next_offset: int
    snap_ns: int
    session_date: int
    session_offset: int
    level_ids: tuple[str, ...]
    config_hash: str

    def to_bytes(self) -> bytes:
        """The position as JSON behind its format version."""
        return json.dumps({"version": FORMAT_VERSION, **asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Position:
        """What :meth:`to_bytes` wrote. Raises InvariantError for anything else."""
        try:
            fields = json.loads(data)
            version = fields.pop("version")
            if version == FORMAT_VERSION:
                return cls(**{**fields, "level_ids": tuple(fields["level_ids"])})
        except (ValueError, KeyError, TypeError, AttributeError):
            version = "none"
        raise InvariantError(
            f"a position row of the level table has version {version}, not {FORMAT_VERSION}",
            hint="Delete the changelog of the level table: the signals are then computed anew from the log.",
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition's judging begins: the state, the position (None: the log's first record) and why, in a word."""

    state: SignalState
    position: Position | None
    reason: str


def level_key(complex_name: str, level_id: str) -> bytes:
    """The table key of a level."""
    return f"{complex_name}/{level_id}".encode()


def position_key(complex_name: str) -> bytes:
    """The table key of the complex's position; no level's key begins with a zero byte."""
    return f"\0position/{complex_name}".encode()


def start_from(table: Mapping[bytes, bytes], complex_name: str, config_hash: str) -> Start:
    """Where to begin, from the table's rows after their recovery."""
    raw = table.get(position_key(complex_name))
    if raw is None:
        return Start(SignalState(), None, "new")
    position = Position.from_bytes(raw)
    if position.config_hash != config_hash:
        # Numbers made by another configuration are not this one's: its levels start anew from here.
        return Start(SignalState(), position, "configuration changed")
    state = SignalState()
    for level_id, level in _levels(table, complex_name):
        state.put(level_id, level)
    if any(state.get(level_id).seen_ns < position.snap_ns for level_id in position.level_ids):
        again = Position(position.session_offset, 0, 0, position.session_offset, (), config_hash)
        return Start(SignalState(), again, "level rows older than the position")
    return Start(state, position, "resumed")


def _levels(table: Mapping[bytes, bytes], complex_name: str) -> Iterable[tuple[str, LevelState]]:
    prefix = level_key(complex_name, "")
    for key in sorted(key for key in table if key.startswith(prefix)):
        yield key.removeprefix(prefix).decode(), LevelState.from_bytes(table[key])
