"""What the kernels are made of: unaligned words, variable-length integers, UTF-8.

Positions are byte indices. Everything that reads may read up to ``SLACK`` bytes beyond the record it is in; callers see
to it that those bytes exist and check afterwards whether the record's end was passed. So a value costs one comparison,
not one per byte. Bytes are little-endian (x86-64, AArch64), as the columns are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from common.jit import Function, inlined, kernel

Int = Any
"""A Python int or a NumPy int64; the compiler knows one kind."""

SLACK = 32
"""Readable bytes needed beyond the last record (a union tag and a value: at most 20; a word of a string: 8)."""
BEYOND = 1 << 62
"""The position after an integer that does not fit in 64 bits: beyond every end."""
HIGH_BITS = np.int64(-0x7F7F7F7F7F7F7F80)  # 0x8080808080808080


def _typed_intrinsic(function: Function) -> Any:
    return intrinsic(function)


@_typed_intrinsic
def _word(_context: Any, data: Any, position: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.gep(array.data, [args[1]])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.int64(data, types.intp), generate


@_typed_intrinsic
def _set_word(_context: Any, data: Any, position: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.gep(array.data, [args[1]])
        builder.store(args[2], builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.int64), generate


@_typed_intrinsic
def _trailing_zeros(_context: Any, word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


@_typed_intrinsic
def _leading_zeros(_context: Any, word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


@inlined
def load_word(data: Any, position: Int) -> Int:
    """The eight bytes at ``position`` as an int64, first byte lowest."""
    data[position + 7]  # costs nothing, and under NUMBA_BOUNDSCHECK it checks what the intrinsic does
    data[position]
    return _word(data, position)


@inlined
def store_word(data: Any, position: Int, word: Int) -> None:
    """Write ``word`` as the eight bytes at ``position``, lowest byte first."""
    data[position + 7]  # as in load_word
    data[position]
    _set_word(data, position, word)


@kernel
def _read_wide(data: Any, position: Int) -> tuple[Int, Int]:
    word = load_word(data, position)
    stops = ~word & HIGH_BITS
    if stops != 0:
        length = (_trailing_zeros(stops) + 1) >> 3
        word &= stops ^ (stops - 1)
    else:
        length = np.int64(8)
    # gather the groups of seven bits: eight bytes to four pairs, to two halves, to one
    word = (word & 0x007F007F007F007F) | ((word & 0x7F007F007F007F00) >> 1)
    word = (word & 0x00003FFF00003FFF) | ((word & 0x3FFF00003FFF0000) >> 2)
    word = (word & 0x000000000FFFFFFF) | ((word & 0x0FFFFFFF00000000) >> 4)
    if stops == 0:
        ninth = np.int64(data[position + 8])
        word |= (ninth & 0x7F) << 56
        length = np.int64(9)
        if ninth >= 0x80:
            tenth = np.int64(data[position + 9])
            if tenth > 1:
                return np.int64(0), np.int64(BEYOND)
            word |= tenth << 63
            length = np.int64(10)
    return ((word >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(word & 1), position + length


@inlined
def read_varint(data: Any, position: Int) -> tuple[Int, Int]:
    """The zigzag integer at ``position`` and the position after it (BEYOND when it needs more than 64 bits)."""
    first = np.int64(data[position])
    if first < 0x80:
        return (first >> 1) ^ -(first & 1), position + 1
    second = np.int64(data[position + 1])
    if second < 0x80:
        raw = (first & 0x7F) | (second << 7)
        return (raw >> 1) ^ -(raw & 1), position + 2
    return _read_wide(data, position)


@kernel
def _write_wide(out: Any, position: Int, raw: Int) -> Int:
    # spread the low 56 bits over eight bytes, seven in each
    word = raw & 0x00FFFFFFFFFFFFFF
    word = (word & 0x000000000FFFFFFF) | ((word & 0x00FFFFFFF0000000) << 4)
    word = (word & 0x00003FFF00003FFF) | ((word & 0x0FFFC0000FFFC000) << 2)
    word = (word & 0x007F007F007F007F) | ((word & 0x3F803F803F803F80) << 1)
    rest = (raw >> 56) & 0xFF
    if rest == 0:
        length = (70 - _leading_zeros(raw)) // 7
        store_word(out, position, word | (HIGH_BITS & ((np.int64(1) << (8 * (length - 1))) - 1)))
        return position + length
    store_word(out, position, word | HIGH_BITS)
    if rest < 0x80:
        out[position + 8] = np.uint8(rest)
        return position + 9
    out[position + 8] = np.uint8(rest & 0x7F | 0x80)
    out[position + 9] = np.uint8(rest >> 7)
    return position + 10


@inlined
def write_varint(out: Any, position: Int, value: Int) -> Int:
    """Write ``value`` as a zigzag integer; the position after it. May scribble on the eight bytes after that."""
    raw = (value << 1) ^ (value >> 63)
    if raw >= 0:
        if raw < 0x80:
            out[position] = np.uint8(raw)
            return position + 1
        if raw < 0x4000:
            out[position] = np.uint8(raw & 0x7F | 0x80)
            out[position + 1] = np.uint8(raw >> 7)
            return position + 2
    return _write_wide(out, position, raw)


@kernel
def is_utf8(data: Any, start: Int, stop: Int) -> bool:
    """Whether the bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF)."""
    position = start
    while position < stop:
        word = load_word(data, position) & HIGH_BITS
        left = stop - position
        if left < 8:
            word &= (np.int64(1) << (8 * left)) - 1
        if word == 0:
            position += 8
            continue
        lead = np.int64(data[position])
        if lead < 0x80:
            position += 1
            continue
        low, high = np.int64(0x80), np.int64(0xBF)
        if 0xC2 <= lead <= 0xDF:
            following = 1
        elif 0xE0 <= lead <= 0xEF:
            following = 2
            if lead == 0xE0:
                low = np.int64(0xA0)
            elif lead == 0xED:
                high = np.int64(0x9F)
        elif 0xF0 <= lead <= 0xF4:
            following = 3
            if lead == 0xF0:
                low = np.int64(0x90)
            elif lead == 0xF4:
                high = np.int64(0x8F)
        else:
            return False
        if left <= following:
            return False
        second = np.int64(data[position + 1])
        if second < low or second > high:
            return False
        for more in range(2, following + 1):
            if np.int64(data[position + more]) & 0xC0 != 0x80:
                return False
        position += following + 1
    return True


@kernel
def copy_bytes(source: Any, start: Int, length: Int, out: Any, position: Int) -> None:
    """Copy ``length`` bytes. May read and write up to seven bytes beyond them."""
    done = 0
    while done < length:
        store_word(out, position + done, load_word(source, start + done))
        done += 8
