"""A small market for the Databento gateway, and the account of what became of it: stored, dead, or lost in a gap."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from producers.dbn.file import LAYOUTS
from producers.dbn.parse import TOPICS, parse
from producers.dbn.symbols import SymbolMap
from producers.event_ids import EventIds
from tests.support import dbn_files
from tests.support.databento_broadcast import Broadcast, Fault

MS_NS = 1_000_000
OTHER_CONTRACT = 42
CONNECTION_FAULTS = ("drop", "lose", "restart", "stall", "garbage", "unknown_rtype", "error", "slow_reader", "skip")


def write_market(folder: Path, seed: int, books: int = 2000, trades: int = 400) -> list[Path]:
    """DBN files of every schema that is read: some records share their time, and some are equal in everything."""
    draw = random.Random(seed)
    paths = []
    for schema, count in (("mbp-10", books), ("trades", trades)):
        gaps_ms = [draw.choice((0, 0, 1, 5, 20)) for _ in range(count)]
        times_ns = np.cumsum(np.array(gaps_ms, np.int64) * max(2000 // count, 1)) * MS_NS
        numbers = np.arange(count) - np.array([draw.random() < 0.02 for _ in range(count)])
        rows = dbn_files.records(schema, times_ns.tolist(), sequence=numbers)
        # What is equal in time and number is equal in everything: those are different events all the same.
        paths.append(dbn_files.write(folder / f"{schema}.dbn.zst", schema, rows))
    day_ns = 6_000 * MS_NS
    for schema, times in (("definition", [0, day_ns]), ("status", [0, day_ns, day_ns, 2 * day_ns])):
        paths.append(dbn_files.write(folder / f"{schema}.dbn", schema, dbn_files.records(schema, times)))
    return paths


def schedule(seed: int, length: int, count: int = 5) -> list[Fault]:
    """Faults at random places of a broadcast of so many records, some of them of the market itself.

    None before the first records have surely arrived: nobody misses what came before.
    """
    draw = random.Random(seed)
    places = sorted(draw.sample(range(600, length - 50), count))
    faults = []
    for at in places:
        kind = draw.choice((*CONNECTION_FAULTS, "reorder", "duplicate"))
        amount = draw.randint(1, 30)
        faults.append(Fault(at, kind, amount, seconds=draw.choice((0.1, 0.3)), code=6))
    return faults


@dataclass(frozen=True, slots=True)
class Published:
    """One topic of a broadcast, in its order: content hashes, ids, and times of the events."""

    hashes: list[int]
    ids: list[int]
    times_ns: list[int]


def published(broadcast: Broadcast) -> dict[str, Published]:
    """What each topic would hold had nothing been lost."""
    out = {}
    for schema, topic in TOPICS.items():
        raws = [entry.raw for entry in broadcast.entries if entry.schema == schema]
        records = np.frombuffer(b"".join(raws), LAYOUTS[schema].dtype)
        parsed = parse(schema, records, SymbolMap(()))
        ids = EventIds().assign(parsed.hashes).tolist()
        out[topic] = Published(parsed.hashes.tolist(), ids, parsed.batch["ts_event_ns"].tolist())
    return out


def lost(truth: Published, stored_ids: Sequence[int]) -> list[int]:
    """The times of the published records that are not stored.

    Asserts that what is stored was published, stands in the order of publication, and is there once.
    """
    assert len(set(stored_ids)) == len(stored_ids), "a record is stored twice"
    hash_of = dict(zip(truth.ids, truth.hashes, strict=True))
    missing = []
    position = 0
    for event_id in stored_ids:
        assert event_id in hash_of, "a record is stored that was never published"
        while position < len(truth.hashes) and truth.hashes[position] != hash_of[event_id]:
            missing.append(truth.times_ns[position])
            position += 1
        assert position < len(truth.hashes), "records are stored out of order"
        position += 1
    return missing + truth.times_ns[position:]


def assert_accounted(
    broadcast: Broadcast,
    stored: Mapping[str, NDArray[np.int64]],
    gaps: Mapping[str, Iterable[tuple[int, int]]],
) -> dict[str, int]:
    """Every published record is stored once and in order, or lies in a gap of its topic; returns how many are lost."""
    out = {}
    for topic, truth in published(broadcast).items():
        missing = lost(truth, stored[topic].tolist() if topic in stored else [])
        covered = list(gaps.get(topic, ()))
        silent = [time_ns for time_ns in missing if not any(begin <= time_ns <= end for begin, end in covered)]
        assert not silent, f"{topic}: {len(silent)} records are missing outside of gaps, the first at {silent[0]}"
        out[topic] = len(missing)
    return out
