"""Files as the engine's input: what :func:`producers.stream.stamped_batches` gives, without what only the log needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from common.config import NS_PER_MS, EngineConfig
from common.errors import InputError
from producers.dbn import DbnReader
from producers.dbn.ticks import SCHEMAS, TickReader
from producers.letters.aside import SetAside, log_only
from producers.massive.capture import Capture, is_capture
from producers.sequencer import Reader, StampedStep, sequence
from producers.stream import times_of

CHUNK_RECORDS = 49_152


def engine_batches(
    paths: Sequence[Path],
    config: EngineConfig,
    *,
    chunk_records: int = CHUNK_RECORDS,
    set_aside: SetAside = log_only,
) -> Iterator[StampedStep]:
    """The same records, promises and errors as `stamped_batches` on fresh topics, but of DBN's books and trades only
    what the engine reads: no ids, and books in ticks (:mod:`common.ticks`).
    """
    if not paths:
        raise InputError("no input file is given", hint="Name DBN files and captures with --file.")
    with ExitStack() as stack:
        readers = [reader for path in paths for reader in _opened(path, config, stack, set_aside)]
        yield from sequence(readers, times_of(config), chunk_records)


def _opened(path: Path, config: EngineConfig, stack: ExitStack, set_aside: SetAside) -> Sequence[Reader]:
    if is_capture(path):
        return stack.enter_context(Capture(path, config.OPTION_QUOTE_STALE_MS * NS_PER_MS, set_aside)).readers
    ticks = stack.enter_context(TickReader(path, set_aside))
    if ticks.schema in SCHEMAS:
        return (ticks,)
    return (stack.enter_context(DbnReader(path, set_aside)),)
