"""What the signal stage remembers of each level: a few numbers that can be stored on their own, as one row of bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.columns import Column
from common.errors import InvariantError
from common.jit import kernel
from processors.engine.smoothing import ROBUST_MAX
from processors.engine.triggers import NOT_HELD

FORMAT_VERSION = 2

LEVEL = np.dtype(
    [
        ("seen_ns", np.int64),  # last snap seen; 0 before the first
        ("session_date", np.int64),
        ("direction", np.int64),
        ("episode", np.int64),  # number of the episode that the last row belonged to; 0 outside episodes
        ("signal", np.int64),  # last signal outside halts
        ("break_held_ns", np.int64),
        ("reject_held_ns", np.int64),
        ("seeded", np.int64),  # 1 when the smoothers hold values
        ("gamma_seeded", np.int64),
        ("samples", np.int64),  # samples in each ring but gamma's; 0 without a rolling median
        ("gamma_samples", np.int64),
        ("score", np.float64),
        ("delta_liq", np.float64),
        ("added", np.float64),
        ("removed", np.float64),
        ("velocity", np.float64),
        ("dealer_gamma", np.float64),
    ]
)
"""One level's numbers: times in ns, the smoothed values in the units of ``levels.signals.v1``."""

SERIES = ("score", "delta_liq", "added", "removed", "velocity", "dealer_gamma")
"""What is smoothed, in the order of the rings; ``samples`` counts each but the last, ``gamma_samples`` that one."""
SCORE, DELTA_LIQ, ADDED, REMOVED, VELOCITY, DEALER_GAMMA = range(len(SERIES))

Rings = NDArray[np.float64]
"""The newest samples of each series, float64[capacity, 6, 15] by slot: oldest first, behind the last of them unset."""

_STRUCT = struct.Struct("<B9q2B6d")


@dataclass(frozen=True, slots=True)
class LevelState:
    """One level's numbers as a record; see :data:`LEVEL` for the meaning of each.

    ``rings`` holds the samples that are set, series after series.
    """

    seen_ns: int = 0
    session_date: int = 0
    direction: int = 0
    episode: int = 0
    signal: int = 0
    break_held_ns: int = NOT_HELD
    reject_held_ns: int = NOT_HELD
    seeded: int = 0
    gamma_seeded: int = 0
    samples: int = 0
    gamma_samples: int = 0
    score: float = 0.0
    delta_liq: float = 0.0
    added: float = 0.0
    removed: float = 0.0
    velocity: float = 0.0
    dealer_gamma: float = 0.0
    rings: tuple[float, ...] = ()

    def to_bytes(self) -> bytes:
        """The record as little-endian bytes behind its format version, the samples at the end; exact."""
        *numbers, rings = astuple(self)
        return _STRUCT.pack(FORMAT_VERSION, *numbers) + struct.pack(f"<{len(rings)}d", *rings)

    @classmethod
    def from_bytes(cls, data: bytes) -> LevelState:
        """What :meth:`to_bytes` wrote. Raises InvariantError for another version or size."""
        if len(data) >= _STRUCT.size and data[0] == FORMAT_VERSION:
            rest, odd = divmod(len(data) - _STRUCT.size, 8)
            rings = struct.unpack_from(f"<{rest}d", data, _STRUCT.size)
            made = replace(cls(*_STRUCT.unpack_from(data)[1:]), rings=rings)
            if not odd and rest == sum(made.ring_lengths()) and max(made.ring_lengths()) <= ROBUST_MAX:
                return made
        version = data[0] if data else "none"
        raise InvariantError(
            f"a level's state has version {version} and {len(data)} bytes, not {FORMAT_VERSION} and what its samples"
            " need",
            hint="Delete the changelog of the level table: the signals are then computed anew from the log.",
        )

    def ring_lengths(self) -> tuple[int, ...]:
        """How many samples each series has in ``rings``."""
        return (self.samples,) * (len(SERIES) - 1) + (self.gamma_samples,)


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

    ``levels`` is LEVEL[capacity] and ``rings`` belongs to it, both indexed by slot; a level keeps its slot.
    """

    def __init__(self) -> None:
        self.levels = _fresh(64)
        self.rings = _fresh_rings(64)
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
        if slot is None:
            return LevelState()
        numbers = LevelState(*self.levels[slot].item())
        if not numbers.samples and not numbers.gamma_samples:
            return numbers
        parts = [self.rings[slot, at, :count] for at, count in enumerate(numbers.ring_lengths())]
        return replace(numbers, rings=tuple(np.concatenate(parts).tolist()))

    def put(self, level_id: str, state: LevelState) -> None:
        """Set one level's state."""
        key = level_id.encode()
        if key not in self._slots:
            self._add(key)
        slot = self._slots[key]
        *numbers, rings = astuple(state)
        self.levels[slot] = tuple(numbers)
        _put_rings(self.rings[slot], rings, state.ring_lengths())

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
            self.rings = np.concatenate([self.rings, _fresh_rings(len(self.rings))])
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


def _fresh_rings(capacity: int) -> Rings:
    return np.zeros((capacity, len(SERIES), ROBUST_MAX))


def _put_rings(out: NDArray[np.float64], samples: Sequence[float], lengths: Sequence[int]) -> None:
    start = 0
    for at, length in enumerate(lengths):
        out[at, :length] = samples[start : start + length]
        start += length
