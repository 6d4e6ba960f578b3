"""Files under a table's location that no kept snapshot names: what crashes and expired snapshots left behind.

A file's age says nothing: an old file may have been let go a minute ago, and somebody may still be reading it; a file
without a name may be about to get one. So each run writes down which files it found unnamed and since when, and removes
those that were found so at least `GRACE` before and are so still.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
import pyarrow.fs as pafs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table

from common.errors import ConfigError, InvariantError

GRACE = timedelta(hours=24)
SEEN_FILE = "_breakwater/unnamed.json"
"""Below the table's location: the unnamed files that earlier runs found, with the time of the first, ms."""

READERS = 8


@dataclass(frozen=True, slots=True)
class Orphans:
    """Unnamed files of a table by their location, and those of them that are due to go."""

    waiting: tuple[str, ...]
    due: tuple[str, ...]


def look(table: Table, *, grace: timedelta = GRACE, now: datetime | None = None) -> Orphans:
    """Find unnamed files and write down those that are new. Raises ConfigError for a store that cannot be listed."""
    return _look(table, grace, _ms(now), write=True)


def look_only(table: Table, *, grace: timedelta = GRACE, now: datetime | None = None) -> Orphans:
    """As `look`, but without writing down: a dry run."""
    return _look(table, grace, _ms(now), write=False)


def remove(table: Table, orphans: Orphans) -> int:
    """Delete the files that are due; returns how many went."""
    io = table.io
    gone = 0
    for location in orphans.due:
        with suppress(OSError):
            io.delete(location)
            gone += 1
    return gone


def _ms(now: datetime | None) -> int:
    return int((datetime.now(UTC) if now is None else now).timestamp() * 1000)


def _look(table: Table, grace: timedelta, now_ms: int, *, write: bool) -> Orphans:
    # Listed before the names are read: a file that gets its name in between is then found to have it.
    files = _listed(table)
    named = _named(table.refresh())
    unnamed = sorted(location for path, location in files.items() if path not in named)
    seen = _seen(table)
    since = {location: seen.get(location, now_ms) for location in unnamed}
    if write and since != seen:
        with table.io.new_output(_seen_at(table)).create(overwrite=True) as stream:
            stream.write(orjson.dumps(since, option=orjson.OPT_SORT_KEYS))
    bound_ms = now_ms - grace.total_seconds() * 1000
    due = tuple(location for location in unnamed if location in seen and since[location] <= bound_ms)
    return Orphans(tuple(unnamed), due)


def _seen_at(table: Table) -> str:
    return f"{table.location().rstrip('/')}/{SEEN_FILE}"


def _seen(table: Table) -> dict[str, int]:
    source = table.io.new_input(_seen_at(table))
    if not source.exists():
        return {}
    with source.open() as stream:
        found = orjson.loads(stream.read())
    if not isinstance(found, dict):
        raise InvariantError(f"{_seen_at(table)} is damaged", hint="Delete it: the waiting time begins anew.")
    return {str(location): int(ms) for location, ms in found.items()}


def _listed(table: Table) -> dict[str, str]:
    """All files below the table's location: path on the file system, and location as the table would name it."""
    io = table.io
    if not isinstance(io, PyArrowFileIO):
        raise ConfigError(
            f"the files of {'.'.join(table.name())} cannot be listed through {type(io).__name__}",
            hint="Configure the catalog with py-io-impl=pyiceberg.io.pyarrow.PyArrowFileIO.",
        )
    scheme, netloc, path = io.parse_location(table.location())
    system = io.fs_by_scheme(scheme, netloc)
    base, root = table.location().rstrip("/"), path.rstrip("/")
    found = system.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
    out = {info.path: base + info.path[len(root) :] for info in found if info.type == pafs.FileType.File}
    own = root + "/" + SEEN_FILE
    out.pop(own, None)
    return out


def _named(table: Table) -> set[str]:
    """Paths of everything that the table's metadata leads to, over all snapshots."""
    metadata = table.metadata
    locations = {table.metadata_location}
    locations.update(entry.metadata_file for entry in metadata.metadata_log)
    locations.update(statistics.statistics_path for statistics in metadata.statistics)
    locations.update(statistics.statistics_path for statistics in metadata.partition_statistics)
    manifests = {}
    for snapshot in metadata.snapshots:
        locations.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            manifests[manifest.manifest_path] = manifest
    locations.update(manifests)
    with ThreadPoolExecutor(READERS) as pool:
        entries = pool.map(lambda m: m.fetch_manifest_entry(table.io, discard_deleted=True), manifests.values())
        for of_manifest in entries:
            locations.update(entry.data_file.file_path for entry in of_manifest)
    return {PyArrowFileIO.parse_location(location)[2] for location in locations}
