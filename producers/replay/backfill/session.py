"""One session: its stored inputs, the engine, and a folder with its rows.

The task is a function of the job alone, so it may run anywhere and any number of times. ``session.json`` is written
last: a folder with one is whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from common import schemas, topics
from common.config import NS_PER_S, EngineConfig, make_config
from common.content import ContentDigest
from common.errors import ConfigError, InputError
from common.recorded import LakeReader
from common.sessions import cme_es_sessions
from producers.replay.engine import Judged, table_of
from producers.replay.outputs import KINDS
from producers.replay.ranges import Range
from producers.replay.run import run
from producers.replay.sources import Source, Stored, from_files
from producers.replay.summary import Summary

AFTER_CLOSE_NS = NS_PER_S
"""The engine runs on so far behind the close, so that it labels what the close cut off."""

MANIFEST = "session.json"


@dataclass(frozen=True, slots=True)
class Job:
    """What a task is told. ``keys``: the configuration, every key; ``files``: none means the tables.

    ``out``: the folder of the backfill, a path or an address that pyarrow knows (``s3://bucket/folder``).
    """

    date: int
    keys: Mapping[str, Any]
    out: str
    namespace: str
    partition: int
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What a session's folder holds: rows and digest by kind, records applied by topic."""

    date: int
    config_hash: str
    code_commit: str | None
    events: Mapping[str, int]
    rows: Mapping[str, int]
    digests: Mapping[str, str]
    signals_digest: str


def session_range(date: int) -> Range:
    """From the open to just behind the close. Raises ConfigError for a date without a session of ES."""
    sessions = cme_es_sessions()
    place = int(np.searchsorted(sessions.date, date))
    if place == len(sessions.date) or int(sessions.date[place]) != date:
        raise ConfigError(f"{date} is no session of ES", hint="Sessions are listed in common/cme_es_sessions.csv.")
    return Range(int(sessions.open_ns[place]), int(sessions.close_ns[place]) + AFTER_CLOSE_NS)


def has_inputs(date: int, namespace: str, partition: int) -> bool:
    """Whether the tables hold books of the session."""
    shown = session_range(date)
    return LakeReader(namespace, partition).records(topics.FUTURES_MBP10, shown.from_ns, shown.until_ns) > 0


def compute(job: Job, code_commit: str | None) -> Done:
    """Compute the session and write its folder anew. Raises what a replay raises."""
    config = make_config(job.keys)
    output = _Folder(job.out, job.date)
    summary = Summary(config, {}, {})
    run(_source(job, config), config, (output,), summary)
    done = Done(
        date=job.date,
        config_hash=config.hash,
        code_commit=code_commit,
        events=dict(sorted(summary.events.items())),
        rows={kind: output.digests[kind].rows for kind in KINDS},
        digests={kind: output.digests[kind].hexdigest() for kind in KINDS},
        signals_digest=summary.digest.hexdigest(),
    )
    output.mark(done)
    return done


def finished(out: str, date: int) -> Done | None:
    """What the session's folder says, None while it is not whole. Raises InputError for a damaged one."""
    files, root = place_of(out)
    try:
        with files.open_input_stream(f"{root}/{date}/{MANIFEST}") as stream:
            return Done(**json.loads(stream.read()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(f"{out}/{date}/{MANIFEST} is damaged: {error}", hint="Remove the session's folder.") from error


def place_of(out: str) -> tuple[fs.FileSystem, str]:
    """The file system and the path of an output folder."""
    if "://" in out:
        files, root = fs.FileSystem.from_uri(out)
        return files, str(root).rstrip("/")
    return fs.LocalFileSystem(), str(Path(out).expanduser().resolve())


def _source(job: Job, config: EngineConfig) -> Source:
    shown = session_range(job.date)
    if job.files:
        return from_files([Path(file) for file in job.files], shown, config)
    return Stored(None, LakeReader(job.namespace, job.partition)).source(shown)


class _Folder:
    """A Parquet file per kind of row, and the digest of what went into each."""

    def __init__(self, out: str, date: int) -> None:
        self._files, root = place_of(out)
        self._folder = f"{root}/{date}"
        self._files.create_dir(self._folder, recursive=True)
        # Not whole from here on, whatever an earlier task left.
        if self._files.get_file_info(f"{self._folder}/{MANIFEST}").type != fs.FileType.NotFound:
            self._files.delete_file(f"{self._folder}/{MANIFEST}")
        self.digests = {kind: ContentDigest(schemas.load(topic).arrow.names) for kind, topic in KINDS.items()}
        self._writers = {
            kind: pq.ParquetWriter(
                f"{self._folder}/{kind}.parquet", schemas.load(topic).arrow, filesystem=self._files, compression="zstd"
            )
            for kind, topic in KINDS.items()
        }

    def write(self, judged: Judged) -> None:
        """Append the step's rows."""
        for kind, topic in KINDS.items():
            batch = judged.rows[topic]
            if batch.length:
                table: pa.Table = table_of(batch)
                self._writers[kind].write_table(table)
                self.digests[kind].update(table)

    def finish(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()

    def abandon(self) -> None:
        """Close the files; without ``session.json`` nobody takes them for whole."""
        self.finish()

    def mark(self, done: Done) -> None:
        """Say that the folder is whole."""
        with self._files.open_output_stream(f"{self._folder}/{MANIFEST}") as stream:
            stream.write(json.dumps(asdict(done), indent=2, sort_keys=True).encode() + b"\n")
