"""What a Databento live feed hears, as arrivals: records in, time passed in, nothing read and nothing waited for.

A topic with many records is replayed after a break from a little before its newest event on: what comes again is
dropped by its event id (:mod:`producers.live.stamper`), and a record that the venue published out of its order is not
missed. Definitions and status are few and always replayed whole, so the state at the start and every roll are known.
When the vendor no longer replays from a topic's newest event, everything it still has is asked for, and the rest is a
gap.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import databento_dbn
import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter

from common.config import NS_PER_MS, NS_PER_S
from common.errors import BreakwaterError, ConfigError
from common.telemetry import get_logger
from common.topics import FUTURES_DEFINITIONS, FUTURES_MBP10, FUTURES_STATUS
from producers.dbn.file import LAYOUTS
from producers.dbn.parse import SOURCE, TOPICS, BadValueError, parse, source_of
from producers.dbn.symbols import Interval, SymbolMap, names_front
from producers.live.arrivals import Arrival, Bad, Clock, Connection, Gap, Records

log = get_logger("producers.databento")

MESSAGES = Counter("breakwater_databento_messages_total", "Messages of the gateway besides market data.", ["kind"])

SCHEMAS = ("definition", "status", "trades", "mbp-10")
"""In the order in which they are subscribed: what says which contract it is comes first."""

WHOLE = (FUTURES_DEFINITIONS, FUTURES_STATUS)
"""Topics of which everything the vendor has is replayed."""

OVERLAP_NS = NS_PER_S
CLOCK_STEP_NS = 50 * NS_PER_MS
REAL_TIME_NS = 2 * NS_PER_S
"""The vendor's clock and ours differ by less when the feed is in real time, and not a recording that is played."""

SILENCE_MAX_NS = 10 * NS_PER_S
"""Two heartbeats: after that nobody knows whether the connection still lives."""

FRUITLESS_MAX = 3
"""Sessions in a row that broke on what they were sent, before a replay of it is given up."""

_SYSTEM, _ERROR, _MAPPING = 23, 21, 22
_FOREVER_NS = 2**63 - 1
_SYMBOL = "Check BREAKWATER_DATABENTO_SYMBOL, and that your subscription covers the dataset."


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to ask for. ``start_ns``: replay from there (0: all there is), None: nothing but what comes from now on."""

    schema: str
    start_ns: int | None


@dataclass(slots=True)
class _Topic:
    """Where one topic stands, ns since the epoch. ``gap_begin_ns``: not covered from there on, as far as is known.

    ``floor_ns``: what a replay of everything holds from before is in the log already. ``after_gap``: hash and time of
    the first record after the last gap; ``waits``: a replay has not come to it yet, and what is inside the gap stays
    out of the topic, whose records would no longer be in order. ``handed``, ``seen``: of a topic that is always
    replayed whole, how often each record was handed over, and came in this session.
    """

    schema: str
    last_ns: int
    gap_begin_ns: int | None = None
    floor_ns: int = 0
    catching_up: bool = False
    after_gap: tuple[int, int] | None = None
    waits: bool = False
    handed: Tally[int] = field(default_factory=Tally)
    seen: Tally[int] = field(default_factory=Tally)


class Session:
    """One connection after the other of a feed. ``last_event_ns``: the newest event of each topic in the log.

    `hopeless` is the error to stop with, once there is one.
    """

    topics = tuple(TOPICS[schema] for schema in SCHEMAS)

    def __init__(self, last_event_ns: Mapping[str, int], dataset: str) -> None:
        self.hopeless: BreakwaterError | None = None
        self._source = source_of(dataset)
        self._topics = {TOPICS[s]: _Topic(s, last_event_ns.get(TOPICS[s], 0)) for s in SCHEMAS}
        self._of_rtype = {LAYOUTS[schema].rtype: TOPICS[schema] for schema in SCHEMAS}
        self._symbols = SymbolMap(())
        self._mapped: dict[str, int] = {}
        self._is_open = False
        self._replays = 0
        self._replay_refused = False
        self._asks_from = False
        self._fruitless = 0
        self._progress = False
        self._begun_ns = 0
        self._clock_ns = 0
        self._said_ns = 0
        self._heard_ns = 0

    @property
    def progressed(self) -> bool:
        """Whether this connection, or the last one, brought anything newer than what was there before."""
        return self._progress

    # Connections

    def subscriptions(self) -> list[Subscription]:
        """What the next connection asks for."""
        asked = []
        self._replays = 0
        gives_up = self._fruitless >= FRUITLESS_MAX
        for name, topic in self._topics.items():
            topic.gap_begin_ns, topic.floor_ns = None, 0
            topic.seen.clear()
            # A connection may break before it has brought the first record.
            since_ns = topic.last_ns or self._begun_ns
            start_ns = max(since_ns - OVERLAP_NS, 0) or None
            if since_ns and (self._replay_refused or gives_up):
                topic.gap_begin_ns = since_ns
            if name in WHOLE:
                start_ns = 0
            elif gives_up:
                start_ns = None
            elif self._replay_refused and since_ns:
                start_ns, topic.floor_ns = 0, since_ns - OVERLAP_NS
            topic.catching_up = start_ns is not None
            topic.waits = topic.after_gap is not None and start_ns is not None and start_ns <= topic.after_gap[1]
            self._replays += start_ns is not None
            asked.append(Subscription(topic.schema, start_ns))
        self._replay_refused = False
        self._asks_from = any(subscription.start_ns for subscription in asked)
        return asked

    def opened(self, ts_ns: int) -> list[Arrival]:
        """The session has begun, by the vendor's clock at ``ts_ns``."""
        self._is_open, self._progress = True, False
        self._begun_ns = self._begun_ns or ts_ns
        self._clock_ns = max(self._clock_ns, ts_ns)
        behind = tuple(name for name, topic in self._topics.items() if topic.catching_up)
        ahead = tuple(name for name, topic in self._topics.items() if not topic.catching_up)
        out: list[Arrival] = [Connection(behind, "CATCHING_UP", ts_ns)]
        if ahead:
            out.append(Connection(ahead, "CONNECTED", ts_ns))
        return out

    def closed(self, damaged: bool = False) -> list[Arrival]:
        """The connection is gone; ``damaged`` when what it sent could not be read."""
        if not self._is_open:
            return []
        self._is_open = False
        self._fruitless = self._fruitless + 1 if damaged and not self._progress else 0
        return [Connection(self.topics, "DISCONNECTED", self._clock_ns)]

    # Messages

    def received(self, messages: Sequence[bytes], received_s: float, now_ns: int) -> list[Arrival]:
        """The arrivals of DBN messages, in their order.

        ``received_s``: when the first of them came, by `time.monotonic`; ``now_ns``: the wall clock.
        """
        out: list[Arrival] = []
        held: dict[str, list[bytes]] = {}
        for raw in messages:
            name = self._of_rtype.get(raw[1])
            if name is not None:
                held.setdefault(name, []).append(raw)
                continue
            self._flush(held, received_s, out)
            self._other(raw, out)
        self._flush(held, received_s, out)
        self._heard_ns = now_ns
        self._say_clock(out)
        return out

    def idle(self, now_ns: int) -> list[Arrival]:
        """Nothing has come until ``now_ns`` by the wall clock: in real time the vendor's clock goes on with ours."""
        silent_ns = now_ns - self._heard_ns
        out: list[Arrival] = []
        if abs(self._heard_ns - self._clock_ns) < REAL_TIME_NS and 0 < silent_ns < SILENCE_MAX_NS:
            self._say_clock(out, silent_ns)
        return out

    def _flush(self, held: dict[str, list[bytes]], received_s: float, out: list[Arrival]) -> None:
        for name, raws in held.items():
            self._records(name, raws, received_s, out)
        held.clear()

    def _records(self, name: str, raws: list[bytes], received_s: float, out: list[Arrival]) -> None:
        topic = self._topics[name]
        records = np.frombuffer(b"".join(raws), LAYOUTS[topic.schema].dtype)
        self._clock_ns = max(self._clock_ns, int(records["ts_recv"].max()))
        if topic.catching_up and int(records["ts_event"][0]) <= topic.last_ns:
            topic.gap_begin_ns = None
        records = records[records["ts_event"] >= topic.floor_ns]
        while len(records):
            bad = len(records)
            try:
                self._good(name, records, received_s, out)
            except BadValueError as error:
                bad = error.index
                self._good(name, records[:bad], received_s, out)
                out.append(self._bad(name, records[bad], error.problem))
            records = records[bad + 1 :]

    def _good(self, name: str, records: NDArray[np.void], received_s: float, out: list[Arrival]) -> None:
        if len(records) == 0:
            return
        topic = self._topics[name]
        parsed = parse(topic.schema, records, self._symbols, self._source)
        batch, hashes = parsed.batch, parsed.hashes
        if topic.waits:
            begin = self._end_of_gap(topic, hashes, records["ts_event"])
            batch, hashes, records = batch.slice(begin, batch.length), hashes[begin:], records[begin:]
            if len(records) == 0:
                return
        if topic.gap_begin_ns is not None:
            end_ns = int(records["ts_event"][0])
            out.append(Gap((name,), topic.gap_begin_ns, end_ns))
            topic.gap_begin_ns, topic.after_gap = None, (int(hashes[0]), end_ns)
        newest_ns = int(records["ts_event"].max())
        if name in WHOLE:
            new = np.flatnonzero([self._is_new(topic, key) for key in hashes.tolist()])
            batch, hashes = batch.take(new), hashes[new]
        self._progress = self._progress or newest_ns > topic.last_ns
        topic.last_ns = max(topic.last_ns, newest_ns)
        if batch.length:
            out.append(Records(batch, hashes, received_s))

    @staticmethod
    def _end_of_gap(topic: _Topic, hashes: NDArray[np.uint64], times_ns: NDArray[np.uint64]) -> int:
        """Index of the first record of a replay that is not from inside the last gap."""
        assert topic.after_gap is not None
        key, end_ns = topic.after_gap
        behind = np.flatnonzero((hashes == np.uint64(key)) | (times_ns > end_ns))
        topic.waits = len(behind) == 0
        return len(hashes) if topic.waits else int(behind[0])

    @staticmethod
    def _is_new(topic: _Topic, key: int) -> bool:
        topic.seen[key] += 1
        is_new = topic.seen[key] > topic.handed[key]
        topic.handed[key] += is_new
        return is_new

    def _bad(self, name: str, record: np.void, problem: str) -> Bad:
        raw = record.tobytes()
        number = " sequence " + str(record["sequence"]) if "sequence" in (record.dtype.names or ()) else ""
        place = f"{self._topics[name].schema} of instrument {record['instrument_id']} at {record['ts_event']}{number}"
        return Bad(name, raw, problem, place)

    def _other(self, raw: bytes, out: list[Arrival]) -> None:
        if raw[1] not in (_SYSTEM, _ERROR, _MAPPING):
            MESSAGES.labels(kind="unknown").inc()
            event_ns = int.from_bytes(raw[8:16], "little")
            place = f"rtype {raw[1]} at {event_ns}"
            out.append(Bad(f"{SOURCE}.live", raw, f"a record of type {raw[1]}, which nobody asked for", place))
            return
        decoder = databento_dbn.DBNDecoder(has_metadata=False, input_version=3)
        message: Any = decoder.write_and_decode(raw)[0]
        if raw[1] == _MAPPING:
            self._map(message)
        elif raw[1] == _SYSTEM:
            self._system(message, out)
        else:
            self._error(message)

    def _map(self, message: databento_dbn.SymbolMappingMsg) -> None:
        asked, name, number = message.stype_in_symbol, message.stype_out_symbol, message.instrument_id
        if self._mapped.get(asked) == number:
            return
        MESSAGES.labels(kind="symbol_mapping").inc()
        log.info("symbol_mapped", symbol=asked, contract=name, instrument_id=number)
        before, self._mapped[asked] = self._mapped.get(asked), number
        is_front = names_front(asked)
        kept = [interval for interval in self._symbols.intervals if interval.instrument_id != number]
        if is_front:
            kept = [Interval(i.instrument_id, i.begin_ns, i.end_ns, i.symbol) for i in kept]
            if before is not None:
                log.warning("rolled", symbol=asked, contract=name, instrument_id=number, instrument_id_before=before)
        self._symbols = SymbolMap((Interval(number, 0, _FOREVER_NS, name, is_front), *kept))

    def _system(self, message: databento_dbn.SystemMsg, out: list[Arrival]) -> None:
        code = databento_dbn.SystemCode
        self._clock_ns = max(self._clock_ns, message.ts_event)
        if message.is_heartbeat():
            MESSAGES.labels(kind="heartbeat").inc()
            # A heartbeat comes only when nothing else is left to be sent.
            self._caught_up(out)
            self._say_clock(out, 0, step_ns=1)
        elif message.code == code.SLOW_READER_WARNING:
            MESSAGES.labels(kind="slow_reader_warning").inc()
            log.warning("slow_reader", message=message.msg)
        elif message.code == code.REPLAY_COMPLETED:
            MESSAGES.labels(kind="replay_completed").inc()
            self._replays -= 1
            if self._replays == 0:
                self._caught_up(out)

    def _caught_up(self, out: list[Arrival]) -> None:
        """Every replay is complete: what did not come by now will not come."""
        behind = tuple(name for name, topic in self._topics.items() if topic.catching_up)
        if not behind:
            return
        for name in behind:
            topic = self._topics[name]
            topic.catching_up, topic.floor_ns = False, 0
            if topic.gap_begin_ns is not None:
                out.append(Gap((name,), topic.gap_begin_ns, self._clock_ns))
                topic.gap_begin_ns = None
        out.append(Connection(behind, "CONNECTED", self._clock_ns))

    def _error(self, message: databento_dbn.ErrorMsg) -> None:
        code = databento_dbn.ErrorCode
        MESSAGES.labels(kind="error").inc()
        log.error("gateway_error", code=str(message.code), message=message.err)
        if message.code == code.SKIPPED_RECORDS_AFTER_SLOW_READING:
            # Of what is subscribed here the vendor skips records of the book only.
            book = self._topics[FUTURES_MBP10]
            book.gap_begin_ns = book.gap_begin_ns or book.last_ns or None
        elif message.code == code.REPLAY_DATA_AGED_OUT:
            self._replay_refused = True
        elif message.code == code.INVALID_SUBSCRIPTION:
            if self._asks_from:
                self._replay_refused = True
            else:
                self.hopeless = ConfigError(f"Databento refuses the subscription: {message.err}", hint=_SYMBOL)
        elif message.code == code.SYMBOL_RESOLUTION_FAILED and not self._mapped:
            self.hopeless = ConfigError(f"Databento does not know the symbol: {message.err}", hint=_SYMBOL)
        elif message.code in (code.AUTH_FAILED, code.API_KEY_DEACTIVATED):
            self.hopeless = key_refused(message.err)

    def _say_clock(self, out: list[Arrival], ahead_ns: int = 0, step_ns: int = CLOCK_STEP_NS) -> None:
        clock_ns = self._clock_ns + ahead_ns
        live = tuple(name for name, topic in self._topics.items() if not topic.catching_up)
        if self._is_open and live and clock_ns >= self._said_ns + step_ns:
            self._said_ns = clock_ns
            out.append(Clock(live, clock_ns))


def key_refused(reason: str) -> ConfigError:
    """The error of a key that the vendor does not accept."""
    return ConfigError(
        f"Databento refuses the key: {reason}",
        hint="Set BREAKWATER_DATABENTO_KEY (or BREAKWATER_DATABENTO_KEY_FILE) to a key with a live license.",
    )
