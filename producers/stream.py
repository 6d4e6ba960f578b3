"""From files to stamped batches, without a log: what the publisher publishes and an offline replay computes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from common.config import NS_PER_S, EngineConfig
from common.errors import InputError
from producers.dbn import CHUNK_RECORDS, DbnReader
from producers.sequencer import StampedStep, Times, sequence

HASH_READ_BYTES = 1 << 20

__all__ = ["StampedStep", "input_id", "stamped_batches", "times_of"]


def times_of(config: EngineConfig, floor_ns: int = 0) -> Times:
    """Stamping and promises of a futures source under ``config``."""
    return Times(round(config.LATENESS_FUTURES_S * NS_PER_S), config.snap_interval_ns, floor_ns)


def stamped_batches(
    paths: Sequence[Path], config: EngineConfig, *, floor_ns: int = 0, chunk_records: int = CHUNK_RECORDS
) -> Iterator[StampedStep]:
    """The records of all files, merged in event time, with event ids and effective times: exactly those of the topics.

    ``floor_ns`` is the last promise made before this input (0 on fresh topics). The last step's watermark releases the
    last snap. Raises InputError for a file that is missing or foreign, before the first step, or damaged, after the
    last record before it.
    """
    if not paths:
        raise InputError("no input file is given", hint="Name DBN files with --file (or --dbn).")
    with ExitStack() as stack:
        readers = [stack.enter_context(DbnReader(path)) for path in paths]
        yield from sequence(readers, times_of(config, floor_ns), chunk_records)


def input_id(paths: Sequence[Path]) -> str:
    """Identity of a finite input: SHA-256 over the content of its files, whatever their names and order.

    Raises InputError for a file that is missing or given twice.
    """
    digests: dict[str, Path] = {}
    for path in paths:
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while piece := file.read(HASH_READ_BYTES):
                    digest.update(piece)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}", hint="Check the path.") from None
        twin = digests.setdefault(digest.hexdigest(), path)
        if twin is not path:
            raise InputError(f"{path} and {twin} are the same file's content", hint="Give each file once.")
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
