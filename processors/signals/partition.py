"""One partition's feature rows on their way to a judgement: whole snaps in, signals and table rows out. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.avro.codec import BadRecord, Codec
from common.columns import Batch, string_list
from common.config import EngineConfig
from common.errors import InvariantError
from common.schemas import RecordSchema
from processors.engine import signals
from processors.signals.position import Position, Start, level_key, position_key

Writer = Callable[[int], RecordSchema]


@dataclass(frozen=True, slots=True)
class BadInput:
    """A record that cannot be decoded: where it stood, what it held, and why."""

    offset: int
    value: bytes | None
    error: str


@dataclass(frozen=True, slots=True)
class Work:
    """What became of some records, to be done in this order, each after the last is acknowledged.

    ``signals`` (framed Avro) and ``bad`` go to their topics, ``levels`` are the table rows to write, then the position
    row.
    """

    signals: list[bytes]
    bad: tuple[BadInput, ...]
    levels: list[tuple[bytes, bytes]]
    position_row: tuple[bytes, bytes]
    position: Position


class Partition:
    """The rows of one complex that wait for their snap to be whole, and its levels' state.

    ``writer`` gives the schema of an id; ``schema_id`` is that of ``levels.signals.v1``; ``log_begin`` is the log's
    first offset, where a start without a position begins.
    """

    def __init__(
        self,
        config: EngineConfig,
        complex_name: str,
        start: Start,
        writer: Writer,
        schema_id: int,
        *,
        log_begin: int = 0,
    ) -> None:
        self.complex_name = complex_name
        self._config = config
        self._writer = writer
        self._schema_id = schema_id
        self._decoder = Codec(schemas.load(topics.FEATURES))
        self._encoder = Codec(schemas.load(topics.SIGNALS))
        self._state = start.state
        self._position = start.position or Position(log_begin, 0, 0, log_begin, (), config.hash)
        self._last_offset = self._position.next_offset - 1
        self._offsets: list[int] = []
        self._values: list[bytes | None] = []
        # Retention may have cut a log's first snap.
        self._after_bad = start.position is None

    @property
    def waiting(self) -> int:
        """Records that wait for their snap to be whole."""
        return len(self._offsets)

    @property
    def expected_offset(self) -> int:
        """The least offset that the next record may have."""
        return self._last_offset + 1

    @property
    def position(self) -> Position:
        """How far the records taken so far reach."""
        return self._position

    def add(self, offset: int, value: bytes | None) -> None:
        """The partition's next record; one that came before is passed over (a consumer may go back)."""
        if offset > self._last_offset:
            self._last_offset = offset
            self._offsets.append(offset)
            self._values.append(value)

    def take(self) -> Work | None:
        """Judge the whole snaps that wait; None when there is none. The rest goes on waiting.

        Raises InvariantError when a row of a snap is missing.
        """
        if not self._offsets:
            return None
        decoded = self._decoder.decode(self._values, self._writer)
        rows, index = decoded.batch, decoded.index
        self._check_frames(rows, index)
        whole = _whole_rows(rows)
        used = len(self._offsets) if whole == rows.length else int(index[whole])
        if used == 0:
            return None
        offsets, values = self._offsets[:used], self._values[:used]
        bad = tuple(_bad_input(record, offsets, values) for record in decoded.bad if record.index < used)
        del self._offsets[:used], self._values[:used]
        self._after_bad = bool(bad) and bad[-1].offset == offsets[-1]
        judged = rows.slice(0, whole)
        out = signals.step(self._config, self._state, judged)
        self._position = self._moved(judged, np.array(offsets)[index[:whole]], offsets[-1] + 1)
        names = dict.fromkeys(name for name in string_list(judged.columns["level_id"]) if name is not None)
        return Work(
            signals=self._encoder.encode(out, self._schema_id).messages(),
            bad=bad,
            levels=[(level_key(self.complex_name, name), self._state.get(name).to_bytes()) for name in names],
            position_row=(position_key(self.complex_name), self._position.to_bytes()),
            position=self._position,
        )

    def _moved(self, rows: Batch, offsets: NDArray[np.int64], next_offset: int) -> Position:
        """The position after ``rows``, which stood at ``offsets``."""
        last = self._position
        if rows.length == 0:
            return Position(
                next_offset, last.snap_ns, last.session_date, last.session_offset, last.level_ids, self._config.hash
            )
        dates, times = rows["session_date"], rows["ts_event_ns"]
        begins = np.flatnonzero(np.diff(dates, prepend=last.session_date))
        session_offset = int(offsets[begins[-1]]) if len(begins) else last.session_offset
        first = int(np.searchsorted(times, times[-1]))
        level_ids = tuple(name or "" for name in string_list(rows.slice(first, rows.length).columns["level_id"]))
        return Position(next_offset, int(times[-1]), int(dates[-1]), session_offset, level_ids, self._config.hash)

    def _check_frames(self, rows: Batch, index: NDArray[np.int64]) -> None:
        """Rows of a snap are numbered from 0 without a hole, unless a bad record stands in it."""
        number, times = rows["snap_row"].astype(np.int64), rows["ts_event_ns"]
        begins = np.diff(times, prepend=-1) != 0
        expected = np.where(begins, 0, np.concatenate([[-1], number[:-1]]) + 1)
        behind_bad = np.diff(index, prepend=-1) > 1
        behind_bad[:1] |= self._after_bad and index[:1] == 0
        wrong = np.flatnonzero((number != expected) & ~behind_bad)
        if len(wrong):
            row = int(wrong[0])
            offset = self._offsets[int(index[row])]
            raise InvariantError(
                f"{topics.FEATURES}: the row at offset {offset} has number {int(number[row])} in its snap, not"
                f" {int(expected[row])}: a row before it is missing",
                hint="Restart the worker: it reads again from the last whole snap.",
            )


def load_kernels(config: EngineConfig) -> None:
    """Compile or load every kernel on no rows at all, so that the first snap need not wait for it."""
    features = schemas.load(topics.FEATURES)
    rows = Codec(features).decode([], lambda _id: features).batch
    Codec(schemas.load(topics.SIGNALS)).encode(signals.step(config, signals.initial_state(), rows), 0)


def _whole_rows(rows: Batch) -> int:
    """How many rows, from the first, make up whole snaps: the last one is numbered as such, or another snap follows."""
    if rows.length == 0:
        return 0
    times = rows["ts_event_ns"]
    ends = rows["snap_row"] == rows["snap_rows"] - 1
    ends[:-1] |= times[1:] != times[:-1]
    last = np.flatnonzero(ends)
    return int(last[-1]) + 1 if len(last) else 0


def _bad_input(record: BadRecord, offsets: list[int], values: list[bytes | None]) -> BadInput:
    return BadInput(offsets[record.index], values[record.index], str(record.error))
