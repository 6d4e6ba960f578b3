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
from producers.live.arrivals import Bad, Records, Resume
from producers.live.outlet import Outlet, Window
from producers.live.pump import Pump
from producers.live.recovery import known_letter, recover
from producers.live.stamper import Rules, Stamper
from producers.sender import Target
from producers.spool import Limits, Spool
from tests.support.live_vendor import BASE_NS, MS, FakeFeed, Vendor
from tests.support.memory_log import Crash, Fault, MemoryLog
from tests.support.producer_run import SCHEMA_IDS, Schemas

TURN_NS = 10 * MS
TURNS = 500
WRITER = Schemas().schema


@dataclass
class Process:
    """One life of the producer."""

    feed: FakeFeed
    pump: Pump
    outlet: Outlet
    spool: Spool


class World:
    """``seed`` decides everything. ``spool_bytes``: small ones fill up while the broker is away."""

    def __init__(self, seed: int, folder: Path, *, replays: bool, spool_bytes: int = 1 << 20) -> None:
        self.random = random.Random(seed)
        self.vendor = Vendor(seed, replays=replays)
        self.log = MemoryLog(seed)
        self.folder = folder
        self.limits = Limits(total_bytes=spool_bytes, segment_bytes=2_000, sync_s=0.1, sync_bytes=4_000)
        self.now_ns = BASE_NS
        self.received = 0
        self.deaths = 0
        self.was_full = False
        self._synced: dict[int, int] = {}
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
            kind = self.random.choice(("drop", "stall", "broker", "kill", "power", "crash", "mess", "mess"))
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
                return

    def _died(self) -> None:
        process, self._process = self._process, None
        self.deaths += 1
        self._asleep_until_ns = self.now_ns + self.random.randint(1, 40) * TURN_NS
        self.vendor.drop()
        if process is not None:
            os.close(process.spool._file)
            process.spool._stop_reading()
            os.close(process.spool._lock)

    def _turn(self, quiet: bool = False) -> None:
        self.now_ns += TURN_NS
        self.vendor.advance(self.now_ns - TURN_NS, self.now_ns, quiet)
        if self._process is None and self.now_ns >= self._asleep_until_ns and not self.log.down:
            self._start()
        process = self._process
        if process is None:
            return
        try:
            if process.outlet.has_room:
                arrivals = process.feed.poll(self.now_ns)
                self.received += sum(a.batch.length if isinstance(a, Records) else isinstance(a, Bad) for a in arrivals)
                process.pump.take(arrivals, self.now_ns)
            else:
                self.was_full = True
            process.pump.serve(0.0)
        except Crash:
            self._died()

    def _start(self) -> None:
        self._client = self.log.process()
        vendor = self.vendor
        spool = Spool(self.folder, self.limits, lambda: (self.now_ns - BASE_NS) / 1e9, self._sync)
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

    def _sync(self, handle: int) -> None:
        found = os.fstat(handle)
        self._synced[found.st_ino] = found.st_size

    # What a reader finds

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
