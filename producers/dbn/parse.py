"""A chunk of DBN records as a batch of our records. Pure: bytes in, columns out; nothing waits, nothing is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.columns import Batch, Column, repeated_string, strings
from common.errors import RecordError
from common.schemas import load
from common.topics import FUTURES_DEFINITIONS, FUTURES_MBP10, FUTURES_STATUS, FUTURES_TRADES
from producers.dbn import reference
from producers.dbn.columns import DEPTH, INT32_MAX, Head, Levels, empty_head, empty_levels, read_head, read_levels
from producers.dbn.symbols import SymbolMap
from producers.event_ids import content_hashes

SOURCE = "databento"
SIMULATED_DATASET, SIMULATED = "SIM.MDP3", "sim"
"""The dataset that made-up files name, and the source of their records: nobody takes them for a market."""
TOPICS = {
    "mbp-10": FUTURES_MBP10,
    "trades": FUTURES_TRADES,
    "definition": FUTURES_DEFINITIONS,
    "status": FUTURES_STATUS,
}
"""Where the records of each DBN schema go."""

SNAPSHOT_FLAG = 32
WORD_BYTES = 8


class BadValueError(RecordError):
    """A record holds a value that its topic cannot: ``index`` is its place in the chunk."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(f"record {index}: {problem}")
        self.index = index
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Parsed:
    """``batch`` has every field of its topic; ids, effective times and lateness are the sequencer's to fill.

    ``hashes``: uint64 content hash of each record.
    """

    batch: Batch
    hashes: NDArray[np.uint64]


def _codes(topic: str, field: str, letters: dict[bytes, str]) -> NDArray[np.int32]:
    """Index of the enum symbol for every byte; -1 for letters that mean nothing here."""
    symbols = load(topic).field(field).symbols
    table = np.full(256, -1, np.int32)
    for letter, symbol in letters.items():
        table[letter[0]] = symbols.index(symbol)
    return table


ACTIONS = _codes(
    FUTURES_MBP10,
    "action",
    {b"A": "ADD", b"C": "CANCEL", b"M": "MODIFY", b"R": "CLEAR", b"T": "TRADE", b"F": "FILL", b"N": "NONE"},
)
SIDES = _codes(FUTURES_MBP10, "side", {b"A": "ASK", b"B": "BID", b"N": "NONE"})
AGGRESSORS = _codes(FUTURES_TRADES, "aggressor", {b"A": "SELL", b"B": "BUY", b"N": "MID"})
ANY = np.zeros(256, np.int32)
"""Codes of each letter, -1 where it means nothing. A trade's action is not read."""


def source_of(dataset: str) -> str:
    """The ``source`` of records of a dataset."""
    return SIMULATED if dataset == SIMULATED_DATASET else SOURCE


def parse(schema: str, records: NDArray[np.void], symbols: SymbolMap, source: str = SOURCE) -> Parsed:
    """The batch of ``records``, which are of the DBN schema ``schema``, a key of `TOPICS`.

    Raises BadValueError for the first record with a letter, size or price that the topic cannot hold.
    """
    if schema == "definition":
        return Parsed(*reference.definitions(records, symbols, source))
    if schema == "status":
        return Parsed(*reference.statuses(records, symbols, source))
    topic = TOPICS[schema]
    is_book = schema == "mbp-10"
    length = len(records)
    words = records.view(np.uint64).reshape(length, records.dtype.itemsize // WORD_BYTES)
    head = empty_head(length)
    actions, sides = (ACTIONS, SIDES) if is_book else (ANY, AGGRESSORS)
    bad = read_head(words, actions, sides, head)
    if is_book:
        levels = empty_levels(length)
        bad = min(bad, read_levels(words, levels))
    elif not head.price_valid.all():
        bad = min(bad, int(np.argmin(head.price_valid)))
    if bad < length:
        raise BadValueError(bad, problem(records[bad], is_book))
    columns = {**_envelope(head, symbols, source), **(_book(head, levels) if is_book else _trade(head, records))}
    ordered = {field.name: columns[field.name] for field in load(topic).fields}
    return Parsed(Batch(topic, length, ordered), content_hashes(topic, list(head.hashed)))


def _envelope(head: Head, symbols: SymbolMap, source: str) -> dict[str, Column]:
    length = len(head.size)
    every = np.ones(length, np.bool_)
    return {
        "event_id": Column(np.zeros(length, np.int64)),
        "ts_event_ns": Column(head.ts_event_ns),
        "ts_recv_ns": Column(head.ts_recv_ns),
        "ts_effective_ns": Column(head.ts_event_ns),
        "source": repeated_string(source, length),
        "symbol": symbols.column(head.instrument_id, head.ts_event_ns),
        "instrument_id": Column(head.instrument_id, every),
        "seq": Column(head.seq, every),
        "is_late": Column(np.zeros(length, np.bool_)),
        "size": Column(head.size),
        "flags": Column(head.flags),
        "gap_begin_ns": Column(np.zeros(length, np.int64), np.zeros(length, np.bool_)),
    }


def _book(head: Head, levels: Levels) -> dict[str, Column]:
    columns = {
        "action": Column(head.action),
        "side": Column(head.side),
        "price": Column(head.price, head.price_valid),
        "is_snapshot": Column((head.flags & SNAPSHOT_FLAG) != 0),
    }
    every = np.ones(len(head.size), np.bool_)
    for row, (side, level) in enumerate((side, level) for side in ("bid", "ask") for level in range(1, DEPTH + 1)):
        valid = levels.valid[row] if levels.missing[row] else every
        columns[f"{side}_px_{level}"] = Column(levels.price[row], valid)
        columns[f"{side}_sz_{level}"] = Column(levels.size[row], valid)
        columns[f"{side}_ct_{level}"] = Column(levels.orders[row], valid)
    return columns


def _trade(head: Head, records: NDArray[np.void]) -> dict[str, Column]:
    return {
        "price": Column(head.price),
        "aggressor": Column(head.side),
        "venue": _venues(records["publisher_id"]),
    }


def problem(record: np.void, is_book: bool) -> str:
    """What is wrong with a record that the kernels stopped at."""
    sizes, letters = ["size"], [("side", AGGRESSORS)]
    if is_book:
        letters = [("action", ACTIONS), ("side", SIDES)]
        sizes += [f"{s}_{q}_{k:02d}" for k in range(DEPTH) for s in ("bid", "ask") for q in ("sz", "ct")]
    for name in sizes:
        if record[name] > INT32_MAX:
            return f"{name} is {record[name]}, more than {INT32_MAX}"
    for name, table in letters:
        # NumPy shows a zero byte as an empty string.
        letter = record[name] or b"\0"
        if table[letter[0]] < 0:
            return f"{name} is {letter.decode('latin-1')!r}, which means nothing here"
    return "a trade without a price"


def _venues(publishers: NDArray[np.uint16]) -> Column:
    found, codes = np.unique(publishers, return_inverse=True)
    names = [_venue(int(publisher)) for publisher in found]
    if len(names) == 1 and names[0] is not None:
        column = repeated_string(names[0], len(publishers))
        return Column(column.values, np.ones(len(publishers), np.bool_), column.offsets)
    column = strings(names).take(codes.astype(np.int64))
    valid = np.ones(len(publishers), np.bool_) if column.valid is None else column.valid
    return Column(column.values, valid, column.offsets)


def _venue(publisher_id: int) -> str | None:
    if publisher_id == 1:
        return "GLBX"
    # The vendor's whole table costs more than a second to import; CME, by far the usual case, does without.
    from databento.common.publishers import Publisher

    try:
        return str(Publisher.from_int(publisher_id).venue)
    except ValueError:
        return None
