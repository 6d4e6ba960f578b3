"""The columnar codec: whole batches of records between Confluent-framed Avro bytes and NumPy columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from common.avro import decoding as d
from common.avro.encoding import encode_records
from common.avro.machine import SLACK
from common.avro.packing import Packer
from common.avro.program import INTS, LONGS, OCTETS, DecodeProgram, Layout, is_varied, layout, link, pitch, resolve
from common.columns import Batch, Column
from common.errors import BreakwaterError, InvariantError, RecordError, SchemaError
from common.schemas import Field, RecordSchema

_REASONS = {
    d.TRUNCATED: "the record ends inside the field",
    d.TOO_LONG: "bytes are left over after the last field",
    d.BAD_INTEGER: "an integer has more than 64 bits",
    d.BAD_INT: "an int does not fit in 32 bits",
    d.BAD_TAG: "the union's branch is neither 0 nor 1",
    d.NOT_NULLABLE: "the value is null and the field is not nullable",
    d.BAD_SYMBOL: "the enum's symbol is unknown",
    d.BAD_LENGTH: "the length is negative or goes beyond the data",
    d.BAD_UTF8: "the text is not UTF-8",
    d.BAD_COUNT: "the array's item count goes beyond the data",
}
_TILE = 4096
"""Records encoded at a time, so that their columns stay in the cache."""
_PADDING = bytes(SLACK)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Framed records end to end: record i is ``data[offsets[i]:offsets[i + 1]]``."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def messages(self) -> list[bytes]:
        """Each record as bytes of its own, as a Kafka producer wants them."""
        raw = self.data.tobytes()
        bounds = self.offsets.tolist()
        return [raw[start:stop] for start, stop in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record left out: its position in the input, and why (SchemaError: its schema cannot be read as this one)."""

    index: int
    error: BreakwaterError


@dataclass(frozen=True, slots=True)
class Decoded:
    """The good records in input order, the input position of each, and the bad ones (by position)."""

    batch: Batch
    index: NDArray[np.int64]
    bad: tuple[BadRecord, ...]


def _read_only(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same memory; one constness for all callers, so that the kernels are compiled once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


class Codec:
    """Encodes and decodes batches of one (reader's) schema.

    Fields are long, int, double, boolean, string, bytes, enum, arrays of int, long or double, each nullable or not.
    Raises SchemaError that names the field for anything else. One instance serves one thread at a time.
    """

    def __init__(self, schema: RecordSchema) -> None:
        self.schema = schema
        self._layout: Layout = layout(schema)
        self._packer = Packer(schema, self._layout)
        self._programs: dict[int, tuple[RecordSchema, DecodeProgram]] = {}

    def encode(self, batch: Batch, schema_id: int) -> Encoded:
        """Frame and encode every record, as fastavro would write it.

        Raises RecordError that names the record and field for a null where none may be, a symbol out of range or text
        that is not UTF-8; InvariantError for a column that is missing or of another type.
        """
        if not 0 <= schema_id < 2**31:
            raise InvariantError(f"a schema id is a 31-bit number, not {schema_id}")
        batch = self._packer.checked(batch)
        out = np.empty(self._packer.longest(batch), np.uint8)
        offsets = np.zeros(batch.length + 1, np.int64)
        position = 0
        for start in range(0, batch.length, _TILE):
            stop = min(start + _TILE, batch.length)
            packed = self._packer.pack(batch, start, stop)
            position, record, problem = encode_records(
                stop - start,
                schema_id,
                packed.program,
                packed.longs,
                packed.ints,
                packed.octets,
                out,
                position,
                offsets[start + 1 : stop + 1],
            )
            if problem != d.GOOD:
                name = self.schema.fields[problem >> 8].name
                reason = _REASONS[problem & 0xFF]
                raise RecordError(f"{self.schema.name}: record {start + record} cannot be encoded: {name}: {reason}")
        return Encoded(out[:position], offsets)

    def decode(self, values: Sequence[bytes | None], writer: Callable[[int], RecordSchema]) -> Decoded:
        """Decode framed records, each by the schema that its id names: ``writer`` gives it, or raises SchemaError.

        A bad record (also None, an empty value) never raises: it is reported and left out. Any other error of
        ``writer`` passes through.
        """
        present = cast(Sequence[bytes], values)
        try:
            sizes = np.fromiter(map(len, present), np.int64, len(present))
        except TypeError:  # a None, which is rare: not worth a look at every value
            present = [value or b"" for value in values]
            sizes = np.fromiter(map(len, present), np.int64, len(present))
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        return self.decode_buffer(np.frombuffer(b"".join([*present, _PADDING]), np.uint8), offsets, writer)

    def decode_buffer(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], writer: Callable[[int], RecordSchema]
    ) -> Decoded:
        """Like :meth:`decode`, for records that lie in one buffer, record i at ``data[offsets[i]:offsets[i + 1]]``.

        Copies the buffer unless 32 more bytes follow the last record. Raises InvariantError for offsets that fall or
        leave the buffer.
        """
        count = len(offsets) - 1
        if count < 0 or offsets[0] < 0 or offsets[-1] > len(data) or bool(np.any(offsets[1:] < offsets[:-1])):
            raise InvariantError(f"offsets must rise from 0 to at most {len(data)}, the size of the buffer")
        offsets = np.ascontiguousarray(offsets, np.int64)
        if len(data) - offsets[-1] < SLACK:
            data = np.concatenate([data, np.frombuffer(_PADDING, np.uint8)])
        data = _read_only(data)
        ids = np.empty(count, np.int64)
        if d.read_frames(data, offsets, ids):
            distinct, which = ids[:1], np.zeros(count, np.int64)
        else:
            distinct, which = np.unique(ids, return_inverse=True)
        programs, errors, numbers = self._resolve(distinct.tolist(), writer)
        linked = link(programs, self._layout.columns, count)
        tail = len(data)
        if linked.defaults:
            data = _read_only(np.concatenate([data, np.frombuffer(linked.defaults + _PADDING, np.uint8)]))

        pitches = [pitch(count, arena) for arena in range(3)]
        columns = self._layout.columns
        longs = np.empty(columns[LONGS] * pitches[LONGS] + 2, np.int64)  # two scratch cells
        ints = np.empty(columns[INTS] * pitches[INTS] + 1, np.int32)
        octets = np.empty(columns[OCTETS] * pitches[OCTETS] + 1, np.uint8)
        status = np.zeros(count, np.int64)
        index = np.empty(count, np.int64)
        good = d.decode_records(
            data,
            offsets,
            tail,
            np.array(numbers, np.int64)[which],
            linked.rows,
            linked.segments,
            linked.symbol_map,
            longs,
            longs.view(np.float64),
            ints,
            octets,
            status,
            index,
        )

        def column(f: Field) -> Column:
            slot = self._layout.slots[f.name]
            valid = None
            if slot.valid >= 0:
                at = slot.valid * pitches[OCTETS]
                valid = octets[at : at + good].view(np.bool_)
            at = slot.main * pitches[slot.home]
            if not is_varied(f):
                values = (longs, ints, octets)[slot.home][at : at + good]
                return Column(values.view(f.dtype), valid)
            starts = longs[at : at + good]
            bounds = np.zeros(good + 1, np.int64)
            np.cumsum(longs[at + pitches[LONGS] : at + pitches[LONGS] + good], out=bounds[1:])
            total = int(bounds[-1])
            if f.kind != "array":
                content = np.empty(total + 8, np.uint8)
                d.gather_bytes(data, starts, bounds, content)
                return Column(content[:total], valid, bounds)
            items = np.empty(total, f.dtype)
            words = items if f.item == "int" else items.view(np.int64)
            d.gather_items(data, starts, bounds, items, words)
            return Column(items, valid, bounds)

        batch = Batch(self.schema.name, good, {f.name: column(f) for f in self.schema.fields})
        bad = () if good == count else tuple(self._bad(ids, status, errors, linked.fields))
        return Decoded(batch, index[:good], bad)

    def _resolve(
        self, ids: Sequence[int], writer: Callable[[int], RecordSchema]
    ) -> tuple[list[DecodeProgram], dict[int, BreakwaterError], list[int]]:
        """Programs, what is wrong with ids that have none, and each id's program number (-1: none)."""
        programs: list[DecodeProgram] = []
        errors: dict[int, BreakwaterError] = {}
        numbers: list[int] = []
        for schema_id in ids:
            numbers.append(-1)
            if schema_id < 0:
                errors[schema_id] = RecordError(
                    f"{self.schema.name}: not a framed record: it must begin with a zero and a 4-byte schema id"
                )
                continue
            try:
                schema = writer(schema_id)
                known = self._programs.get(schema_id)
                if known is None or known[0] is not schema:
                    known = (schema, resolve(schema, self.schema, self._layout))
                    self._programs[schema_id] = known
            except SchemaError as error:
                errors[schema_id] = error
                continue
            numbers[-1] = len(programs)
            programs.append(known[1])
        return programs, errors, numbers

    def _bad(
        self,
        ids: NDArray[np.int64],
        status: NDArray[np.int64],
        errors: dict[int, BreakwaterError],
        fields: Sequence[str],
    ) -> Iterator[BadRecord]:
        unreadable = np.isin(ids, np.array(list(errors), np.int64))
        for position in np.flatnonzero(unreadable | (status != d.GOOD)).tolist():
            schema_id, problem = int(ids[position]), int(status[position])
            if schema_id in errors:
                yield BadRecord(position, errors[schema_id])
                continue
            reason = _REASONS[problem & 0xFF]
            row = problem >> 8
            where = f"{fields[row]}: " if problem & 0xFF != d.TOO_LONG else ""
            yield BadRecord(position, RecordError(f"{self.schema.name}: {where}{reason} (schema id {schema_id})"))
