"""A dead letter read again, by whoever can read it now. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.avro import Codec
from common.columns import Batch, Column
from common.errors import BreakwaterError, RecordError
from common.schemas import load
from common.topics import COMPLEXES
from producers.dbn.file import LAYOUTS
from producers.dbn.parse import TOPICS as DBN_TOPICS
from producers.dbn.parse import parse as parse_dbn
from producers.dbn.symbols import SymbolMap
from producers.event_ids import first_ids
from producers.letters.letter import Letter
from producers.log_state import Writer
from producers.massive.capture import line_of
from producers.massive.parse import TOPICS as MASSIVE_TOPICS
from producers.massive.parse import LastQuotes
from producers.massive.parse import parse as parse_massive

_DBN_SCHEMAS = {topic: schema for schema, topic in DBN_TOPICS.items()}
MARKET_TOPICS = frozenset({*DBN_TOPICS.values(), *MASSIVE_TOPICS})
"""Topics that a letter can go back to; all others are computed and can be computed again."""


def reread(letter: Letter, writer: Writer, symbols: SymbolMap) -> Sequence[Batch]:
    """The letter's records with their event ids, by topic; none when nothing of ours is in it.

    ``symbols`` names the instruments of Databento's records. Raises RecordError with the reason why it is still bad.
    """
    try:
        if letter.place is None:
            return _logged(letter, writer)
        if letter.topic.startswith("massive."):
            return _massive(letter)
        return _dbn(letter, symbols)
    except RecordError:
        raise
    except (BreakwaterError, ValueError) as error:
        raise RecordError(str(error)) from error


def _logged(letter: Letter, writer: Writer) -> Sequence[Batch]:
    """A framed record that a reader could not decode: it keeps the ids it has."""
    if letter.topic not in MARKET_TOPICS:
        raise RecordError(f"records of {letter.topic} do not go back: compute them again (./breakwater replay)")
    decoded = Codec(load(letter.topic)).decode([letter.value], writer)
    if decoded.bad:
        raise RecordError(str(decoded.bad[0].error))
    return [decoded.batch]


def _massive(letter: Letter) -> Sequence[Batch]:
    """A message of the vendor's, alone, or a capture's whole line."""
    line, channel = letter.value, letter.topic.removeprefix("massive.")
    if channel != "capture":
        ts_recv_ns = str(letter.place).partition("/")[0]
        if not ts_recv_ns.isdigit():
            raise RecordError(f"its place {letter.place!r} does not begin with the time of its receipt")
        line = line_of(int(ts_recv_ns), channel, b"[" + letter.value + b"]")
    # Without the quotes of its time the aggressor is unknown; the engine signs by its own.
    parsed = parse_massive([line], LastQuotes(0), COMPLEXES)
    if parsed.bad:
        raise RecordError(parsed.bad[0].problem)
    return [_with_ids(found.batch, found.hashes) for found in parsed.records.values()]


def _dbn(letter: Letter, symbols: SymbolMap) -> Sequence[Batch]:
    schema = _DBN_SCHEMAS.get(letter.topic)
    if schema is None:
        raise RecordError(f"nothing reads {letter.topic}")
    dtype = LAYOUTS[schema].dtype
    if len(letter.value) != dtype.itemsize:
        raise RecordError(f"{len(letter.value)} bytes are no {schema} record of {dtype.itemsize}")
    parsed = parse_dbn(schema, np.frombuffer(letter.value, dtype), symbols)
    return [_with_ids(parsed.batch, parsed.hashes)]


def _with_ids(batch: Batch, hashes: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Batch:
    return Batch(batch.name, batch.length, {**batch.columns, "event_id": Column(first_ids(hashes))})
