"""Messages of a topic to rows of its table: decode, say where each row came from, drop repetitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Message
from numpy.typing import NDArray

from common.avro import Codec, decode_row
from common.columns import to_arrow
from common.errors import BreakwaterError, RecordError, SchemaError
from common.schemas import RecordSchema
from lakehouse.commits import Mark

_TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A message that is no record of its topic's schema, and why."""

    message: Message
    error: BreakwaterError


@dataclass(frozen=True, slots=True)
class Rows:
    """The good messages as rows, in the order they came, and the others."""

    table: pa.Table
    bad: tuple[Undecodable, ...]


class Decoder:
    """Decodes the messages of one topic. Serves one thread.

    ``writer`` gives the schema of a registry id; UnavailableError of it passes through (nothing is dead-lettered
    because the registry is down).
    """

    def __init__(
        self,
        record: RecordSchema,
        writer: Callable[[int], RecordSchema],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._record = record
        # arrays of strings are for topics of a few records a second, and the columnar codec does without them
        self._codec = None if any(f.kind == "array" and f.item == "string" for f in record.fields) else Codec(record)
        self._arrow = record.arrow
        self._symbols = record.symbols
        self._writer = writer
        self._now_ns = now_ns

    def decode(self, messages: Sequence[Message]) -> Rows:
        """Rows of the table's columns, in the order of the messages."""
        values = list(map(Message.value, messages))
        batch, good, bad = self._decoded(values)
        sources, framed, count = messages, values, len(good)
        if bad:
            sources, framed = [messages[index] for index in good], [values[index] for index in good]
        times_us = batch.column("ts_event_ns").to_numpy() // 1000
        added = {
            "ts_event": pa.array(times_us, pa.int64()).cast(_TIMESTAMP),
            "_partition": pa.array(np.fromiter(map(Message.partition, sources), np.int32, count)),
            "_offset": pa.array(np.fromiter(map(Message.offset, sources), np.int64, count)),
            "_schema_id": pa.array(_schema_ids(framed)),
            "_ingested_at": pa.array(np.full(count, self._now_ns() // 1000)).cast(_TIMESTAMP),
        }
        fields = [*self._arrow, *(pa.field(name, column.type, nullable=False) for name, column in added.items())]
        table = pa.Table.from_arrays([*batch.columns, *added.values()], schema=pa.schema(fields))
        return Rows(table, tuple(Undecodable(messages[index], error) for index, error in bad))

    def _decoded(
        self, values: Sequence[bytes | None]
    ) -> tuple[pa.RecordBatch, list[int], list[tuple[int, BreakwaterError]]]:
        """The good records, their places, and the others' places with what is wrong."""
        if self._codec is not None:
            decoded = self._codec.decode(values, self._writer)
            batch = to_arrow(decoded.batch, self._arrow, self._symbols)
            return batch, decoded.index.tolist(), [(bad.index, bad.error) for bad in decoded.bad]
        rows: list[dict[str, Any]] = []
        good: list[int] = []
        wrong: list[tuple[int, BreakwaterError]] = []
        for index, value in enumerate(values):
            try:
                rows.append(decode_row(self._record, value, self._writer))
                good.append(index)
            except (RecordError, SchemaError) as error:
                wrong.append((index, error))
        return pa.RecordBatch.from_pylist(rows, schema=self._arrow), good, wrong


def _schema_ids(framed: Sequence[bytes | None]) -> NDArray[np.int32]:
    """The registry id in each framed record: the four bytes after the magic one, big-endian."""
    heads = b"".join([value[1:5] for value in framed if value is not None])
    return np.frombuffer(heads, ">u4").astype(np.int32)


def drop_repeated(table: pa.Table, marks: Mapping[int, Mark]) -> tuple[pa.Table, dict[int, Mark]]:
    """The rows beyond their partition's mark, and the marks after them.

    For topics whose partitions hold whole snaps in the order (ts_event_ns, snap_row): a row at or below one before it
    was sent again after a crash upstream, with the same bytes (same level_id, same ts_event_ns).
    """
    partitions = table["_partition"].to_numpy()
    times = table["ts_event_ns"].to_numpy()
    places = table["snap_row"].to_numpy()
    keep = np.zeros(len(partitions), np.bool_)
    after = dict(marks)
    for number in np.unique(partitions).tolist():
        index = np.flatnonzero(partitions == number)
        fresh = _beyond(times[index], places[index], marks.get(number))
        keep[index] = fresh
        if fresh.any():
            last = index[np.flatnonzero(fresh)[-1]]
            after[number] = Mark(int(times[last]), int(places[last]))
    return (table if keep.all() else table.filter(pa.array(keep))), after


def _beyond(times: NDArray[np.int64], places: NDArray[np.int32], mark: Mark | None) -> NDArray[np.bool_]:
    """True where (time, place) is greater than every pair before it and than the mark."""
    lowest = np.iinfo(np.int64).min
    start = Mark(lowest, -1) if mark is None else mark
    all_times = np.concatenate([[start.ts_event_ns], times])
    highest = np.maximum.accumulate(all_times)
    rises = np.concatenate([[False], highest[1:] > highest[:-1]])
    # Pairs as one number: which rise of the time they belong to, then the place; earlier times rank below every place.
    group = np.cumsum(rises) << 32
    all_places = np.concatenate([[start.snap_row], places]).astype(np.int64)
    rank = np.where(all_times == highest, group + all_places, group - 1)
    return rank[1:] > np.maximum.accumulate(rank)[:-1]
