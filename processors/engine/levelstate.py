"""What the signal stage remembers of each level: a few numbers that can be stored on their own, as one row of bytes."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.columns import Column
from common.errors import InvariantError
from common.jit import kernel
from processors.engine.triggers import NOT_HELD

FORMAT_VERSION = 1

LEVEL = np.dtype(
    [
        ("seen_ns", np.int64),  # last snap seen; 0 before the first
        ("session_date", np.int64),
        ("direction", np.int64),
        ("signal", np.int64),  # last signal outside halts
        ("break_held_ns", np.int64),
        ("reject_held_ns", np.int64),
        ("seeded", np.int64),  # 1 when the smoothers hold values
        ("gamma_seeded", np.int64),
        ("score", np.float64),
        ("delta_liq", np.float64),
        ("added", np.float64),
        ("removed", np.float64),
        ("velocity", np.float64),
        ("dealer_gamma", np.float64),
    ]
)
"""One level's numbers: times in ns, the smoothed values in the units of ``levels.signals.v1``."""

_STRUCT = struct.Struct("<B8q6d")


@dataclass(frozen=True, slots=True)
class LevelState:
    """One level's numbers as a record; see :data:`LEVEL` for the meaning of each."""

    seen_ns: int = 0
    session_date: int = 0
    direction: int = 0
    signal: int = 0
    break_held_ns: int = NOT_HELD
    reject_held_ns: int = NOT_HELD
    seeded: int = 0
    gamma_seeded: int = 0
    score: float = 0.0
    delta_liq: float = 0.0
    added: float = 0.0
    removed: float = 0.0
    velocity: float = 0.0
    dealer_gamma: float = 0.0

    def to_bytes(self) -> bytes:
        """The record as little-endian bytes behind its format version; exact."""
        return _STRUCT.pack(FORMAT_VERSION, *astuple(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> LevelState:
        """What :meth:`to_bytes` wrote. Raises InvariantError for another version or size."""
        if len(data) != _STRUCT.size or data[0] != FORMAT_VERSION:
            version = data[0] if data else "none"
            raise InvariantError(
                f"a level's state has version {version} and {len(data)} bytes, not {FORMAT_VERSION} and {_STRUCT.size}",
                hint="Delete the changelog of the level table: the signals are then computed anew from the log.",
            )
        return cls(*_STRUCT.unpack(data)[1:])


class Strings(NamedTuple):
    """Strings as kernels read them: UTF-8 end to end, and where each begins and ends."""

    values: NDArray[np.uint8]
    offsets: NDArray[np.int64]


@kernel
def _hash(values: NDArray[np.uint8], start: int, stop: int) -> np.uint64:
    """FNV-1a, 64 bits."""
    value = np.uint64(14695981039346656037)
    for i in range(start, stop):
        value = (value ^ np.uint64(values[i])) * np.uint64(1099511628211)
    return value


@kernel
def _build(keys: Strings, table: NDArray[np.int64]) -> None:
    mask = np.uint64(len(table) - 1)
    table[:] = -1
    for slot in range(len(keys.offsets) - 1):
        at = _hash(keys.values, keys.offsets[slot], keys.offsets[slot + 1]) & mask
        while table[at] >= 0:
            at = (at + np.uint64(1)) & mask
        table[at] = slot


@kernel
def _lookup(ids: Strings, first: int, keys: Strings, table: NDArray[np.int64], out: NDArray[np.int64]) -> int:
    """Fill ``out`` with the slot of each id from row ``first`` on; returns the first row whose id has none."""
    mask = np.uint64(len(table) - 1)
    for row in range(first, len(out)):
        start, stop = ids.offsets[row], ids.offsets[row + 1]
        at = _hash(ids.values, start, stop) & mask
        while True:
            slot = table[at]
            if slot < 0:
                return row
            known = keys.offsets[slot]
            if keys.offsets[slot + 1] - known == stop - start:
                same = True
                for i in range(stop - start):
                    if keys.values[known + i] != ids.values[start + i]:
                        same = False
                        break
                if same:
                    break
            at = (at + np.uint64(1)) & mask
        out[row] = slot
    return len(out)


class SignalState:
    """The levels of one complex. Changed in place by :func:`processors.engine.signals.step` only.

    ``levels`` is LEVEL[capacity], indexed by slot; a level keeps its slot.
    """

    def __init__(self) -> None:
        self.levels = _fresh(64)
        self._slots: dict[bytes, int] = {}
        self._keys = Strings(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        self._table = np.full(256, -1, np.int64)

    @property
    def level_ids(self) -> tuple[str, ...]:
        """The levels known, in the order of their first appearance."""
        return tuple(key.decode() for key in self._slots)

    def get(self, level_id: str) -> LevelState:
        """One level's state; the unseeded state when it is unknown."""
        slot = self._slots.get(level_id.encode())
        return LevelState() if slot is None else LevelState(*self.levels[slot].item())

    def put(self, level_id: str, state: LevelState) -> None:
        """Set one level's state."""
        key = level_id.encode()
        if key not in self._slots:
            self._add(key)
        self.levels[self._slots[key]] = astuple(state)

    def slots(self, level_ids: Column) -> NDArray[np.int64]:
        """The slot of each row's level; unknown levels get the next slots in the order of their rows."""
        if level_ids.offsets is None:
            raise InvariantError("level_id is not a string column")
        ids = Strings(np.ascontiguousarray(level_ids.values).view(np.uint8), level_ids.offsets)
        out = np.empty(len(level_ids), np.int64)
        row = _lookup(ids, 0, self._keys, self._table, out)
        while row < len(out):
            self._add(ids.values[ids.offsets[row] : ids.offsets[row + 1]].tobytes())
            row = _lookup(ids, row, self._keys, self._table, out)
        return out

    def _add(self, key: bytes) -> None:
        self._slots[key] = len(self._slots)
        count = len(self._slots)
        if count > len(self.levels):
            self.levels = np.concatenate([self.levels, _fresh(len(self.levels))])
        while 2 * count > len(self._table):
            self._table = np.full(2 * len(self._table), -1, np.int64)
        offsets = np.zeros(count + 1, np.int64)
        np.cumsum([len(key) for key in self._slots], out=offsets[1:])
        self._keys = Strings(np.frombuffer(b"".join(self._slots), np.uint8).copy(), offsets)
        _build(self._keys, self._table)


def _fresh(capacity: int) -> NDArray[np.void]:
    levels = np.zeros(capacity, LEVEL)
    levels["break_held_ns"] = NOT_HELD
    levels["reject_held_ns"] = NOT_HELD
    return levels
