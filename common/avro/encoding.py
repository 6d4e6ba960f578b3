"""Columns to bytes: one kernel for every schema, the mirror of :mod:`common.avro.decoding`."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.avro.decoding import (
    ARRAY_DOUBLE,
    ARRAY_INT,
    ARRAY_LONG,
    BAD_SYMBOL,
    BAD_UTF8,
    BOOLEAN,
    BYTES,
    DOUBLE,
    ENUM,
    FRAME,
    GOOD,
    INT,
    LONG,
    STRING,
)
from common.avro.machine import Int, copy_bytes, is_utf8, store_word, write_varint
from common.jit import kernel

# Columns of a program row.
OP, TAGGED, BASE, VALID_BASE, OFFSETS_BASE, SYMBOLS = range(6)
ROW_WIDTH = 6
"""TAGGED: the field is a union with null. VALID_BASE: place of the validity bytes, -1 where all are valid (it must be,
unless TAGGED). OFFSETS_BASE: place of a string's or array's offsets; its values begin at BASE. SYMBOLS: an enum's."""


@kernel
def encode_records(
    count: Int,
    schema_id: Int,
    program: Any,
    longs: Any,
    ints: Any,
    octets: Any,
    out: Any,
    position: Int,
    offsets: Any,
) -> tuple[Int, Int, Int]:
    """Write ``count`` framed records to ``out`` from ``position`` on, each record's end into ``offsets``.

    ``out`` must hold the longest possible result and eight bytes more. Returns (position after the last record, number
    of the first record that cannot be written, what is wrong plus 256 times its program row); GOOD when all were.
    """
    for record in range(count):
        out[position] = 0
        out[position + 1] = np.uint8((schema_id >> 24) & 0xFF)
        out[position + 2] = np.uint8((schema_id >> 16) & 0xFF)
        out[position + 3] = np.uint8((schema_id >> 8) & 0xFF)
        out[position + 4] = np.uint8(schema_id & 0xFF)
        position += FRAME
        for row in range(len(program)):
            op = program[row, OP]
            valid_base = program[row, VALID_BASE]
            if valid_base >= 0 and octets[valid_base + record] == 0:
                out[position] = 0
                position += 1
                continue
            if program[row, TAGGED] != 0:
                out[position] = 2
                position += 1
            place = program[row, BASE] + record
            if op == DOUBLE:
                store_word(out, position, longs[place])
                position += 8
            elif op == INT:
                position = write_varint(out, position, np.int64(ints[place]))
            elif op == LONG:
                position = write_varint(out, position, longs[place])
            elif op == BOOLEAN:
                out[position] = octets[place] != 0
                position += 1
            elif op == ENUM:
                symbol = np.int64(ints[place])
                if symbol < 0 or symbol >= program[row, SYMBOLS]:
                    return position, record, BAD_SYMBOL + (row << 8)
                position = write_varint(out, position, symbol)
            else:
                at = program[row, OFFSETS_BASE] + record
                start, stop = longs[at], longs[at + 1]
                base = program[row, BASE]
                length = stop - start
                if op in (STRING, BYTES):
                    if op == STRING and not is_utf8(octets, base + start, base + stop):
                        return position, record, BAD_UTF8 + (row << 8)
                    position = write_varint(out, position, length)
                    copy_bytes(octets, base + start, length, out, position)
                    position += length
                else:
                    if length > 0:
                        position = write_varint(out, position, length)
                    if op == ARRAY_INT:
                        for item in range(base + start, base + stop):
                            position = write_varint(out, position, np.int64(ints[item]))
                    elif op == ARRAY_LONG:
                        for item in range(base + start, base + stop):
                            position = write_varint(out, position, longs[item])
                    elif op == ARRAY_DOUBLE:
                        for item in range(base + start, base + stop):
                            store_word(out, position, longs[item])
                            position += 8
                    out[position] = 0
                    position += 1
        offsets[record] = position
    return position, count, GOOD
