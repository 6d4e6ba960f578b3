"""Databento's DBN files: reading (:mod:`.file`), parsing (:mod:`.parse`), and both together as batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from common.columns import Batch, Column
from common.topics import FUTURES_DEFINITIONS, FUTURES_STATUS
from producers.dbn.file import DbnFile
from producers.dbn.parse import TOPICS, BadValueError, parse, source_of
from producers.event_ids import EventIds
from producers.letters.aside import SetAside, log_only
from producers.live.arrivals import Bad

CHUNK_RECORDS = 16_384
STATES = (FUTURES_DEFINITIONS, FUTURES_STATUS)

__all__ = ["CHUNK_RECORDS", "TOPICS", "DbnReader", "read"]


class DbnReader:
    """One DBN file as batches with event ids, in file order.

    Effective times are the sequencer's to fill. A context manager. A record with a value that its topic cannot hold is
    left out and told to ``set_aside``.
    """

    def __init__(self, path: Path, set_aside: SetAside = log_only) -> None:
        self._file = DbnFile(path)
        self._ids = EventIds()
        self._set_aside = set_aside
        self.path = path
        self.name = path.name
        self.topic = TOPICS[self._file.header.schema]
        # A day's file of these begins with the state at its start, which tells of older events.
        self.begin_ns = self._file.header.start_ns if self.topic in STATES else 0

    def __enter__(self) -> DbnReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, count: int = CHUNK_RECORDS) -> Batch | None:
        """The next ``count`` records at most, None at the end.

        Raises InputError when the next record is damaged, once every record before it has been handed out.
        """
        before = self._file.records
        header = self._file.header
        records = self._file.read(count)
        left_out = 0
        while True:
            if len(records) == 0:
                return None if left_out == 0 else self.read(count)
            try:
                parsed = parse(header.schema, records, header.symbols, source_of(header.dataset))
                break
            except BadValueError as error:
                raw, place = records[error.index].tobytes(), f"record {before + error.index + left_out}"
                self._set_aside(self.name, Bad(self.topic, raw, error.problem, place))
                records = np.delete(records, error.index)
                left_out += 1
        ids = self._ids.assign(parsed.hashes)
        return Batch(parsed.batch.name, parsed.batch.length, {**parsed.batch.columns, "event_id": Column(ids)})


def read(paths: Sequence[Path], chunk_records: int = CHUNK_RECORDS) -> Iterator[Batch]:
    """The records of each file, one file after the other, as batches of its topic without effective times.

    Raises InputError, after the last good record, for a file that is missing, foreign or damaged.
    """
    for path in paths:
        with DbnReader(path) as reader:
            while (batch := reader.read(chunk_records)) is not None:
                yield batch
