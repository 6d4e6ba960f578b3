"""Contract definitions and trading status as batches: the few records that say what the many are about.

Pure. Both come as snapshots of the state at a day's start too, with the time of the event long before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.columns import Batch, Column, repeated_string, strings
from common.schemas import load
from common.topics import FUTURES_DEFINITIONS, FUTURES_STATUS
from producers.dbn.columns import INT32_MAX, PRICE_SCALE, UNDEFINED_PRICE
from producers.dbn.symbols import SymbolMap
from producers.event_ids import content_hashes, fnv1a

UNDEFINED_TIME = 2**64 - 1

_ACTIONS = {1: "PRE_OPEN", 2: "PRE_CROSS", 4: "CROSS", 7: "TRADING", 8: "HALT", 9: "PAUSE", 10: "SUSPEND"}
_ACTIONS |= {12: "CLOSE", 13: "POST_CLOSE", 15: "NOT_AVAILABLE"}
"""The vendor's status actions that the topic names; all others are OTHER."""


def definitions(records: NDArray[np.void], symbols: SymbolMap, source: str) -> tuple[Batch, NDArray[np.uint64]]:
    """Records of the DBN schema ``definition``, of any version, and the hash of each one's content.

    A contract is the front where a continuous symbol of rank 0 means it. The multiplier is the contract's, or its unit
    of measure where the venue says it there (CME).
    """
    names = _texts(records["raw_symbol"])
    assets = _texts(records["asset"])
    expiration = records["expiration"]
    has_expiration = expiration != UNDEFINED_TIME
    tick, tick_valid = _price(records["min_price_increment"])
    measure, measure_valid = _price(records["unit_of_measure_qty"])
    multiplier = records["contract_multiplier"].astype(np.float64)
    multiplier_valid = records["contract_multiplier"] != INT32_MAX
    columns = {
        **_envelope(records, source),
        "symbol": strings(names),
        "raw_symbol": strings(names),
        "asset": strings(assets),
        "expiration_ns": Column(np.where(has_expiration, expiration, 0).astype(np.int64), has_expiration),
        "tick_size": Column(tick, tick_valid),
        "multiplier": Column(np.where(multiplier_valid, multiplier, measure), multiplier_valid | measure_valid),
        "is_front": Column(symbols.is_front(*_when(records))),
    }
    hashed = [
        *_identity(records),
        _hashes(names),
        records["expiration"],
        records["min_price_increment"].view(np.uint64),
        _codes(records["security_update_action"]),
    ]
    return _batch(FUTURES_DEFINITIONS, columns, len(records)), content_hashes(FUTURES_DEFINITIONS, hashed)


def statuses(records: NDArray[np.void], symbols: SymbolMap, source: str) -> tuple[Batch, NDArray[np.uint64]]:
    """Records of the DBN schema ``status``, and the hash of each one's content."""
    known = load(FUTURES_STATUS).field("action").symbols
    table = np.full(1 << 16, known.index("OTHER"), np.int32)
    for code, name in _ACTIONS.items():
        table[code] = known.index(name)
    columns = {
        **_envelope(records, source),
        "symbol": symbols.column(*_when(records)),
        "action": Column(table[records["action"]]),
        "reason": Column(records["reason"].astype(np.int32), records["reason"] != 0),
        "is_trading": _tristate(records["is_trading"]),
        "is_quoting": _tristate(records["is_quoting"]),
    }
    fields = ("action", "reason", "trading_event")
    letters = ("is_trading", "is_quoting", "is_short_sell_restricted")
    hashed = [
        *_identity(records),
        *(records[name].astype(np.uint64) for name in fields),
        *(_codes(records[name]) for name in letters),
    ]
    return _batch(FUTURES_STATUS, columns, len(records)), content_hashes(FUTURES_STATUS, hashed)


def _envelope(records: NDArray[np.void], source: str) -> dict[str, Column]:
    length = len(records)
    event_ns = records["ts_event"].astype(np.int64)
    none = np.zeros(length, np.bool_)
    return {
        "event_id": Column(np.zeros(length, np.int64)),
        "ts_event_ns": Column(event_ns),
        "ts_recv_ns": Column(records["ts_recv"].astype(np.int64)),
        "ts_effective_ns": Column(event_ns),
        "source": repeated_string(source, length),
        "instrument_id": Column(records["instrument_id"].astype(np.int64), np.ones(length, np.bool_)),
        "seq": Column(np.zeros(length, np.int64), none),
        "is_late": Column(none),
        "gap_begin_ns": Column(np.zeros(length, np.int64), none),
    }


def _when(records: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Instruments, and when they were meant: a snapshot of an old event means its own day."""
    times_ns = np.maximum(records["ts_event"], records["ts_recv"]).astype(np.int64)
    return records["instrument_id"].astype(np.int64), times_ns


def _batch(topic: str, columns: dict[str, Column], length: int) -> Batch:
    return Batch(topic, length, {field.name: columns[field.name] for field in load(topic).fields})


def _identity(records: NDArray[np.void]) -> list[NDArray[np.uint64]]:
    return [records[name].astype(np.uint64) for name in ("publisher_id", "instrument_id", "ts_event", "ts_recv")]


def _price(values: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    valid = values != UNDEFINED_PRICE
    return np.where(valid, values / PRICE_SCALE, 0.0), valid


def _tristate(letters: NDArray[np.bytes_]) -> Column:
    return Column(letters == b"Y", (letters == b"Y") | (letters == b"N"))


def _texts(values: NDArray[np.bytes_]) -> list[str | None]:
    return [value.decode("utf-8", "replace") for value in values.tolist()]


def _hashes(names: Sequence[str | None]) -> NDArray[np.uint64]:
    return np.array([fnv1a(name or "") for name in names], np.uint64)


def _codes(letters: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    return np.array([letter[0] if letter else 0 for letter in letters.tolist()], np.uint64)
