"""Where a live producer goes on: what the log holds, and what only the spool does.

The spool says which offset each of its records gets. Those below the log's end are there already; the one just below it
is compared with the log's last record, which shows that both speak of the same history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import confluent_kafka as ck

from common.avro import Codec
from common.errors import ConflictError, InvariantError
from common.schemas import load
from common.topics import DEAD_LETTERS, HEARTBEATS, full_name
from producers.letters.letter import KnownLetters, decoded, read_letters
from producers.live.stamper import Stamper
from producers.log_state import Tail, Writer, read_newest, read_promises
from producers.spool import Spool
from producers.spool.frames import SHARED

REMEMBERED_RECORDS = 1 << 17
"""Newest records of each topic whose ids are known after a restart."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """``logged``: the next offset of each topic in the log; ``stamped``: the same behind what the spool still holds.

    ``letters``: dead letters that the log holds.
    """

    logged: Mapping[str, int]
    stamped: Mapping[str, int]
    letters: KnownLetters


def recover(
    consumer: ck.Consumer,
    topics: tuple[str, ...],
    namespace: str,
    partition: int,
    writer: Writer,
    spool: Spool,
    stamper: Stamper,
) -> Recovered:
    """Read the ends of the topics and the spool, and bring the stamper to where they end.

    Raises ConflictError when something else wrote into the topics, InvariantError when what the spool counts on is gone
    from them, UnavailableError.
    """
    names = {full_name(topic, namespace): topic for topic in topics}
    promises = read_promises(consumer, full_name(HEARTBEATS, namespace), partition, names, writer)
    for name, promised_ns in promises.items():
        stamper.restore_promise(names[name], promised_ns)
    tails: dict[str, Tail] = {}
    for name, topic in names.items():
        end, batch = read_newest(consumer, name, partition, load(topic), writer, REMEMBERED_RECORDS)
        stamper.restore(batch)
        tails[topic] = Tail(end)
        if batch.length:
            tails[topic] = Tail(end, int(batch["event_id"][-1]), int(batch["ts_event_ns"][-1]))
    letters = KnownLetters()
    for _, letter in read_letters(consumer, full_name(DEAD_LETTERS, namespace), partition, writer):
        letters.add(letter)
    return Recovered(
        {topic: tail.end_offset for topic, tail in tails.items()}, _spooled(spool, tails, writer, stamper), letters
    )


def _spooled(spool: Spool, tails: Mapping[str, Tail], writer: Writer, stamper: Stamper) -> dict[str, int]:
    """Take what the spool holds beyond the log's end; the offsets behind it."""
    codecs = {topic: Codec(load(topic)) for topic in tails}
    ends = {topic: tail.end_offset for topic, tail in tails.items()}
    for _, frame in spool.frames():
        if frame.first_offset == SHARED:
            continue
        if frame.topic not in tails:
            raise InvariantError(
                f"the spool {spool.folder} holds records of {frame.topic}, which this feed does not write",
                hint="Start the feed whose spool it is, or move the folder away to go on without them.",
            )
        tail = tails[frame.topic]
        end = frame.first_offset + len(frame.values)
        if end < tail.end_offset:
            continue
        if frame.first_offset > ends[frame.topic]:
            raise InvariantError(
                f"{frame.topic} ends at offset {ends[frame.topic]}, and the spool goes on at {frame.first_offset}:"
                " records that the broker had acknowledged are gone",
                hint="Restore the topic, or move the spool away and begin a new --namespace and --home.",
            )
        batch = codecs[frame.topic].decode(frame.values, writer).batch
        before = tail.end_offset - frame.first_offset
        if before > 0 and (batch["event_id"][before - 1], batch["ts_event_ns"][before - 1]) != (
            tail.event_id,
            tail.ts_event_ns,
        ):
            raise ConflictError(
                f"{frame.topic}: the record at offset {tail.end_offset - 1} is not the one that the spool wrote there:"
                " something else writes into the topic",
                hint="Stop the other writer. To go on without what is in the spool, move its folder away:"
                f" {spool.folder}",
            )
        stamper.restore(batch.slice(max(before, 0), batch.length))
        ends[frame.topic] = end
    return ends


def known_letter(value: bytes, writer: Writer, letters: KnownLetters) -> bool:
    """Whether the framed letter is in the log already; it is known from now on."""
    letter = decoded(value, writer)
    return letter is not None and not letters.add(letter)
