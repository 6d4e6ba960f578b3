"""Exact sums per key over a sliding window of buckets.

What arrives is added to a running total and to a log of (bucket, key) entries; what leaves the window is subtracted
again. Integers throughout, so a total is exact whatever came before, and a snap costs what changed, not what the
window holds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import inlined, kernel

HEAD, TAIL = 0, 1
BUCKET, KEY, AMOUNTS = 0, 1, 2


class WindowedSums(NamedTuple):
    """Running totals of some components per key. The log's capacity is a power of two and grows by doubling."""

    ends: NDArray[np.int64]  # [2] numbers of the next entry and of the oldest one still in the window
    total: NDArray[np.int64]  # [keys, components]
    last: NDArray[np.int64]  # [keys] number of the key's newest entry
    log: NDArray[np.int64]  # [capacity, 2 + components] BUCKET and KEY of each entry, then its amounts


def empty(keys: int, components: int, capacity: int) -> WindowedSums:
    """Sums of nothing."""
    return WindowedSums(
        ends=np.zeros(2, np.int64),
        total=np.zeros((keys, components), np.int64),
        last=np.full(keys, -1, np.int64),
        log=np.zeros((capacity, 2 + components), np.int64),
    )


def grown(sums: WindowedSums) -> WindowedSums:
    """The same sums with a log of twice the capacity."""
    entries = np.arange(sums.ends[TAIL], sums.ends[HEAD])
    log = sums.log
    larger = np.zeros((2 * len(log), log.shape[1]), np.int64)
    larger[entries & (len(larger) - 1)] = log[entries & (len(log) - 1)]
    return sums._replace(log=larger)


@inlined
def has_room(sums: WindowedSums, count: int) -> bool:
    """True when ``count`` further entries fit into the log."""
    return bool(sums.ends[HEAD] - sums.ends[TAIL] + count < len(sums.log))


@inlined
def add(sums: WindowedSums, bucket: int, key: int, component: int, amount: int) -> None:
    """Add ``amount`` to a key in the newest bucket. The caller has made sure of room."""
    mask = len(sums.log) - 1
    entry = sums.last[key]
    if entry < sums.ends[TAIL] or sums.log[entry & mask, BUCKET] != bucket:
        entry = sums.ends[HEAD]
        sums.ends[HEAD] += 1
        slot = entry & mask
        sums.log[slot, :] = 0
        sums.log[slot, BUCKET] = bucket
        sums.log[slot, KEY] = key
        sums.last[key] = entry
    sums.log[entry & mask, AMOUNTS + component] += amount
    sums.total[key, component] += amount


@kernel
def expire(sums: WindowedSums, oldest_bucket: int) -> None:
    """Take every entry of a bucket before ``oldest_bucket`` out of the totals."""
    mask = len(sums.log) - 1
    while sums.ends[TAIL] < sums.ends[HEAD]:
        slot = sums.ends[TAIL] & mask
        if sums.log[slot, BUCKET] >= oldest_bucket:
            break
        key = sums.log[slot, KEY]
        for component in range(sums.total.shape[1]):
            sums.total[key, component] -= sums.log[slot, AMOUNTS + component]
        sums.ends[TAIL] += 1


@kernel
def clear(sums: WindowedSums) -> None:
    """Forget everything."""
    sums.total[:] = 0
    sums.ends[TAIL] = sums.ends[HEAD]
