"""Dead letters back into their topics, as late records, each once.

What went back is noted among the letters (component ``dead-letters``), and the topic's newest records are looked at
too, so a second reprocessing finds nothing to do. Nobody else may write the topic meanwhile: a connected source, an
input that is not at its end, or records in a spool refuse it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.avro import Codec
from common.columns import Batch, Column, string_list
from common.config import EngineConfig
from common.errors import ConflictError, RecordError, UnavailableError
from common.schemas import load
from common.topics import DEAD_LETTERS, HEARTBEATS, full_name
from producers.dbn.symbols import Interval, SymbolMap
from producers.letters.letter import Letter
from producers.letters.reread import MARKET_TOPICS, reread
from producers.log_state import Writer, read_newest, read_promises
from producers.sender import Sender, Target
from producers.spool.spool import SUFFIX
from producers.stream import lateness_of

COMPONENT = "dead-letters"
"""Component of the note that a letter went back."""

TAIL_RECORDS = 1 << 17
BEATS = 50_000
DELIVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where letters are and go: the log's clients, the target, and the folder of the producers' spools."""

    producer: Any
    consumer: Any
    writer: Writer
    target: Target
    spools: Path
    config: EngineConfig


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a letter: ``stored``, ``there already`` or ``still bad``, and a word about it."""

    number: int
    outcome: str
    detail: str


def went_back(letters: Sequence[tuple[int, Letter]]) -> set[tuple[object, ...]]:
    """Identities of the letters that were reprocessed."""
    return {letter.identity for _, letter in letters if letter.component == COMPONENT}


def distinct(letters: Sequence[tuple[int, Letter]]) -> list[tuple[int, Letter]]:
    """The letters without repetitions and notes, each with its first number."""
    seen: dict[tuple[object, ...], tuple[int, Letter]] = {}
    for number, letter in letters:
        if letter.component != COMPONENT:
            seen.setdefault(letter.identity, (number, letter))
    return list(seen.values())


def reprocess(chosen: Sequence[tuple[int, Letter]], done: set[tuple[object, ...]], place: Place) -> list[Result]:
    """Read the letters again and send back what can be read; ``done``: those that went back before.

    Raises ConflictError when someone else may write into a topic that records go to, UnavailableError.
    """
    results: list[Result] = []
    found: list[tuple[int, Letter, Batch]] = []
    for number, letter in chosen:
        if letter.identity in done:
            results.append(Result(number, "there already", "reprocessed before"))
            continue
        try:
            batches = reread(letter, place.writer, _symbols(letter, place))
        except RecordError as error:
            results.append(Result(number, "still bad", str(error)))
            continue
        if not batches:
            results.append(Result(number, "there already", "it holds nothing that is kept"))
        found += [(number, letter, batch) for batch in batches]
    for topic in sorted({batch.name for _, _, batch in found}):
        _refuse_if_written(topic, place)
    for topic in sorted({batch.name for _, _, batch in found}):
        results += _send_back(topic, [part for part in found if part[2].name == topic], place)
    return sorted(results, key=lambda result: result.number)


def _symbols(letter: Letter, place: Place) -> SymbolMap:
    """The names of instruments, as the topic's newest records have them."""
    if letter.place is None or letter.topic not in MARKET_TOPICS:
        return SymbolMap(())
    name = full_name(letter.topic, place.target.namespace)
    _, batch = read_newest(place.consumer, name, place.target.partition, load(letter.topic), place.writer, 5_000)
    pairs = dict(zip(batch["instrument_id"].tolist(), string_list(batch.columns["symbol"]), strict=True))
    return SymbolMap(tuple(Interval(int(number), 0, 2**63 - 1, str(symbol)) for number, symbol in pairs.items()))


def _refuse_if_written(topic: str, place: Place) -> None:
    target = place.target
    held = [path for path in place.spools.glob(f"*/*{SUFFIX}") if path.stat().st_size]
    if held:
        raise ConflictError(
            f"the spool {held[0].parent} holds records that go into the topics first",
            hint="Start its live producer, let it send them, and stop it.",
        )
    name = full_name(HEARTBEATS, target.namespace)
    schema = load(HEARTBEATS)
    _, beats = read_newest(place.consumer, name, target.partition, schema, place.writer, BEATS)
    about = string_list(beats.columns["topic"])
    mine = [i for i, of in enumerate(about) if of == full_name(topic, target.namespace)]
    if not mine:
        return
    state = schema.field("state").symbols[int(beats["state"][mine[-1]])]
    source = string_list(beats.columns["source"].slice(mine[-1], mine[-1] + 1))[0]
    input_id = string_list(beats.columns["input_id"].slice(mine[-1], mine[-1] + 1))[0]
    if state in ("CONNECTED", "CATCHING_UP"):
        raise ConflictError(
            f"{source} is connected and writes into {topic}: two writers would clash",
            hint="Stop it and try again. If it was killed, start it once more and stop it, so that it says so.",
        )
    if input_id is not None and state != "ENDED":
        raise ConflictError(
            f"an input of {source} was not published to its end in {topic}",
            hint="Publish the same files to their end first.",
        )


def _send_back(topic: str, parts: Sequence[tuple[int, Letter, Batch]], place: Place) -> list[Result]:
    target = place.target
    name = full_name(topic, target.namespace)
    end, tail = read_newest(place.consumer, name, target.partition, load(topic), place.writer, TAIL_RECORDS)
    known = set(zip(tail["event_id"].tolist(), tail["ts_event_ns"].tolist(), strict=True))
    beats = full_name(HEARTBEATS, target.namespace)
    promised = read_promises(place.consumer, beats, target.partition, {name}, place.writer).get(name, 0)
    floor_ns = max(promised, int(tail["ts_effective_ns"][-1]) if tail.length else 0)
    waiting = [0]
    sender = Sender(place.producer, target, {topic: end}, lambda: sender.serve(0.1))

    def landed() -> None:
        waiting[0] -= 1

    def send(to: str, values: list[bytes]) -> None:
        waiting[0] += 1
        sender.send(to, values, landed)
        deadline_s = time.monotonic() + DELIVERY_S
        while waiting[0]:
            sender.serve(0.1)
            if time.monotonic() > deadline_s:
                raise UnavailableError(f"{to} did not take a record within {DELIVERY_S:.0f} s")

    results = []
    codec, lateness_ns = Codec(load(topic)), lateness_of(topic, place.config)
    for number, letter, batch in parts:
        ids = list(zip(batch["event_id"].tolist(), batch["ts_event_ns"].tolist(), strict=True))
        fresh = np.array([i for i, key in enumerate(ids) if key not in known], np.int64)
        known.update(ids)
        if len(fresh):
            late = _late(batch.take(fresh), floor_ns, lateness_ns)
            floor_ns = int(late["ts_effective_ns"][-1])
            send(topic, codec.encode(late, target.schema_ids[topic]).messages())
        note = replace(letter, ts_event_ns=time.time_ns(), component=COMPONENT, error=f"went back to {topic}")
        send(DEAD_LETTERS, [note.encoded(target.schema_ids)])
        results.append(Result(number, "stored" if len(fresh) else "there already", topic))
    return results


def _late(batch: Batch, floor_ns: int, lateness_ns: int) -> Batch:
    """The records at the earliest time that the topic's order and promises allow."""
    due_ns = batch["ts_event_ns"].astype(np.int64) + lateness_ns
    effective_ns = np.maximum(np.maximum.accumulate(due_ns), floor_ns)
    every = Column(np.ones(batch.length, np.bool_))
    return Batch(batch.name, batch.length, {**batch.columns, "ts_effective_ns": Column(effective_ns), "is_late": every})
