"""One session: its stored inputs, the engine, and a folder with its rows.

The task is a function of the job alone, so it may run anywhere and any number of times: each attempt writes a folder
of its own, so a task that was given up and runs on disturbs nobody. ``session.json`` is written last: a folder with one
is whole. The folders lie beside the tables, so whoever reads the inputs can write there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from common import meta, schemas, topics
from common.config import NS_PER_S, EngineConfig, make_config
from common.content import ContentDigest
from common.errors import ConfigError, InputError
from common.recorded import LakeReader
from common.sessions import cme_es_sessions
from common.settings import PROJECT_ROOT
from producers.replay.engine import Judged, table_of
from producers.replay.outputs import KINDS
from producers.replay.ranges import Range
from producers.replay.run import run
from producers.replay.sources import Source, Stored, from_files
from producers.replay.summary import Summary

AFTER_CLOSE_NS = NS_PER_S
"""The engine runs on so far behind the close, so that it labels what the close cut off."""

MANIFEST = "session.json"

LIBRARIES = ("llvmlite", "numba", "numpy", "pyarrow")
"""Whose versions may show in the bytes."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a task is told. ``keys``: the configuration, every key; ``files``: none means the tables.

    ``run``: the name of the folder in which sessions have theirs, see `place_of`.
    ``code``: of `code_digest`, where the job was made. ``attempt``: tells this task's folder from others'.
    """

    date: int
    keys: Mapping[str, Any]
    run: str
    namespace: str
    partition: int
    code: str
    files: tuple[str, ...] = ()
    attempt: str = "0"


@dataclass(frozen=True, slots=True)
class Done:
    """What a session gave: rows and digest by kind, records applied by topic. ``folder``: where the rows are."""

    date: int
    config_hash: str
    code: str
    events: Mapping[str, int]
    rows: Mapping[str, int]
    digests: Mapping[str, str]
    signals_digest: str
    folder: str = field(default="", compare=False)

    def as_text(self) -> str:
        """All but the folder, which differs between attempts, on one line."""
        return json.dumps({**asdict(self), "folder": ""}, sort_keys=True)

    @staticmethod
    def of(text: str, folder: str = "") -> Done:
        """The other way round. Raises ValueError, TypeError for another text."""
        return replace(Done(**json.loads(text)), folder=folder)


def code_digest() -> str:
    """Of all that may show in a session's bytes: the code that computes it, and the libraries it computes with."""
    digest = hashlib.sha256()
    for package in ("common", "processors/engine", "producers", "schemas-avro"):
        for path in sorted((PROJECT_ROOT / package).rglob("*")):
            if path.suffix in (".py", ".avsc", ".csv"):
                digest.update(f"{path.relative_to(PROJECT_ROOT)}\0".encode() + path.read_bytes())
    digest.update(repr([(name, version(name)) for name in LIBRARIES]).encode())
    return digest.hexdigest()[:16]


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


def compute(job: Job) -> Done:
    """Compute the session into a folder of its own.

    Raises what a replay raises, and ConfigError where other code runs than where the job was made.
    """
    if (here := code_digest()) != job.code:
        raise ConfigError(
            f"a worker has other code or libraries ({here}) than this machine ({job.code})",
            hint="Bring all machines of the cluster to the same version of the project and of its lock.",
        )
    config = make_config(job.keys)
    output = _Folder(job)
    summary = Summary(config, {}, {})
    run(_source(job, config), config, (output,), summary)
    done = Done(
        date=job.date,
        config_hash=config.hash,
        code=job.code,
        events=dict(sorted(summary.events.items())),
        rows={kind: output.digests[kind].rows for kind in KINDS},
        digests={kind: output.digests[kind].hexdigest() for kind in KINDS},
        signals_digest=summary.digest.hexdigest(),
        folder=output.folder,
    )
    output.mark(done)
    return done


def finished(job: Job) -> Done | None:
    """The session as an earlier run of the same code has left it for the tables; None when there is none."""
    files, folders = _folders(job)
    wanted = make_config(job.keys).hash
    for folder in folders:
        try:
            with files.open_input_stream(f"{folder}/{MANIFEST}") as stream:
                found = Done.of(stream.read().decode(), folder)
        except (FileNotFoundError, ValueError, TypeError):
            continue
        if (found.config_hash, found.code) == (wanted, job.code):
            return found
    return None


def forget(job: Job) -> None:
    """Remove the folders of all attempts at the session."""
    files, folders = _folders(job)
    for folder in folders:
        files.delete_dir(folder)


def rows_of(run: str, done: Done, kind: str) -> Iterator[pa.Table]:
    """The rows of a kind, piece by piece, in their order. Raises InputError when they cannot be read."""
    files, _ = place_of(run)
    path = f"{done.folder}/{kind}.parquet"
    try:
        with files.open_input_file(path) as handle, pq.ParquetFile(handle) as reader:
            for number in range(reader.num_row_groups):
                yield reader.read_row_group(number)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"what a worker wrote cannot be read: {path}: {error}",
            hint="Give all workers the same catalog, and a store that this machine sees too.",
        ) from error


def place_of(run: str) -> tuple[fs.FileSystem, str]:
    """The file system and the path of a run's folder. Raises what `meta.shared` does."""
    beside = meta.shared()
    return beside.files, f"{beside.root}/backfill/{run}"


def _folders(job: Job) -> tuple[fs.FileSystem, list[str]]:
    files, root = place_of(job.run)
    found = files.get_file_info(fs.FileSelector(root, allow_not_found=True))
    return files, sorted(info.path for info in found if info.base_name.startswith(f"{job.date}."))


def _source(job: Job, config: EngineConfig) -> Source:
    shown = session_range(job.date)
    if job.files:
        return from_files([Path(file) for file in job.files], shown, config)
    return Stored(None, LakeReader(job.namespace, job.partition)).source(shown)


class _Folder:
    """A Parquet file per kind of row, and the digest of what went into each."""

    def __init__(self, job: Job) -> None:
        self._files, root = place_of(job.run)
        self.folder = f"{root}/{job.date}.{job.attempt}"
        self._files.create_dir(self.folder, recursive=True)
        self.digests = {kind: ContentDigest(schemas.load(topic).arrow.names) for kind, topic in KINDS.items()}
        self._writers = {
            kind: pq.ParquetWriter(
                f"{self.folder}/{kind}.parquet", schemas.load(topic).arrow, filesystem=self._files, compression="zstd"
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
        with self._files.open_output_stream(f"{self.folder}/{MANIFEST}") as stream:
            stream.write(done.as_text().encode() + b"\n")
