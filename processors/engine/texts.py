"""String columns made of few different texts, and numbers for what is different."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.columns import Column
from common.errors import InvariantError
from common.jit import kernel
from processors.engine.shapes import Integers

_LEAST_SLOTS = 1024
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@kernel
def _gather(values: NDArray[np.uint8], starts: Integers, offsets: Integers, out: NDArray[np.uint8]) -> None:
    """Copy the strings that begin at ``starts`` to where ``offsets`` says."""
    for i in range(len(starts)):
        for k in range(offsets[i + 1] - offsets[i]):
            out[offsets[i] + k] = values[starts[i] + k]


def picked(column: Column, index: Integers) -> Column:
    """What Column.take does for strings, without an index for every byte."""
    if column.offsets is None:
        raise InvariantError("a string column has no offsets")
    starts = column.offsets[index]
    offsets = np.zeros(len(index) + 1, np.int64)
    np.cumsum(column.offsets[index + 1] - starts, out=offsets[1:])
    values = np.empty(int(offsets[-1]), np.uint8)
    _gather(np.ascontiguousarray(column.values).view(np.uint8), starts, offsets, values)
    return Column(values, None if column.valid is None else column.valid[index], offsets)


@kernel
def _number(codes: Integers, slots: Integers, found: Integers, place: Integers) -> int:
    """Number the codes; returns how many different ones there are, -1 when ``slots`` is too small for them.

    ``slots`` is an empty (-1) table of open addressing whose size is a power of two.
    """
    mask = np.uint64(len(slots) - 1)
    count = 0
    for i in range(len(codes)):
        at = ((np.uint64(codes[i]) * _SPREAD) >> np.uint64(32)) & mask
        while slots[at] >= 0 and found[slots[at]] != codes[i]:
            at = (at + np.uint64(1)) & mask
        if slots[at] < 0:
            if 2 * count >= len(slots):
                return -1
            slots[at] = count
            found[count] = codes[i]
            count += 1
        place[i] = slots[at]
    return count


def numbered(codes: Integers) -> tuple[Integers, Integers]:
    """The different codes in the order of their first appearance, and each code's place among them."""
    place = np.empty(len(codes), np.int64)
    size = _LEAST_SLOTS
    while True:
        found = np.empty(size, np.int64)
        count = _number(codes, np.full(size, -1, np.int64), found, place)
        if count >= 0:
            return found[:count], place
        size *= 4
