"""Exact sums per key over a sliding window of buckets.

What arrives is added to a running total and to a log of (bucket, key) entries; what leaves the window is subtracted
again. Integers throughout, so a total is exact whatever came before, and a snap costs what changed, not what the
window holds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel

HEAD, TAIL = 0, 1


class WindowedSums(NamedTuple):
    """Running totals of some components per key. The log's capacity is a power of two and grows by doubling."""

    ends: NDArray[np.int64]  # [2] numbers of the next entry and of the oldest one still in the window
    total: NDArray[np.int64]  # [keys, components]
    last: NDArray[np.int64]  # [keys] number of the key's newest entry
    bucket: NDArray[np.int64]  # [capacity] log: the entry's bucket
    key: NDArray[np.int64]  # [capacity]
    amount: NDArray[np.int64]  # [capacity, components]


def empty(keys: int, components: int, capacity: int) -> WindowedSums:
    """Sums of nothing."""
    return WindowedSums(
        ends=np.zeros(2, np.int64),
        total=np.zeros((keys, components), np.int64),
        last=np.full(keys, -1, np.int64),
        bucket=np.zeros(capacity, np.int64),
        key=np.zeros(capacity, np.int64),
        amount=np.zeros((capacity, components), np.int64),
    )


def _doubled(log: NDArray[np.int64], entries: NDArray[np.int64]) -> NDArray[np.int64]:
    larger = np.zeros((2 * len(log), *log.shape[1:]), log.dtype)
    larger[entries & (len(larger) - 1)] = log[entries & (len(log) - 1)]
    return larger


def grown(sums: WindowedSums) -> WindowedSums:
    """The same sums with a log of twice the capacity."""
    entries = np.arange(sums.ends[TAIL], sums.ends[HEAD])
    return sums._replace(
        bucket=_doubled(sums.bucket, entries), key=_doubled(sums.key, entries), amount=_doubled(sums.amount, entries)
    )


@kernel
def has_room(sums: WindowedSums, count: int) -> bool:
    """True when ``count`` further entries fit into the log."""
    return bool(sums.ends[HEAD] - sums.ends[TAIL] + count < len(sums.bucket))


@kernel
def add(sums: WindowedSums, bucket: int, key: int, component: int, amount: int) -> None:
    """Add ``amount`` to a key in the newest bucket. The caller has made sure of room."""
    mask = len(sums.bucket) - 1
    entry = sums.last[key]
    if entry < sums.ends[TAIL] or sums.bucket[entry & mask] != bucket:
        entry = sums.ends[HEAD]
        sums.ends[HEAD] += 1
        slot = entry & mask
        sums.bucket[slot] = bucket
        sums.key[slot] = key
        sums.amount[slot, :] = 0
        sums.last[key] = entry
    sums.amount[entry & mask, component] += amount
    sums.total[key, component] += amount


@kernel
def expire(sums: WindowedSums, oldest_bucket: int) -> None:
    """Take every entry of a bucket before ``oldest_bucket`` out of the totals."""
    mask = len(sums.bucket) - 1
    while sums.ends[TAIL] < sums.ends[HEAD]:
        slot = sums.ends[TAIL] & mask
        if sums.bucket[slot] >= oldest_bucket:
            break
        key = sums.key[slot]
        for component in range(sums.total.shape[1]):
            sums.total[key, component] -= sums.amount[slot, component]
        sums.ends[TAIL] += 1


@kernel
def clear(sums: WindowedSums) -> None:
    """Forget everything."""
    sums.total[:] = 0
    sums.ends[TAIL] = sums.ends[HEAD]
