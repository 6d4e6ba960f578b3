"""Event ids: a 64-bit hash of what the vendor sent, with an ordinal among identical records.

The hash, in arithmetic modulo 2^64, over the words ``w`` of one record (see :func:`content_hashes` for which)::

    mix(x):  x ^= x >> 30;  x *= 0xBF58476D1CE4E5B9;  x ^= x >> 27;  x *= 0x94D049BB133111EB;  x ^= x >> 31
    h = FNV-1a-64(topic name);   for each w:  h = mix((h ^ w) + 0x9E3779B97F4A7C15)
    event_id = mix(h + ordinal * 0x9E3779B97F4A7C15), read as a signed integer

(``mix`` is SplitMix64's finaliser.) The ordinal counts the earlier records with the same ``h``, which holds the
event's time: real feeds repeat themselves in every field, and those are different events.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba as nb
import numpy as np
from numpy.typing import NDArray

GENERATION_RECORDS = 1 << 17
"""Identical records are recognised when fewer than this many others lie between them (up to twice as many)."""

_SLOTS = GENERATION_RECORDS * 2
_MASK = np.uint64(_SLOTS - 1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MUL_1 = np.uint64(0xBF58476D1CE4E5B9)
_MUL_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@nb.njit(cache=True, inline="always")
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> _S30)) * _MUL_1
    x = (x ^ (x >> _S27)) * _MUL_2
    return x ^ (x >> _S31)


@nb.njit(cache=True)
def _absorb(h: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    for i in range(len(h)):
        h[i] = _mix((h[i] ^ words[i]) + _GOLDEN)


@nb.njit(cache=True)
def _count(keys: NDArray[np.uint64], counts: NDArray[np.int64], key: np.uint64, add: int) -> int:
    """The count under ``key`` before ``add`` is added to it (open addressing; a zero count is an empty slot)."""
    slot = key & _MASK
    while counts[slot] != 0 and keys[slot] != key:
        slot = (slot + np.uint64(1)) & _MASK
    before = counts[slot]
    if add != 0:
        keys[slot] = key
        counts[slot] = before + add
    return int(before)


@nb.njit(cache=True)
def _number(
    hashes: NDArray[np.uint64],
    out: NDArray[np.int64],
    position: int,
    keys: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> None:
    """Ids of records ``position`` onwards; ``keys`` and ``counts`` hold the two youngest generations."""
    for i in range(len(hashes)):
        generation = (position + i) // GENERATION_RECORDS
        now, before = generation % 2, (generation + 1) % 2
        if (position + i) % GENERATION_RECORDS == 0:
            counts[now, :] = 0
        h = hashes[i]
        ordinal = _count(keys[now], counts[now], h, 0)
        if ordinal == 0:
            # Seen in the generation before: go on from there.
            ordinal = _count(keys[before], counts[before], h, 0)
            _count(keys[now], counts[now], h, ordinal + 1)
        else:
            _count(keys[now], counts[now], h, 1)
        out[i] = np.int64(_mix(h + np.uint64(ordinal) * _GOLDEN))


def fnv1a(text: str) -> int:
    """FNV-1a, 64 bits, of the text's UTF-8 bytes."""
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def content_hashes(topic: str, words: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """The hash of each record's content.

    ``words`` are uint64 columns in the fixed order: publisher (the venue), instrument_id, ts_event, ts_recv, sequence,
    action, side, price (1e-9, as sent), size.
    """
    h = np.full(len(words[0]), fnv1a(topic), np.uint64)
    for column in words:
        _absorb(h, column)
    return h


class EventIds:
    """Numbers the records of one source in its order; however the source is cut into batches, the ids are the same."""

    def __init__(self) -> None:
        self._position = 0
        self._keys = np.zeros((2, _SLOTS), np.uint64)
        self._counts = np.zeros((2, _SLOTS), np.int64)

    def assign(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The ids of the source's next records, whose content hashes are given."""
        out = np.empty(len(hashes), np.int64)
        _number(hashes, out, self._position, self._keys, self._counts)
        self._position += len(hashes)
        return out
