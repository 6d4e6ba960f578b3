"""A checkpoint of a worker's state, as records of a compacted topic: chunks of bytes and a manifest, one transaction.

Two slots take turns, so that compaction always leaves the one before the newest. A chunk begins with its generation (8
bytes, big-endian): a chunk of another generation than its manifest's is never taken for one of its own. Pure: who reads
and writes the topic is elsewhere. What cannot be used (damaged, incomplete, of another format) is passed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from struct import pack, unpack_from
from typing import Any

import orjson
import zstandard

FORMAT_VERSION = 2
"""Raised whenever the manifest, the chunks or their keys change meaning."""

CHUNK_BYTES = 512 * 1024
"""Largest payload of a chunk; brokers take records of 1 MiB by default."""

_STATE_DEPENDS_ON = (
    "processors/engine/**/*.py",
    "common/prices.py",
    "common/config.py",
    "common/sessions.py",
    "common/*.csv",
)

_SLOTS = 2
_COMPRESSION_LEVEL = 3
_MAX_STATE_BYTES = 1 << 30
"""A manifest that promises more is damaged: nothing is allocated for it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A worker's state at one place of its inputs.

    ``next_offsets``: per input topic the first record that is not in ``state``. ``promises_ns``: what each input had
    promised of the records from there on. ``set_aside``: the inputs not waited for. ``files_open``: inputs that are
    files whose source was connected. ``until_ns``: every event before it is in ``state``. ``last_snap_ns``: newest snap
    that was published by then (0: none).
    """

    generation: int
    config_hash: str
    code_version: str
    next_offsets: Mapping[str, int]
    promises_ns: Mapping[str, int]
    set_aside: tuple[str, ...]
    files_open: tuple[str, ...]
    until_ns: int
    last_snap_ns: int
    state: bytes


@dataclass(frozen=True, slots=True)
class _Manifest:
    format_version: int
    generation: int
    config_hash: str
    code_version: str
    next_offsets: dict[str, int]
    promises_ns: dict[str, int]
    set_aside: list[str]
    files_open: list[str]
    until_ns: int
    last_snap_ns: int
    chunks: int
    packed_bytes: int
    state_bytes: int
    sha256: str


@cache
def code_version() -> str:
    """Hash of the engine's source and of what else its state depends on: only the same code may go on from a state, or
    explain a row.
    """
    return f"engine-{source_hash(Path(__file__).parent.parent)[:16]}"


def source_hash(root: Path) -> str:
    """SHA-256 over the files of ``root`` that the engine's state depends on, with their paths, in order."""
    digest = hashlib.sha256()
    for path in sorted(found for pattern in _STATE_DEPENDS_ON for found in root.glob(pattern)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def to_records(complex_name: str, checkpoint: Checkpoint) -> list[tuple[bytes, bytes]]:
    """Key and value of each chunk, then of the manifest."""
    packed = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress(checkpoint.state)
    slot = f"{complex_name}/{checkpoint.generation % _SLOTS}"
    pieces = [packed[at : at + CHUNK_BYTES] for at in range(0, len(packed), CHUNK_BYTES)]
    head = pack(">q", checkpoint.generation)
    records = [(f"{slot}/{number}".encode(), head + piece) for number, piece in enumerate(pieces)]
    manifest = _Manifest(
        format_version=FORMAT_VERSION,
        generation=checkpoint.generation,
        config_hash=checkpoint.config_hash,
        code_version=checkpoint.code_version,
        next_offsets=dict(checkpoint.next_offsets),
        promises_ns=dict(checkpoint.promises_ns),
        set_aside=list(checkpoint.set_aside),
        files_open=list(checkpoint.files_open),
        until_ns=checkpoint.until_ns,
        last_snap_ns=checkpoint.last_snap_ns,
        chunks=len(pieces),
        packed_bytes=len(packed),
        state_bytes=len(checkpoint.state),
        sha256=hashlib.sha256(packed).hexdigest(),
    )
    records.append((slot.encode(), orjson.dumps(asdict(manifest))))
    return records


def newest(complex_name: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> Checkpoint | None:
    """The newest checkpoint of the complex that is whole, from records in log order; None when there is none."""
    chunks: dict[tuple[int, int], bytes] = {}
    manifests: list[_Manifest] = []
    for key, value in records:
        if key is None or value is None:
            continue
        parts = key.decode(errors="replace").split("/")
        if parts[0] != complex_name:
            continue
        if len(parts) == 2:
            manifest = _parse(value)
            if manifest is not None:
                manifests.append(manifest)
        elif len(parts) == 3 and parts[2].isdigit() and len(value) >= 8:
            (generation,) = unpack_from(">q", value)
            chunks[generation, int(parts[2])] = value[8:]
    for manifest in sorted(manifests, key=lambda one: one.generation, reverse=True):
        found = _assemble(manifest, chunks)
        if found is not None:
            return found
    return None


def _parse(value: bytes) -> _Manifest | None:
    try:
        raw: dict[str, Any] = orjson.loads(value)
        if raw["format_version"] != FORMAT_VERSION:
            return None
        return _Manifest(**raw)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _assemble(manifest: _Manifest, chunks: Mapping[tuple[int, int], bytes]) -> Checkpoint | None:
    keys = [(manifest.generation, number) for number in range(manifest.chunks)]
    if any(key not in chunks for key in keys) or not 0 <= manifest.state_bytes <= _MAX_STATE_BYTES:
        return None
    packed = b"".join(chunks[key] for key in keys)
    if len(packed) != manifest.packed_bytes or hashlib.sha256(packed).hexdigest() != manifest.sha256:
        return None
    state = zstandard.ZstdDecompressor().decompress(packed, max_output_size=manifest.state_bytes)
    return Checkpoint(
        generation=manifest.generation,
        config_hash=manifest.config_hash,
        code_version=manifest.code_version,
        next_offsets=manifest.next_offsets,
        promises_ns=manifest.promises_ns,
        set_aside=tuple(manifest.set_aside),
        files_open=tuple(manifest.files_open),
        until_ns=manifest.until_ns,
        last_snap_ns=manifest.last_snap_ns,
        state=state,
    )
