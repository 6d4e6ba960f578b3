"""Sorted runs of events become one: the walk behind :mod:`processors.engine.order`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import inlined, kernel
from processors.engine.shapes import Integers


class Runs(NamedTuple):
    """Events of several inputs, one input's after the other's.

    ``effective_ns``, ``event_ns`` and ``seq`` are int64[n]. ``starts`` int64[inputs + 1] says where each input begins
    and the last one ends; ``venue`` and ``place`` int64[inputs] are an input's ranks, before and after ``seq``.
    """

    effective_ns: Integers
    event_ns: Integers
    seq: Integers
    starts: Integers
    venue: Integers
    place: Integers


@inlined
def _before(runs: Runs, a: int, input_a: int, b: int, input_b: int) -> bool:
    """Whether event ``a`` of one input comes before event ``b`` of another."""
    if runs.effective_ns[a] != runs.effective_ns[b]:
        return bool(runs.effective_ns[a] < runs.effective_ns[b])
    if runs.event_ns[a] != runs.event_ns[b]:
        return bool(runs.event_ns[a] < runs.event_ns[b])
    if runs.venue[input_a] != runs.venue[input_b]:
        return bool(runs.venue[input_a] < runs.venue[input_b])
    if runs.seq[a] != runs.seq[b]:
        return bool(runs.seq[a] < runs.seq[b])
    return bool(runs.place[input_a] < runs.place[input_b])


@kernel
def _merge(runs: Runs, at: Integers, order: Integers) -> bool:
    """Write the inputs' events into ``order``, smallest first; False as soon as an input is not sorted itself."""
    inputs = len(at)
    for i in range(inputs):
        at[i] = runs.starts[i]
    for n in range(len(order)):
        first = -1
        for i in range(inputs):
            if at[i] < runs.starts[i + 1] and (first < 0 or _before(runs, at[i], i, at[first], first)):
                first = i
        here = at[first]
        if here > runs.starts[first] and _before(runs, here, first, here - 1, first):
            return False
        order[n] = here
        at[first] = here + 1
    return True


@kernel
def _describe(
    runs: Runs, kinds: NDArray[np.int8], order: Integers, kind: NDArray[np.int8], index: Integers, effective: Integers
) -> None:
    for n in range(len(order)):
        there = order[n]
        i = 0
        while there >= runs.starts[i + 1]:
            i += 1
        kind[n] = kinds[i]
        index[n] = there - runs.starts[i]
        effective[n] = runs.effective_ns[there]


def merged(runs: Runs, kinds: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
    """Each event's kind (those of the inputs are given), its place in its input and its effective time, in the order
    (effective_ns, event_ns, venue, seq, place, place in its input).

    Inputs are nearly always sorted by that themselves, and then one walk merges them; else everything is sorted.
    """
    count = len(runs.effective_ns)
    order = np.empty(count, np.int64)
    if not _merge(runs, np.zeros(len(kinds), np.int64), order):
        counts = np.diff(runs.starts)
        venue, place = (np.repeat(ranks, counts) for ranks in (runs.venue, runs.place))
        # stable, so that the rest is decided by the place in the input
        order = np.lexsort((place, runs.seq, venue, runs.event_ns, runs.effective_ns))
    kind, index, effective_ns = np.empty(count, np.int8), np.empty(count, np.int64), np.empty(count, np.int64)
    _describe(runs, kinds, order, kind, index, effective_ns)
    return kind, index, effective_ns
