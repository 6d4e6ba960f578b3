"""The vendor's messages as batches of our records (plan §11.1, §11.2). Pure: lines of bytes in, columns out.

A line is one received frame as JSON: ``{"ts_recv_ns": …, "channel": …, "messages": […]}``. Channels ``stocks`` and
``options`` hold websocket messages, ``chain`` the ``results`` of an option-chain or universal snapshot. A message that
cannot be used is reported, and the others survive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from common.columns import Batch
from common.errors import RecordError
from common.schemas import load
from common.topics import OPTIONS_GREEKS, OPTIONS_QUOTES, OPTIONS_TRADES, STOCKS_QUOTES, STOCKS_TRADES
from producers.event_ids import content_hashes
from producers.massive import fields
from producers.massive.columns import batch_of, content_words
from producers.massive.conditions import updates_last
from producers.massive.fields import Message
from producers.massive.symbols import OptionSymbol, parse_option_symbol

TOPICS = (STOCKS_TRADES, STOCKS_QUOTES, OPTIONS_TRADES, OPTIONS_QUOTES, OPTIONS_GREEKS)
"""What messages can become."""

OTHER_EVENTS = frozenset({"status", "A", "AM", "AS", "FMV", "LULD", "LV", "NOI"})
"""Events that hold nothing of ours: the connection's state, aggregates, fair values, bands, imbalances."""

SELL, MID, BUY = (load(OPTIONS_TRADES).field("aggressor").symbols.index(name) for name in ("SELL", "MID", "BUY"))
SNAPSHOT_ID_DIGITS = 16

AHEAD_MAX_NS = 10 * 1_000_000_000
"""A message from further in the future is damaged: taken in, it would push all later ones there too."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A message that cannot be used: its line, its place in the line's messages (None: the line itself), and why."""

    line: int
    message: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one topic in the order of their messages.

    ``batch`` has every field of its topic; ids, effective times and lateness are the sequencer's to fill. ``hashes``:
    uint64 content hash of each record.
    """

    batch: Batch
    hashes: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What some lines hold, by topic; topics without records are absent."""

    records: Mapping[str, Records]
    bad: tuple[BadMessage, ...]


@dataclass(slots=True)
class LastQuotes:
    """The last two quotes of each option. ``stale_ns``: an older quote says nothing about a trade."""

    stale_ns: int
    _quotes: dict[str, list[tuple[int, float | None, float | None]]] = field(default_factory=dict)

    def add(self, symbol: str, ts_ns: int, bid: float | None, ask: float | None) -> None:
        """Remember a quote. The one before it is kept for trades that happened between the two."""
        known = self._quotes.setdefault(symbol, [])
        known.append((ts_ns, bid, ask))
        del known[:-2]

    def at(self, symbol: str, ts_ns: int) -> tuple[float | None, float | None]:
        """Bid and ask at that time, None where unknown or stale. Never those of a later quote."""
        for quoted_ns, bid, ask in reversed(self._quotes.get(symbol, ())):
            if quoted_ns <= ts_ns:
                return (bid, ask) if ts_ns - quoted_ns <= self.stale_ns else (None, None)
        return None, None


@dataclass(frozen=True, slots=True)
class _Frame:
    """One line, and what its messages are read with."""

    ts_recv_ns: int
    messages: list[Any]
    snapshot_id: str
    quotes: LastQuotes
    wanted: Container[str] | None

    def wants(self, underlying: str) -> bool:
        return self.wanted is None or underlying in self.wanted


def parse(lines: Sequence[bytes], quotes: LastQuotes, wanted: Container[str] | None = None) -> Parsed:
    """The records of the lines.

    ``quotes`` is read and brought forward; the caller keeps it from one call to the next. ``wanted``: underlyings whose
    records are kept, None for all. Bad content raises nothing: see `Parsed.bad`.
    """
    rows: dict[str, list[Row]] = {}
    bad: list[BadMessage] = []
    for number, line in enumerate(lines):
        try:
            frame, read = _opened(line, quotes, wanted)
        except RecordError as error:
            bad.append(BadMessage(number, None, str(error)))
            continue
        for place, message in enumerate(frame.messages):
            try:
                found = read(frame, fields.message_of(message, "the message"))
            except RecordError as error:
                bad.append(BadMessage(number, place, str(error)))
                continue
            if found is not None:
                rows.setdefault(found[0], []).append(found[1])
    return Parsed({topic: _records(topic, of_topic) for topic, of_topic in rows.items()}, tuple(bad))


def _records(topic: str, rows: list[Row]) -> Records:
    batch = batch_of(topic, rows)
    return Records(batch, content_hashes(topic, content_words(batch)))


_Reader = Callable[[_Frame, Message], tuple[str, Row] | None]


def _opened(line: bytes, quotes: LastQuotes, wanted: Container[str] | None) -> tuple[_Frame, _Reader]:
    try:
        content = fields.message_of(orjson.loads(line), "the line")
    except orjson.JSONDecodeError as error:
        raise RecordError(f"the line is no JSON: {error}") from None
    channel = fields.text(content, "channel")
    read = _CHANNELS.get(channel)
    if read is None:
        raise RecordError(f"channel is {channel!r}, not one of {', '.join(_CHANNELS)}")
    messages = content.get("messages")
    if not isinstance(messages, list):
        raise RecordError("messages is not a list")
    ts_recv_ns = fields.nanoseconds(content, "ts_recv_ns")
    if ts_recv_ns is None:
        raise RecordError("ts_recv_ns is missing")
    snapshot_id = hashlib.sha256(line).hexdigest()[:SNAPSHOT_ID_DIGITS] if channel == "chain" else ""
    return _Frame(ts_recv_ns, messages, snapshot_id, quotes, wanted), read


def _event(message: Message, ours: Mapping[str, _Reader]) -> _Reader | None:
    kind = fields.text(message, "ev")
    read = ours.get(kind)
    if read is None and kind not in OTHER_EVENTS:
        raise RecordError(f"ev is {kind!r}, which means nothing here")
    return read


def _stocks(frame: _Frame, message: Message) -> tuple[str, Row] | None:
    read = _event(message, {"T": _stock_trade, "Q": _stock_quote})
    return None if read is None else read(frame, message)


def _options(frame: _Frame, message: Message) -> tuple[str, Row] | None:
    read = _event(message, {"T": _option_trade, "Q": _option_quote})
    return None if read is None else read(frame, message)


def _head(frame: _Frame, message: Message, symbol: str) -> Row:
    ts_event_ns = fields.milliseconds(message, "t")
    if ts_event_ns > frame.ts_recv_ns + AHEAD_MAX_NS:
        raise RecordError(f"t is {(ts_event_ns - frame.ts_recv_ns) / 1e9:.1f} s after its receipt")
    return ts_event_ns, frame.ts_recv_ns, symbol, fields.integer(message, "q", fields.INT64_MAX)


def _contract(symbol: OptionSymbol) -> Row:
    return symbol.underlying, symbol.exp_date, symbol.strike_milli / 1000, symbol.right


def _stock_trade(frame: _Frame, message: Message) -> tuple[str, Row] | None:
    symbol = fields.text(message, "sym")
    if not frame.wants(symbol):
        return None
    conditions = fields.integers(message, "c")
    size = fields.required(fields.integer(message, "s"), "s")
    trade_id = None if message.get("i") is None else fields.text(message, "i")
    row = (
        *_head(frame, message, symbol),
        fields.price(message, "p"),
        size,
        fields.integer(message, "x"),
        conditions,
        updates_last(conditions),
        trade_id,
    )
    return STOCKS_TRADES, row


def _stock_quote(frame: _Frame, message: Message) -> tuple[str, Row] | None:
    symbol = fields.text(message, "sym")
    if not frame.wants(symbol):
        return None
    bid, bid_size = fields.side(message, "bp", "bs")
    ask, ask_size = fields.side(message, "ap", "as")
    venues = fields.integer(message, "bx"), fields.integer(message, "ax")
    return STOCKS_QUOTES, (*_head(frame, message, symbol), bid, ask, bid_size, ask_size, *venues)


def _option_trade(frame: _Frame, message: Message) -> tuple[str, Row] | None:
    symbol = fields.text(message, "sym")
    contract = parse_option_symbol(symbol)
    if not frame.wants(contract.underlying):
        return None
    head = _head(frame, message, symbol)
    price = fields.price(message, "p")
    bid, ask = frame.quotes.at(symbol, head[0])
    row = (
        *head,
        *_contract(contract),
        price,
        fields.required(fields.integer(message, "s"), "s"),
        fields.integer(message, "x"),
        fields.integers(message, "c"),
        bid,
        ask,
        aggressor(price, bid, ask),
    )
    return OPTIONS_TRADES, row


def aggressor(price: float, bid: float | None, ask: float | None) -> int:
    """Who took: BUY at the ask or above, SELL at the bid or below, MID between them and where a side is unknown.

    The engine decides again from the quotes it has applied (DESIGN 4.7); this is for readers of the record alone.
    """
    if bid is None or ask is None or bid >= ask:
        return MID
    return BUY if price >= ask else SELL if price <= bid else MID


def _option_quote(frame: _Frame, message: Message) -> tuple[str, Row] | None:
    symbol = fields.text(message, "sym")
    contract = parse_option_symbol(symbol)
    if not frame.wants(contract.underlying):
        return None
    head = _head(frame, message, symbol)
    bid, bid_size = fields.side(message, "bp", "bs")
    ask, ask_size = fields.side(message, "ap", "as")
    frame.quotes.add(symbol, head[0], bid, ask)
    return OPTIONS_QUOTES, (*head, contract.underlying, bid, ask, bid_size, ask_size)


def _chain(frame: _Frame, message: Message) -> tuple[str, Row] | None:
    """One contract of a snapshot. Its time is the underlying's last update, which the greeks follow, else ours."""
    if message.get("error") is not None:
        raise RecordError(f"the vendor has no answer: {message['error']!s:.64}")
    details = fields.part(message, "details")
    symbol = fields.text(details if "ticker" in details else message, "ticker")
    contract = parse_option_symbol(symbol)
    if not frame.wants(contract.underlying):
        return None
    updated_ns = fields.nanoseconds(fields.part(message, "underlying_asset"), "last_updated")
    if updated_ns is not None and updated_ns > frame.ts_recv_ns + AHEAD_MAX_NS:
        raise RecordError(f"last_updated is {(updated_ns - frame.ts_recv_ns) / 1e9:.1f} s after its receipt")
    greeks = fields.part(message, "greeks")
    row = (
        updated_ns or frame.ts_recv_ns,
        frame.ts_recv_ns,
        symbol,
        None,
        *_contract(contract),
        *(fields.number(greeks, name) for name in ("delta", "gamma", "theta", "vega")),
        fields.number(message, "implied_volatility"),
        fields.integer(message, "open_interest", fields.INT64_MAX),
        fields.nanoseconds(fields.part(message, "last_quote"), "last_updated"),
        fields.nanoseconds(fields.part(message, "last_trade"), "sip_timestamp"),
        frame.snapshot_id,
    )
    return OPTIONS_GREEKS, row


_CHANNELS: dict[str, _Reader] = {"stocks": _stocks, "options": _options, "chain": _chain}
