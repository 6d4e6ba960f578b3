"""What a market published, in its order: DBN files merged by the time of capture, for gateways that play them.

Faults of the market itself (two records that change places, a record that comes again) are part of what was published:
live, replayed or asked for later, the order is the same. Faults of a connection are the gateway's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import databento_dbn as d

from producers.blocks import blocks
from producers.dbn.symbols import symbol_map

SCHEMAS = {d.RType.INSTRUMENT_DEF: "definition", d.RType.STATUS: "status", d.RType.MBP_0: "trades"}
SCHEMAS[d.RType.MBP_10] = "mbp-10"
RANK = {"definition": 0, "status": 1, "trades": 2, "mbp-10": 3}
"""Of equal times: what says which contract it is, then trades before the book changes that they cause."""

KINDS = {
    "reorder": "the market: record `at` changes places with the one `count` later",
    "duplicate": "the market: record `at` comes `count` times more",
    "drop": "the connection breaks before record `at`; `count` records are published while it is away",
    "lose": "as drop, and what was published meanwhile, and before, can no longer be replayed",
    "restart": "as drop, and nobody is let in for `seconds`",
    "refuse": "as drop, and the next `count` logins are refused",
    "stall": "nothing is sent for `seconds`, no heartbeat either",
    "garbage": "`count` bytes that mean nothing",
    "unknown_rtype": "a record of a type that does not exist",
    "error": "an error record with `code`; the connection closes when the code is a fatal one",
    "slow_reader": "a warning that the reader is slow",
    "skip": "`count` records of the book are withheld, then an error record says so",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, once, when record ``at`` of the broadcast is next to be sent (`KINDS`)."""

    at: int
    kind: str
    count: int = 1
    seconds: float = 0.0
    code: int = 6

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no fault; there are {', '.join(KINDS)}")


def faults_of(path: Path) -> list[Fault]:
    """The faults of a JSON file, a list of objects."""
    return [Fault(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as it goes over the wire, and when the market published it."""

    schema: str
    instrument_id: int
    ts_event_ns: int
    at_ns: int
    raw: bytes


@dataclass(slots=True)
class Broadcast:
    """Everything that is published, in order. ``symbols``: the contract's name of each instrument."""

    dataset: str
    entries: list[Entry]
    symbols: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Sequence[Path], faults: Sequence[Fault] = ()) -> Broadcast:
        """The records of DBN files of any version, as the newest version has them, and the market's own faults."""
        entries: list[tuple[int, int, Entry]] = []
        symbols: dict[int, str] = {}
        dataset = ""
        for path in paths:
            metadata, records = _read(path)
            dataset = dataset or metadata.dataset
            for interval in symbol_map(metadata).intervals:
                symbols.setdefault(interval.instrument_id, interval.symbol)
            # A file's own order stands, also where its times do not.
            times = accumulate((record.ts_recv for record in records), max)
            for at_ns, record in zip(times, records, strict=True):
                schema = SCHEMAS[record.rtype]
                if schema == "definition":
                    symbols[record.instrument_id] = record.raw_symbol
                entry = Entry(schema, record.instrument_id, record.ts_event, at_ns, bytes(record))
                entries.append((at_ns, RANK[schema], entry))
        entries.sort(key=lambda item: item[:2])
        out = cls(dataset, [entry for _, _, entry in entries], symbols)
        for fault in faults:
            out._apply(fault)
        return out

    def _apply(self, fault: Fault) -> None:
        at, entries = fault.at, self.entries
        if fault.kind == "duplicate":
            entries[at:at] = [entries[at]] * fault.count
        elif fault.kind == "reorder":
            entries[at], entries[at + fault.count] = entries[at + fault.count], entries[at]

    def front(self, root: str, position: int) -> int | None:
        """The instrument that a continuous symbol of the root means at a position: the one whose book moved last."""
        mine = {number for number, name in self.symbols.items() if name.startswith(root)}
        before = range(min(position, len(self.entries)) - 1, -1, -1)
        for places in (before, range(len(self.entries))):
            for i in places:
                entry = self.entries[i]
                if entry.schema == "mbp-10" and entry.instrument_id in mine:
                    return entry.instrument_id
        return next(iter(sorted(mine)), None)

    def instruments(self, stype: str, symbol: str, position: int) -> list[int]:
        """The instruments that a subscription's symbol means at a position; none when it means nothing."""
        if stype == "continuous":
            front = self.front(symbol.partition(".")[0], position)
            return [] if front is None else [front]
        if stype == "instrument_id":
            return [int(symbol)] if int(symbol) in self.symbols else []
        if symbol == "ALL_SYMBOLS":
            return sorted(self.symbols)
        return [number for number, name in sorted(self.symbols.items()) if name == symbol]


def _read(path: Path) -> tuple[d.Metadata, list[Any]]:
    decoder = d.DBNDecoder()
    found: list[Any] = []
    for block in blocks(path):
        found += decoder.write_and_decode(block)
    return found[0], found[1:]
