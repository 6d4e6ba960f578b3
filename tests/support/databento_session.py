"""One client's connection to the live gateway: login, subscriptions, replay, and then what the market publishes.

The protocol is the vendor's: lines of ``key=value`` fields until the session starts, DBN from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import databento_dbn as d

from tests.support.databento_broadcast import Entry, Fault

if TYPE_CHECKING:
    from tests.support.databento_gateway import LiveGateway

VERSION = "0.9.4"
CHUNK_RECORDS = 256
TICK_S = 0.001
NON_FATAL = (4, 7)
"""Error codes after which the vendor's session goes on."""

HEARTBEAT, ACKNOWLEDGED, SLOW_READER, REPLAY_COMPLETED = range(4)
"""System codes."""

UNRESOLVED, INVALID_SUBSCRIPTION, SKIPPED = 4, 5, 7
BUCKET_LETTERS = 5


class Closed(Exception):  # noqa: N818 - the end of a session is no error
    """The session is over; ``reset`` when it ended without a goodbye."""

    def __init__(self, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a client asked for; ``instruments`` are what the symbols meant when the session began."""

    schema: str
    stype: str
    symbols: tuple[str, ...]
    start_ns: int | None
    instruments: frozenset[int]


class Session:
    """A connected client, served by its own thread."""

    def __init__(self, gateway: LiveGateway, connection: socket.socket, number: int) -> None:
        self._gateway = gateway
        self._socket = connection
        self._lines = b""
        self._number = number
        self._heartbeat_s = gateway.heartbeat_s or 30.0
        self._last_s = time.monotonic()
        self._wanted: frozenset[tuple[str, int]] = frozenset()

    def serve(self) -> None:
        """Everything from greeting to goodbye."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._login()
            subscriptions = self._subscriptions()
            position = self._begin(subscriptions)
            for subscription in subscriptions:
                if subscription.start_ns is not None:
                    self._replay(subscription, position)
            self._live(position)
        except Closed as end:
            self._close(end.reset)
        except OSError:
            self._gateway.ledger.write(session=self._number, event="gone")
            self._close(False)

    def _close(self, reset: bool) -> None:
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def hang_up(self) -> None:
        """End the session from another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    # Lines

    def _line(self) -> dict[str, str]:
        while b"\n" not in self._lines:
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise Closed
            self._lines += piece
        line, _, self._lines = self._lines.partition(b"\n")
        return {key: value for key, _, value in (part.partition("=") for part in line.decode().split("|"))}

    def _login(self) -> None:
        challenge = secrets.token_urlsafe(24)
        self._socket.sendall(f"lsg_version={VERSION}\ncram={challenge}\n".encode())
        request = self._line()
        key = self._gateway.key
        right = hashlib.sha256(f"{challenge}|{key}".encode()).hexdigest() + "-" + key[-BUCKET_LETTERS:]
        if self._gateway.refuses() or not secrets.compare_digest(request.get("auth", ""), right):
            self._refuse("Authentication failed.")
        if request.get("encoding") != "dbn" or request.get("compression", "none") != "none":
            self._refuse("Only uncompressed dbn is played here.")
        if request.get("ts_out", "0") != "0":
            self._refuse("Sending times are not appended here.")
        if request.get("dataset") != self._gateway.broadcast.dataset:
            self._refuse(f"Dataset {request.get('dataset')} is not available.")
        if self._gateway.heartbeat_s is None and request.get("heartbeat_interval_s"):
            self._heartbeat_s = float(request["heartbeat_interval_s"])
        self._socket.sendall(f"success=1|session_id={self._number}\n".encode())

    def _refuse(self, why: str) -> None:
        self._gateway.ledger.write(session=self._number, event="refused")
        self._socket.sendall(f"success=0|error={why}\n".encode())
        raise Closed

    def _subscriptions(self) -> list[Subscription]:
        found = []
        position = self._gateway.position()
        while "start_session" not in (line := self._line()):
            symbols = tuple(line["symbols"].split(","))
            numbers = [n for s in symbols for n in self._gateway.broadcast.instruments(line["stype_in"], s, position)]
            start_ns = int(line["start"]) if "start" in line else None
            found.append(Subscription(line["schema"], line["stype_in"], symbols, start_ns, frozenset(numbers)))
        return found

    # Records

    def _begin(self, subscriptions: list[Subscription]) -> int:
        """Metadata, acknowledgements and mappings; returns where the live part of the session begins."""
        gateway = self._gateway
        position = gateway.started()
        now_ns = gateway.now_ns()
        self._wanted = frozenset((s.schema, number) for s in subscriptions for number in s.instruments)
        gateway.ledger.write(
            session=self._number,
            event="start",
            position=position,
            starts={s.schema: s.start_ns for s in subscriptions},
        )
        metadata = d.Metadata(
            dataset=gateway.broadcast.dataset,
            start=now_ns,
            stype_in=None,
            stype_out=d.SType.from_str("instrument_id"),
            schema=None,
            symbols=[],
            mappings=[],
            version=3,
        )
        self._send(bytes(metadata))
        for subscription in subscriptions:
            self._system(
                f"Subscription request for {subscription.schema} data succeeded", d.SystemCode.SUBSCRIPTION_ACK
            )
            self._map(subscription, position, now_ns)
            start_ns = subscription.start_ns
            if start_ns and start_ns < gateway.replayable_from_ns():
                self._error(f"start {start_ns} is before what can be replayed", INVALID_SUBSCRIPTION)
        return position

    def _map(self, subscription: Subscription, position: int, now_ns: int) -> None:
        broadcast = self._gateway.broadcast
        stype = d.SType.from_str(subscription.stype)
        for symbol in subscription.symbols:
            numbers = broadcast.instruments(subscription.stype, symbol, position)
            if not numbers:
                self._error(f"Failed to resolve symbol '{symbol}'", UNRESOLVED)
            for number in numbers:
                name = broadcast.symbols[number]
                raw = d.SType.from_str("raw_symbol")
                message = d.SymbolMappingMsg(1, number, now_ns, stype, symbol, raw, name, now_ns, d.UNDEF_TIMESTAMP)
                self._send(bytes(message))

    def _replay(self, subscription: Subscription, until: int) -> None:
        """What was published of one schema from its start on, then that it is complete."""
        entries = self._gateway.broadcast.entries
        first = self._gateway.replayable
        assert subscription.start_ns is not None
        for begin in range(first, until, CHUNK_RECORDS):
            end = min(begin + CHUNK_RECORDS, until)
            chunk = [
                entry
                for entry in entries[begin:end]
                if entry.schema == subscription.schema
                and entry.instrument_id in subscription.instruments
                and entry.ts_event_ns >= subscription.start_ns
            ]
            self._send(b"".join(entry.raw for entry in chunk))
            if chunk:
                self._gateway.ledger.write(
                    session=self._number, replayed=[begin, end], schema=subscription.schema, records=len(chunk)
                )
        self._system(f"Finished {subscription.schema} replay", REPLAY_COMPLETED)

    def _live(self, position: int) -> None:
        gateway = self._gateway
        while True:
            fault = gateway.due_fault(position)
            if fault is not None:
                position = self._fail(fault, position)
                continue
            end = min(gateway.published(position + CHUNK_RECORDS), gateway.next_fault(position))
            if end > position:
                chunk = [entry for entry in gateway.broadcast.entries[position:end] if self._is_wanted(entry)]
                self._send(b"".join(entry.raw for entry in chunk))
                gateway.ledger.write(session=self._number, sent=[position, end], records=len(chunk))
                position = end
                gateway.advance(position)
            else:
                self._idle()

    def _is_wanted(self, entry: Entry) -> bool:
        return (entry.schema, entry.instrument_id) in self._wanted

    def _idle(self) -> None:
        if self._gateway.closing:
            raise Closed
        if time.monotonic() - self._last_s >= self._heartbeat_s:
            self._system("Heartbeat", HEARTBEAT)
        time.sleep(TICK_S)

    def _fail(self, fault: Fault, position: int) -> int:
        """Do what the fault says; returns where the session goes on."""
        gateway = self._gateway
        gateway.ledger.write(session=self._number, fault=fault.kind, position=position)
        if fault.kind in ("drop", "lose", "restart", "refuse"):
            gateway.broken(fault, position)
            raise Closed(reset=fault.kind == "lose")
        if fault.kind == "stall":
            time.sleep(fault.seconds)
        elif fault.kind == "garbage":
            self._send(b"\xff" * fault.count)
        elif fault.kind == "unknown_rtype":
            self._send(bytes([4, 250]) + b"\0" * 14)
        elif fault.kind == "slow_reader":
            self._system("Client is reading too slowly", SLOW_READER)
        elif fault.kind == "error":
            self._error("A fault of the gateway", fault.code)
        elif fault.kind == "skip":
            return self._skip(fault.count, position)
        return position

    def _skip(self, count: int, position: int) -> int:
        gateway = self._gateway
        end = min(position + count, len(gateway.broadcast.entries))
        kept = [e for e in gateway.broadcast.entries[position:end] if self._is_wanted(e) and e.schema != "mbp-10"]
        self._send(b"".join(entry.raw for entry in kept))
        gateway.ledger.write(session=self._number, withheld=[position, end], records=len(kept))
        gateway.advance(end)
        self._error("Skipped records after slow reading", SKIPPED)
        return end

    def _system(self, text: str, code: int) -> None:
        self._send(bytes(d.SystemMsg(self._gateway.now_ns(), text, d.SystemCode.from_int(code))))

    def _error(self, text: str, code: int) -> None:
        self._send(bytes(d.ErrorMsg(self._gateway.now_ns(), text, True, d.ErrorCode.from_int(code))))
        if code not in NON_FATAL:
            raise Closed

    def _send(self, raw: bytes) -> None:
        if self._gateway.closing:
            raise Closed
        if raw:
            self._socket.sendall(raw)
            self._last_s = time.monotonic()
