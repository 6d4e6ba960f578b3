"""A long DBN session out of a short one: the same records again and again, each time later, closer together in time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from common.sessions import cme_es_sessions
from common.settings import settings
from producers.dbn.file import LAYOUTS
from producers.simulator import simulate
from producers.simulator.files import SymbolInterval, SymbolMapping
from tests.support.dbn_files import content

SAMPLE = ("esh4-20231225.mbp-10.dbn.zst", "esh4-20231225.trades.dbn.zst")
SCHEMAS = ("mbp-10", "trades")
SNAP_NS = 250_000_000
EVENTS_PER_SNAP = 150
"""An open market's rate: the recorded session, two quiet hours, about a hundred times as dense."""


@dataclass(frozen=True, slots=True)
class Session:
    """A book file and a trades file. ``records``: of each; ``span_ns``: from the first to the last."""

    paths: tuple[Path, Path]
    records: tuple[int, int]
    span_ns: int
    source: str

    @property
    def events(self) -> int:
        """Records of both files."""
        return sum(self.records)

    @property
    def snaps(self) -> int:
        """Snaps that lie within it."""
        return self.span_ns // SNAP_NS


def recorded() -> tuple[Path, Path] | None:
    """The recorded ES session, None where it is not at hand."""
    book, trades = (settings().sample_data / "es" / name for name in SAMPLE)
    return (book, trades) if book.is_file() and trades.is_file() else None


def repeated(folder: Path, events: int, per_snap: int = EVENTS_PER_SNAP) -> Session:
    """Write DBN files (zstd, as the vendor ships them) of at least ``events`` records to ``folder``, ``per_snap`` of
    them a snap; times and sequence numbers ever rise.

    The source is the recorded session, or a simulated one where that is not at hand.
    """
    given = recorded()
    sources = given if given is not None else simulate(folder).futures
    parts = [_records(path, schema) for path, schema in zip(sources, SCHEMAS, strict=True)]
    count = sum(map(len, parts))
    times = np.concatenate([part["ts_event"].astype(np.int64) for part in parts])
    first_ns, last_ns = int(times.min()), int(times.max())
    round_ns = count * SNAP_NS // per_snap
    faster = (last_ns - first_ns) / (round_ns - 1)
    numbers = int(max(part["sequence"].max() for part in parts)) + 1
    rounds = -(-events // count)
    sessions = cme_es_sessions()
    begin_ns = int(sessions.open_ns[np.searchsorted(sessions.open_ns, last_ns, side="right") - 1]) + 1
    book, trades = (folder / f"{rounds}x{per_snap}.{schema}.dbn.zst" for schema in SCHEMAS)
    for path, schema, records in zip((book, trades), SCHEMAS, parts, strict=True):
        with zstandard.open(path, "wb") as file:
            file.write(_header(schema, records, begin_ns))
            for number in range(rounds):
                file.write(_moved(records, first_ns, faster, begin_ns + number * round_ns, number * numbers).tobytes())
    source = "recorded ESH4 of 2023-12-25" if given is not None else "simulated ESM5"
    return Session((book, trades), (len(parts[0]) * rounds, len(parts[1]) * rounds), rounds * round_ns, source)


def _records(path: Path, schema: str) -> NDArray[np.void]:
    with path.open("rb") as file:
        raw = zstandard.ZstdDecompressor().stream_reader(file).read()
    prelude_bytes = 8
    body = prelude_bytes + int.from_bytes(raw[4:prelude_bytes], "little")
    return np.frombuffer(raw[body:], LAYOUTS[schema].dtype)


def _header(schema: str, records: NDArray[np.void], begin_ns: int) -> bytes:
    instrument = str(records["instrument_id"][0])
    day = dt.datetime.fromtimestamp(begin_ns // 1_000_000_000, dt.UTC).date()
    mapping = SymbolMapping("ES", [SymbolInterval(day, day + dt.timedelta(days=7), instrument)])
    return content(schema, records[:0], start=begin_ns, symbols=["ES"], mappings=[mapping])


def _moved(records: NDArray[np.void], first_ns: int, faster: float, begin_ns: int, sequence: int) -> NDArray[np.void]:
    """The records ``faster`` times as fast, from ``begin_ns`` on; each as long under way as it was."""
    out = records.copy()
    delay_ns = records["ts_recv"] - records["ts_event"]
    since_ns = (records["ts_event"].astype(np.int64) - first_ns) / faster
    out["ts_event"] = begin_ns + since_ns.astype(np.int64)
    out["ts_recv"] = out["ts_event"] + delay_ns
    out["sequence"] = records["sequence"] + np.uint32(sequence % 2**32)
    return out
