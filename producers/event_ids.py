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

import numpy as np
from numpy.typing import NDArray

from common.jit import inlined, kernel

GENERATION_RECORDS = 1 << 17
"""Identical records are recognised when fewer than this many others lie between them (up to twice as many)."""

_SLOTS = GENERATION_RECORDS * 2
_PLACE_BITS = 18
_PLACE = np.uint32((1 << _PLACE_BITS) - 1)
_TAG_SHIFT = np.uint64(64 - (32 - _PLACE_BITS))
_NOT_SEEN = -1
_MASK = np.uint64(_SLOTS - 1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MUL_1 = np.uint64(0xBF58476D1CE4E5B9)
_MUL_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@inlined
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> _S30)) * _MUL_1
    x = (x ^ (x >> _S27)) * _MUL_2
    return x ^ (x >> _S31)


@kernel
def _absorb(h: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    for i in range(len(h)):
        h[i] = _mix((h[i] ^ words[i]) + _GOLDEN)


@inlined
def _find(table: NDArray[np.uint32], keys: NDArray[np.uint64], generation: int, key: np.uint64) -> int:
    """The key's place among the generation's keys, or _NOT_SEEN."""
    tag = np.uint32(key >> _TAG_SHIFT)
    slot = key & _MASK
    entry = table[generation, slot]
    while entry != 0:
        if entry >> _PLACE_BITS == tag:
            place = int(entry & _PLACE) - 1
            if keys[generation, place] == key:
                return place
        slot = (slot + np.uint64(1)) & _MASK
        entry = table[generation, slot]
    return _NOT_SEEN


@inlined
def _insert(table: NDArray[np.uint32], generation: int, key: np.uint64, place: int) -> None:
    slot = key & _MASK
    while table[generation, slot] != 0:
        slot = (slot + np.uint64(1)) & _MASK
    table[generation, slot] = (np.uint32(key >> _TAG_SHIFT) << _PLACE_BITS) | np.uint32(place + 1)


@kernel
def _number(
    hashes: NDArray[np.uint64],
    out: NDArray[np.int64],
    position: int,
    table: NDArray[np.uint32],
    keys: NDArray[np.uint64],
    counts: NDArray[np.int64],
    used: NDArray[np.int64],
) -> None:
    """Ids of records ``position`` onwards; the arrays hold the two youngest generations.

    ``keys`` and ``counts`` stand in the order of arrival, ``table`` (open addressing; 0 is empty) finds a key's place:
    a small table whose entries begin with bits of the key, so that a new key, by far the usual case, touches no more.
    """
    for i in range(len(hashes)):
        generation = (position + i) // GENERATION_RECORDS
        now, before = generation % 2, (generation + 1) % 2
        if (position + i) % GENERATION_RECORDS == 0:
            table[now, :] = 0
            used[now] = 0
        h = hashes[i]
        place = _find(table, keys, now, h)
        if place == _NOT_SEEN:
            earlier = _find(table, keys, before, h)
            # Seen in the generation before: go on from there.
            ordinal = np.int64(0) if earlier == _NOT_SEEN else counts[before, earlier]
            place = used[now]
            used[now] += 1
            keys[now, place] = h
            _insert(table, now, h, place)
        else:
            ordinal = counts[now, place]
        counts[now, place] = ordinal + 1
        out[i] = np.int64(_mix(h + np.uint64(ordinal) * _GOLDEN))


@kernel
def _first(hashes: NDArray[np.uint64], out: NDArray[np.int64]) -> None:
    for i in range(len(hashes)):
        out[i] = np.int64(_mix(hashes[i]))


@kernel
def _notice(
    ids: NDArray[np.int64], fresh: NDArray[np.bool_], table: NDArray[np.int64], state: NDArray[np.int64], limit: int
) -> None:
    """Mark the ids that stand in neither generation, and keep them in the younger.

    ``state``: the younger generation and how many ids it holds. 0 marks an empty slot, so the id 0 is kept as 1.
    """
    mask = table.shape[1] - 1
    for i in range(len(ids)):
        key = ids[i] if ids[i] != 0 else 1
        found = False
        slot = key & mask
        for g in range(2):
            slot = key & mask
            generation = (state[0] + 1 - g) % 2
            while table[generation, slot] != 0:
                if table[generation, slot] == key:
                    found = True
                    break
                slot = (slot + 1) & mask
            if found:
                break
        fresh[i] = not found
        if found:
            continue
        if state[1] == limit:
            state[0] = (state[0] + 1) % 2
            state[1] = 0
            table[state[0], :] = 0
            slot = key & mask
        table[state[0], slot] = key
        state[1] += 1


def fnv1a(text: str) -> int:
    """FNV-1a, 64 bits, of the text's UTF-8 bytes."""
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def content_hashes(topic: str, words: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """The hash of each record's content.

    ``words`` are uint64 columns in an order that is fixed per vendor and topic: for DBN publisher (the venue),
    instrument_id, ts_event, ts_recv, sequence, action, side, price (1e-9, as sent), size; for Massive
    :data:`producers.massive.columns.CONTENT`.
    """
    h = np.full(len(words[0]), fnv1a(topic), np.uint64)
    for column in words:
        _absorb(h, column)
    return h


def first_ids(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The ids of records that have no identical ones before them: those of ordinal 0."""
    out = np.empty(len(hashes), np.int64)
    _first(hashes, out)
    return out


class EventIds:
    """Numbers the records of one source in its order; however the source is cut into batches, the ids are the same."""

    def __init__(self) -> None:
        self._position = 0
        self._table = np.zeros((2, _SLOTS), np.uint32)
        self._keys = np.zeros((2, GENERATION_RECORDS), np.uint64)
        self._counts = np.zeros((2, GENERATION_RECORDS), np.int64)
        self._used = np.zeros(2, np.int64)

    def assign(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The ids of the source's next records, whose content hashes are given."""
        out = np.empty(len(hashes), np.int64)
        _number(hashes, out, self._position, self._table, self._keys, self._counts, self._used)
        self._position += len(hashes)
        return out


class RecentIds:
    """The ids of the last records of a source, in bounded memory: what was seen before is a duplicate.

    ``limit``: at least so many of the newest ids are known, at most twice as many; a power of two.
    """

    def __init__(self, limit: int = 1 << 19) -> None:
        self._limit = limit
        self._table = np.zeros((2, limit * 2), np.int64)
        self._state = np.zeros(2, np.int64)

    def notice(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the ids are new, each id of the batch following those before it; they are known from now on."""
        fresh = np.empty(len(ids), np.bool_)
        _notice(ids, fresh, self._table, self._state, self._limit)
        return fresh
