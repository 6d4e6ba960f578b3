"""Bytes to columns: one kernel for every schema.

The kernel interprets a program, a row of integers per field, and writes into three arenas (int64, int32, uint8) that
hold all columns. A column's place is a base and a stride: record k of the output is at ``base + k * stride``. A stride
of 0 is a scratch cell, for fields that the reader does not want. What a bad record wrote, the next good one overwrites.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.avro.machine import BEYOND, Int, copy_bytes, is_utf8, load_word, read_varint
from common.jit import kernel

FRAME = 5
"""Bytes of the Confluent frame: a zero, then the schema id, big-endian."""

# Columns of a program row.
OP, TAGGED, BASE, STRIDE, VALID_BASE, VALID_STRIDE, AUX, AUX_COUNT = range(8)
ROW_WIDTH = 8
"""TAGGED: the writer's field is a union with null. VALID_BASE: place of the validity byte, -1 where the reader's field
is not nullable. AUX: for strings and arrays the distance from the place of the start (of an array of doubles, its
complement) to that of the length; for enums the start of the symbol map and its length."""

# Columns of a program's segment row: its fields on the wire, then its defaulted fields, which are read from the tail.
WIRE_FIRST, WIRE_LAST, DEFAULT_LAST, TAIL_START, TAIL_STOP = range(5)

# Operations, named writer's kind to reader's kind.
LONG, INT, INT_TO_LONG, DOUBLE, BOOLEAN, ENUM, BYTES, STRING, LONG_TO_DOUBLE, INT_TO_DOUBLE = range(10)
ARRAY_INT, ARRAY_LONG, ARRAY_DOUBLE = range(10, 13)

# What is wrong with a record.
GOOD, TRUNCATED, TOO_LONG, BAD_INTEGER, BAD_INT, BAD_TAG, NOT_NULLABLE, BAD_SYMBOL, BAD_LENGTH, BAD_UTF8, BAD_COUNT = (
    range(11)
)

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


@kernel
def read_frames(data: Any, offsets: Any, ids: Any) -> bool:
    """Each record's schema id into ``ids`` (-1: no frame); whether all are the same id."""
    same = True
    for record in range(len(ids)):
        start = offsets[record]
        if offsets[record + 1] - start < FRAME or data[start] != 0:
            ids[record] = -1
        else:
            ids[record] = (
                np.int64(data[start + 1]) << 24
                | np.int64(data[start + 2]) << 16
                | np.int64(data[start + 3]) << 8
                | np.int64(data[start + 4])
            )
        if ids[record] != ids[0]:
            same = False
    return same


@kernel
def _skip_array(data: Any, position: Int, end: Int, op: Int) -> tuple[Int, Int, Int]:
    """Check an array's blocks. (position after it, number of items, what is wrong)."""
    total = np.int64(0)
    while True:
        count, position = read_varint(data, position)
        if position > end:
            return position, total, TRUNCATED
        if count == 0:
            return position, total, GOOD
        if count < 0:
            _, position = read_varint(data, position)  # the block's size in bytes: for readers that skip
            if position > end:
                return position, total, TRUNCATED
            count = -count
        if count < 0 or count > end - position:  # an item takes a byte or more
            return position, total, BAD_COUNT
        total += count
        if op == ARRAY_DOUBLE:
            if count > (end - position) >> 3:
                return position, total, BAD_COUNT
            position += count * 8
        else:
            for _item in range(count):
                value, position = read_varint(data, position)
                if position > end:
                    return position, total, TRUNCATED
                if op == ARRAY_INT and (value < INT_MIN or value > INT_MAX):
                    return position, total, BAD_INT


@kernel
def decode_records(
    data: Any,
    offsets: Any,
    tail: Int,
    program_of: Any,
    programs: Any,
    segments: Any,
    symbol_maps: Any,
    longs: Any,
    doubles: Any,
    ints: Any,
    octets: Any,
    status: Any,
    index: Any,
) -> Int:
    """Decode records ``data[offsets[i]:offsets[i+1]]``, each with program ``program_of[i]`` (-1: leave it out).

    ``tail``: where in ``data`` the defaults' bytes begin. ``doubles`` is the same memory as ``longs``. ``status[i]``:
    GOOD, or what is wrong plus 256 times the program row it was found in. ``index[k]``: the input position of output
    record k. Returns the number of good records.
    """
    good = 0
    for record in range(len(offsets) - 1):
        number = program_of[record]
        if number < 0:
            continue
        position = offsets[record] + FRAME
        end = offsets[record + 1]
        row = segments[number, WIRE_FIRST]
        problem = GOOD
        for last in (segments[number, WIRE_LAST], segments[number, DEFAULT_LAST]):
            while row < last:
                op = programs[row, OP]
                valid_base = programs[row, VALID_BASE]
                place = programs[row, BASE] + good * programs[row, STRIDE]
                is_null = False
                if programs[row, TAGGED] != 0:
                    tag = np.int64(data[position])
                    position += 1
                    if tag >= 0x80:  # a tag in more bytes than it needs
                        wide, position = read_varint(data, position - 1)
                        tag = wide << 1 if 0 <= wide <= 1 else np.int64(-1)
                    if tag != 2:
                        if tag != 0:
                            problem = BAD_TAG
                            break
                        is_null = True
                        if valid_base < 0:
                            problem = NOT_NULLABLE
                            break
                if valid_base >= 0:
                    octets[valid_base + good * programs[row, VALID_STRIDE]] = not is_null
                if op == DOUBLE:
                    if is_null:
                        longs[place] = 0
                    else:
                        longs[place] = load_word(data, position)
                        position += 8
                elif op == INT:
                    if is_null:
                        ints[place] = 0
                    else:
                        value, position = read_varint(data, position)
                        if value < INT_MIN or value > INT_MAX:
                            problem = BAD_INT
                            break
                        ints[place] = value
                elif op == LONG:
                    if is_null:
                        longs[place] = 0
                    else:
                        longs[place], position = read_varint(data, position)
                elif op == BOOLEAN:
                    if is_null:
                        octets[place] = 0
                    else:
                        octets[place] = data[position] != 0
                        position += 1
                elif op == ENUM:
                    if is_null:
                        ints[place] = 0
                    else:
                        value, position = read_varint(data, position)
                        if value < 0 or value >= programs[row, AUX_COUNT]:
                            problem = BAD_SYMBOL
                            break
                        symbol = symbol_maps[programs[row, AUX] + value]
                        if symbol < 0:
                            problem = BAD_SYMBOL
                            break
                        ints[place] = symbol
                elif op in (STRING, BYTES):
                    length = np.int64(0)
                    if not is_null:
                        length, position = read_varint(data, position)
                        if length < 0 or length > end - position:
                            problem = BAD_LENGTH
                            break
                        if op == STRING and not is_utf8(data, position, position + length):
                            problem = BAD_UTF8
                            break
                    longs[place] = position
                    longs[place + programs[row, AUX]] = length
                    position += length
                elif op == INT_TO_LONG:
                    if is_null:
                        longs[place] = 0
                    else:
                        value, position = read_varint(data, position)
                        if value < INT_MIN or value > INT_MAX:
                            problem = BAD_INT
                            break
                        longs[place] = value
                elif op in (LONG_TO_DOUBLE, INT_TO_DOUBLE):
                    if is_null:
                        longs[place] = 0
                    else:
                        value, position = read_varint(data, position)
                        if op == INT_TO_DOUBLE and (value < INT_MIN or value > INT_MAX):
                            problem = BAD_INT
                            break
                        doubles[place] = value
                else:
                    count = np.int64(0)
                    longs[place] = ~position if op == ARRAY_DOUBLE else position
                    if not is_null:
                        position, count, problem = _skip_array(data, position, end, op)
                        if problem != GOOD:
                            break
                    longs[place + programs[row, AUX]] = count
                if position > end:
                    problem = TRUNCATED
                    break
                row += 1
            if problem != GOOD:
                break
            if position != end:
                problem = TOO_LONG
                break
            position = tail + segments[number, TAIL_START]
            end = tail + segments[number, TAIL_STOP]
        if problem == GOOD:
            index[good] = record
            good += 1
        else:
            if position > end:  # what was read there was not the record's
                problem = BAD_INTEGER if position >= BEYOND else TRUNCATED
            status[record] = problem + (row << 8)
    return good


@kernel
def gather_bytes(data: Any, starts: Any, offsets: Any, out: Any) -> None:
    """Copy the pieces of ``data`` that begin at ``starts`` end to end; ``out`` has eight bytes to spare."""
    for record in range(len(starts)):
        copy_bytes(data, starts[record], offsets[record + 1] - offsets[record], out, offsets[record])


@kernel
def gather_items(data: Any, starts: Any, offsets: Any, out: Any, words: Any) -> None:
    """Decode arrays that :func:`decode_records` has checked, end to end; ``words`` is a double ``out`` as int64."""
    for record in range(len(starts)):
        item, last = offsets[record], offsets[record + 1]
        is_double = starts[record] < 0
        position = ~starts[record] if is_double else starts[record]
        while item < last:
            count, position = read_varint(data, position)
            if count < 0:
                _, position = read_varint(data, position)
                count = -count
            for at in range(item, item + count):
                if is_double:
                    words[at] = load_word(data, position)
                    position += 8
                else:
                    out[at], position = read_varint(data, position)
            item += count
