"""From files to stamped batches, without a log: what the publisher publishes and an offline replay computes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from common.config import NS_PER_MS, NS_PER_S, EngineConfig
from common.errors import InputError
from common.topics import ALWAYS_AWAITED
from producers.dbn import CHUNK_RECORDS, DbnReader
from producers.letters.aside import SetAside, log_only
from producers.live.arrivals import Bad
from producers.massive import parse
from producers.massive.capture import Capture, is_capture
from producers.sequencer import TOPIC_RANK, Reader, StampedStep, Times, sequence

HASH_READ_BYTES = 1 << 20

__all__ = ["StampedStep", "check_file", "input_id", "lateness_of", "stamped_batches", "times_of", "topics_of"]


def times_of(config: EngineConfig, floor_ns: int = 0) -> Times:
    """Stamping and promises under ``config``."""
    return Times({topic: lateness_of(topic, config) for topic in TOPIC_RANK}, config.snap_interval_ns, floor_ns)


def lateness_of(topic: str, config: EngineConfig) -> int:
    """By how much (ns) events of the topic apply later than they happened."""
    lateness_s = {
        "futures": config.LATENESS_FUTURES_S,
        "stocks": config.LATENESS_STOCKS_S,
        "options": config.LATENESS_OPTIONS_S,
    }
    return round(lateness_s[topic.partition(".")[0]] * NS_PER_S)


def topics_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """The topics that an input promises about: those that its files can hold, whether they do or not, and ES always.

    Raises InputError.
    """
    found: set[str] = set()
    for path in paths:
        if is_capture(path):
            found.update(parse.TOPICS)
        else:
            with DbnReader(path) as reader:
                found.add(reader.topic)
    return (*ALWAYS_AWAITED, *(topic for topic in TOPIC_RANK if topic in found.difference(ALWAYS_AWAITED)))


def _forget(_source: str, _bad: Bad) -> None:
    """A file that is only looked at is read again."""


def check_file(path: Path) -> None:
    """Open the file once, to see that it is one that can be read. Raises InputError."""
    with ExitStack() as stack:
        _opened(path, EngineConfig(), stack, _forget)


def _opened(path: Path, config: EngineConfig, stack: ExitStack, set_aside: SetAside) -> Sequence[Reader]:
    """The file's readers, a capture by its name and else DBN."""
    if is_capture(path):
        return stack.enter_context(Capture(path, config.OPTION_QUOTE_STALE_MS * NS_PER_MS, set_aside)).readers
    return (stack.enter_context(DbnReader(path, set_aside)),)


def stamped_batches(
    paths: Sequence[Path],
    config: EngineConfig,
    *,
    floor_ns: int = 0,
    chunk_records: int = CHUNK_RECORDS,
    set_aside: SetAside = log_only,
) -> Iterator[StampedStep]:
    """The records of all files, merged in event time, with event ids and effective times: exactly those of the topics.

    Files whose names end in ``.massive.jsonl`` or ``.massive.jsonl.zst`` are captures, all others DBN. ``floor_ns`` is
    the last promise made before this input (0 on fresh topics). The last step's watermark releases the last snap.
    ``set_aside`` is told of messages that cannot be used, which are left out.
    Raises InputError for a file that is missing or foreign, before the first step, or damaged, after the last record
    before it.
    """
    if not paths:
        raise InputError("no input file is given", hint="Name DBN files and captures with --file.")
    with ExitStack() as stack:
        readers = [reader for path in paths for reader in _opened(path, config, stack, set_aside)]
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
