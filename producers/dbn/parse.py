"""A chunk of DBN records as a batch of our records. Pure: bytes in, columns out; nothing waits, nothing is kept."""

from __future__ import annotations

from dataclasses import dataclass

import databento_dbn
import numpy as np
from numpy.typing import NDArray

from common.columns import Batch, Column, repeated_string, strings
from common.errors import RecordError
from common.schemas import load
from common.topics import FUTURES_MBP10, FUTURES_TRADES
from producers.dbn.symbols import SymbolMap
from producers.event_ids import content_hashes

SOURCE = "databento"
TOPICS = {"mbp-10": FUTURES_MBP10, "trades": FUTURES_TRADES}
"""Where the records of each DBN schema go."""

PRICE_SCALE = 1e9
"""Every 1 unit of a DBN price is 1e-9 dollars."""

SNAPSHOT_FLAG = 32
DEPTH = 10
INT32_MAX = 2**31 - 1


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


_ACTIONS = _codes(
    FUTURES_MBP10,
    "action",
    {b"A": "ADD", b"C": "CANCEL", b"M": "MODIFY", b"R": "CLEAR", b"T": "TRADE", b"F": "FILL", b"N": "NONE"},
)
_SIDES = _codes(FUTURES_MBP10, "side", {b"A": "ASK", b"B": "BID", b"N": "NONE"})
_AGGRESSORS = _codes(FUTURES_TRADES, "aggressor", {b"A": "SELL", b"B": "BUY", b"N": "MID"})


def parse(schema: str, records: NDArray[np.void], symbols: SymbolMap) -> Parsed:
    """The batch of ``records``, which are of the DBN schema ``mbp-10`` or ``trades``.

    Raises BadValueError for a record with a letter, size or price that the topic cannot hold.
    """
    topic = TOPICS[schema]
    columns = _envelope(records, symbols)
    columns.update(_book(records) if schema == "mbp-10" else _trade(records))
    ordered = {field.name: columns[field.name] for field in load(topic).fields}
    return Parsed(Batch(topic, len(records), ordered), _hashes(topic, records))


def _envelope(records: NDArray[np.void], symbols: SymbolMap) -> dict[str, Column]:
    length = len(records)
    instrument_id = records["instrument_id"].astype(np.int64)
    ts_event_ns = records["ts_event"].astype(np.int64)
    ts_recv_ns = records["ts_recv"].astype(np.int64)
    return {
        "event_id": Column(np.zeros(length, np.int64)),
        "ts_event_ns": Column(ts_event_ns),
        "ts_recv_ns": Column(ts_recv_ns),
        "ts_effective_ns": Column(ts_event_ns),
        "source": repeated_string(SOURCE, length),
        "symbol": symbols.column(instrument_id, ts_event_ns),
        "instrument_id": Column(instrument_id, np.ones(length, np.bool_)),
        "seq": Column(records["sequence"].astype(np.int64), np.ones(length, np.bool_)),
        "is_late": Column(np.zeros(length, np.bool_)),
        "size": Column(_int32(records, "size")),
        "flags": Column(records["flags"].astype(np.int32)),
    }


def _book(records: NDArray[np.void]) -> dict[str, Column]:
    columns = {
        "action": Column(_letters(records, "action", _ACTIONS)),
        "side": Column(_letters(records, "side", _SIDES)),
        "price": _price(records["price"]),
        "is_snapshot": Column((records["flags"] & SNAPSHOT_FLAG) != 0),
    }
    for level in range(DEPTH):
        for side in ("bid", "ask"):
            price = _price(records[f"{side}_px_{level:02d}"])
            columns[f"{side}_px_{level + 1}"] = price
            for quantity in ("sz", "ct"):
                values = _int32(records, f"{side}_{quantity}_{level:02d}")
                if price.valid is not None and not price.valid.all():
                    values = np.where(price.valid, values, np.int32(0))
                columns[f"{side}_{quantity}_{level + 1}"] = Column(values, price.valid)
    return columns


def _trade(records: NDArray[np.void]) -> dict[str, Column]:
    price = _price(records["price"])
    if price.valid is not None and not price.valid.all():
        index = int(np.argmin(price.valid))
        raise BadValueError(index, "a trade without a price")
    return {
        "price": Column(price.values),
        "aggressor": Column(_letters(records, "side", _AGGRESSORS)),
        "venue": _venues(records["publisher_id"]),
    }


def _price(raw: NDArray[np.int64]) -> Column:
    """Dollars.

    Null where the vendor has none. Division, not multiplication by 1e-9, gives the double nearest to the decimal.
    """
    valid = raw != databento_dbn.UNDEF_PRICE
    return Column(np.where(valid, raw / PRICE_SCALE, 0.0), valid)


def _int32(records: NDArray[np.void], field: str) -> NDArray[np.int32]:
    raw = records[field]
    if len(raw) and raw.max() > INT32_MAX:
        index = int(np.argmax(raw > INT32_MAX))
        raise BadValueError(index, f"{field} is {raw[index]}, more than {INT32_MAX}")
    return raw.astype(np.int32)


def _bytes(records: NDArray[np.void], field: str) -> NDArray[np.uint8]:
    """The one-letter field as numbers.

    NumPy would show a zero byte as an empty string, which the file does not hold.
    """
    return np.ascontiguousarray(records[field]).view(np.uint8)


def _letters(records: NDArray[np.void], field: str, table: NDArray[np.int32]) -> NDArray[np.int32]:
    letters = _bytes(records, field)
    codes = table[letters]
    if (codes < 0).any():
        index = int(np.argmin(codes))
        raise BadValueError(index, f"{field} is {chr(letters[index])!r}, which means nothing here")
    return codes


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


def _hashes(topic: str, records: NDArray[np.void]) -> NDArray[np.uint64]:
    words = [
        records["publisher_id"].astype(np.uint64),
        records["instrument_id"].astype(np.uint64),
        records["ts_event"].astype(np.uint64),
        records["ts_recv"].astype(np.uint64),
        records["sequence"].astype(np.uint64),
        _bytes(records, "action").astype(np.uint64),
        _bytes(records, "side").astype(np.uint64),
        np.ascontiguousarray(records["price"]).view(np.uint64),
        records["size"].astype(np.uint64),
    ]
    return content_hashes(topic, words)
