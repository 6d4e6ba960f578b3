"""A live producer, its vendor, its broker and its disk in simulated time, and a seeded schedule of their mishaps."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.avro import Codec, decode_row
from common.schemas import load
from common.topics import DEAD_LETTERS, HEARTBEATS
from producers.letters.letter import letter_of
from producers.live.arrivals import Arrival, Bad, Records, Resume
from producers.live.outlet import Outlet, Window
from producers.live.pump import Pump
from producers.live.recovery import known_letter, recover
from producers.live.stamper import Rules, Stamper
from producers.sender import Target
from producers.spool import Limits
from tests.support.live_spool import WatchedSpool
from tests.support.live_vendor import BASE_NS, MS, FakeFeed, Vendor
from tests.support.memory_log import Crash, Fault, MemoryLog
from tests.support.producer_run import SCHEMA_IDS, Schemas

TURN_NS = 10 * MS
TURNS = 500
DEATHS = ("kill", "power", "crash", "written", "before fsync", "after fsync")
KINDS = ("drop", "stall", "broker", "broker", "mess", "mess", *DEATHS)
"""Mishaps. The process dies between two turns, with the whole machine, in a call of the client (a produce, a poll that
brings acknowledgements), between spool and produce, and with the machine at the next fsync.
"""
SYNC_S = 0.1
UNSYNCED_MAX_NS = round(SYNC_S * 1e9) + 2 * TURN_NS
"""How long what the broker has not taken may be off the disk."""
WRITER = Schemas().schema


@dataclass
class Process:
    """One life of the producer."""

    feed: FakeFeed
    pump: Pump
    outlet: Outlet
    spool: WatchedSpool


class PowerCut(Crash):
    """The machine dies here."""


class World:
    """``seed`` decides everything. ``spool_bytes``: small ones fill up while the broker is away.

    ``written``: what processes that died had written into their spools, besides what a power cut may have taken.
    """

    def __init__(self, seed: int, folder: Path, *, replays: bool, spool_bytes: int = 1 << 20) -> None:
        self.random = random.Random(seed)
        self.vendor = Vendor(seed, replays=replays)
        self.log = MemoryLog(seed)
        self.folder = folder
        self.limits = Limits(total_bytes=spool_bytes, segment_bytes=2_000, sync_s=SYNC_S, sync_bytes=4_000)
        self.now_ns = BASE_NS
        self.received = 0
        self.deaths = 0
        self.was_full = False
        self.written: set[tuple[str, bytes]] = set()
        self._synced: dict[int, int] = {}
        self._unsynced: set[tuple[str, bytes]] = set()
        self._dies_at: str | None = None
        self._process: Process | None = None
        self._asleep_until_ns = 0
        for topic in (*self.vendor.topics, HEARTBEATS, DEAD_LETTERS):
            self.log.create(topic)

    def run(self) -> None:
        """A whole schedule, then a quiet end at which everything arrives."""
        plan = self._schedule()
        for turn in range(TURNS):
            for act in plan.get(turn, ()):
                act()
            self._turn()
        self.log.faults.clear()
        self.log.down = self.vendor.stalled = False
        self._dies_at = None
        for _ in range(400):
            self._turn(quiet=True)
        process = self._process
        assert process is not None
        process.pump.end()
        while not process.outlet.empty:
            self.now_ns += TURN_NS
            process.pump.serve(0.0)
        process.outlet.close()

    def _schedule(self) -> dict[int, list[Callable[[], None]]]:
        """At which turns what happens."""
        plan: dict[int, list[Callable[[], None]]] = {}

        def at(turn: int, act: Callable[[], None]) -> None:
            plan.setdefault(min(turn, TURNS - 1), []).append(act)

        for _ in range(self.random.randint(2, 7)):
            turn = self.random.randrange(TURNS)
            length = self.random.choice((5, 30, 150))
            kind = self.random.choice(KINDS)
            if kind == "drop":
                at(turn, self.vendor.drop)
            elif kind == "stall":
                at(turn, lambda: setattr(self.vendor, "stalled", True))
                at(turn + length, lambda: setattr(self.vendor, "stalled", False))
            elif kind == "broker":
                at(turn, lambda: setattr(self.log, "down", True))
                at(turn + length, lambda: setattr(self.log, "down", False))
            elif kind == "kill":
                at(turn, self._kill)
            elif kind == "power":
                at(turn, self._power_cut)
            elif kind == "crash":
                at(turn, self._crash_soon)
            elif kind in ("written", "before fsync", "after fsync"):
                at(turn, lambda kind=kind: setattr(self, "_dies_at", kind))  # type: ignore[misc]
            else:
                at(turn, lambda: self._mess(0.2))
                at(turn + length, lambda: self._mess(0.0))
        return plan

    def _mess(self, share: float) -> None:
        self.vendor.garbage = self.vendor.duplicates = share
        self.vendor.reorders = share * 4

    def _crash_soon(self) -> None:
        fault = self.random.choice((Fault.CRASH_BEFORE, Fault.CRASH_AFTER))
        self.log.faults[self.log.operations + self.random.randint(1, 20)] = fault

    def _kill(self) -> None:
        """The process dies between two calls; what the operating system has stays."""
        if self._process is not None:
            self._client.die()
            self._died()

    def _power_cut(self) -> None:
        """The machine dies: of what was not synced, any part is gone."""
        self._kill()
        for path in sorted(self.folder.glob("*.spool")):
            found = path.stat()
            kept = self.random.randint(min(self._synced.get(found.st_ino, 0), found.st_size), found.st_size)
            os.truncate(path, kept)
            if kept < found.st_size:
                # What follows a torn write cannot have been synced.
                for later in sorted(self.folder.glob("*.spool")):
                    if later > path:
                        later.unlink()
                break
        self.written -= self._unsynced

    def _died(self) -> None:
        process, self._process = self._process, None
        self.deaths += 1
        self._asleep_until_ns = self.now_ns + self.random.randint(1, 40) * TURN_NS
        self.vendor.drop()
        if process is not None:
            os.close(process.spool._file)
            process.spool._stop_reading()
            os.close(process.spool._lock)
            self.written |= process.spool.written
            self._unsynced |= process.spool.unsynced()

    def _turn(self, quiet: bool = False) -> None:
        self.now_ns += TURN_NS
        self.vendor.advance(self.now_ns - TURN_NS, self.now_ns, quiet)
        if self._process is None and self.now_ns >= self._asleep_until_ns and not self.log.down:
            self._start()
        process = self._process
        if process is None:
            return
        arrivals: list[Arrival] = []
        try:
            if process.outlet.has_room:
                arrivals = process.feed.poll(self.now_ns)
                self.received += sum(a.batch.length if isinstance(a, Records) else isinstance(a, Bad) for a in arrivals)
                process.pump.take(arrivals, self.now_ns)
            else:
                self.was_full = True
            if arrivals and self._dies_at == "written":
                self._dies_at = None
                self._kill()
                return
            process.pump.serve(0.0)
        except PowerCut:
            self._power_cut()
        except Crash:
            self._died()
        else:
            oldest_ns = process.spool.oldest_unsynced_ns()
            assert oldest_ns is None or self.now_ns - oldest_ns <= UNSYNCED_MAX_NS, "what waits is not synced"

    def _start(self) -> None:
        self._client = self.log.process()
        vendor = self.vendor
        spool = WatchedSpool(self.folder, self.limits, lambda: self.now_ns, self._synced, self._at_sync)
        # What an earlier life left is on the disk now.
        self._unsynced.clear()
        rules = Rules(
            dict.fromkeys(vendor.topics, 0 if vendor.replays else 50 * MS), 250 * MS, 100 * MS, vendor.replays
        )
        stamper = Stamper(vendor.topics, rules)
        try:
            consumer: Any = self._client.consumer(enable_partition_eof=True)
            found = recover(consumer, vendor.topics, "", 0, WRITER, spool, stamper)
        except Crash:
            self._process = None
            os.close(spool._file)
            spool._stop_reading()
            os.close(spool._lock)
            return
        target = Target("fake", "SPY", 0, "", f"run-{self.deaths}", None, SCHEMA_IDS)
        outlet = Outlet(
            self._client.producer(),
            target,
            found.logged,
            found.stamped,
            spool,
            lambda value: known_letter(value, WRITER, found.letters),
            Window(sent_records=60, kept_records=100),
            lambda: (self.now_ns - BASE_NS) / 1e9,
        )
        pump = Pump(vendor.topics, target, stamper, outlet, found.letters)
        self._process = Process(FakeFeed(vendor, Resume(stamper.last_event_ns)), pump, outlet, spool)

    def _at_sync(self, done: bool) -> None:
        """Called before and after each fsync of a process that is up."""
        if self._process is not None and self._dies_at == ("after fsync" if done else "before fsync"):
            self._dies_at = None
            raise PowerCut

    # What a reader finds

    def unwritten(self) -> list[tuple[str, bytes]]:
        """What a process had written into its spool, no power cut took, and a reader does not find."""
        process = self._process
        assert process is not None
        there = {(topic, m.value() or b"") for topic in self.vendor.topics for m in self.log.records(topic)}
        dead = {place.encode() for place in self.dead()}
        missing = self.written | process.spool.written
        return sorted(key for key in missing if key not in there and not (key[0] == DEAD_LETTERS and key[1] in dead))

    def stored(self, topic: str) -> list[dict[str, Any]]:
        """The topic's records in log order: the fields that matter here."""
        fields = ("event_id", "ts_event_ns", "ts_effective_ns", "gap_begin_ns")
        values = [message.value() for message in self.log.records(topic)]
        decoded = Codec(load(topic)).decode(values, WRITER)
        assert not decoded.bad
        columns = [decoded.batch[field].tolist() for field in fields]
        valid = decoded.batch.columns["gap_begin_ns"].valid
        assert valid is not None
        rows = [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)]
        return [
            {**row, "gap_begin_ns": row["gap_begin_ns"] if ok else None} for row, ok in zip(rows, valid, strict=True)
        ]

    def beats(self) -> list[dict[str, Any]]:
        """All heartbeats."""
        return [decode_row(load(HEARTBEATS), m.value(), WRITER) for m in self.log.records(HEARTBEATS)]

    def dead(self) -> list[str]:
        """The places of all dead letters."""
        rows = [decode_row(load(DEAD_LETTERS), m.value(), WRITER) for m in self.log.records(DEAD_LETTERS)]
        return [str(letter_of(row).place) for row in rows]
