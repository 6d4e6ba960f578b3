"""Bin-packing: an hour's small files become few, sorted as the table is.

An hour that still grows is packed by size class, so that a row is rewritten once per class and the hour's files stay
below classes times `FAN_IN`; a finished hour is packed once, up to the target size. The new files and the removal of
the old ones are one commit; a sink that commits in between makes it try again on the newer version, where the old files
still stand. If another maintenance or a rebuilt hour took them away, the packing is dropped.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.conversions import from_bytes
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table
from pyiceberg.types import LongType

from common.errors import UnavailableError
from common.telemetry import get_logger
from lakehouse.files import COMMIT_ID, SingleAttempt, apply_once, find_commit, write_hour

log = get_logger("lakehouse.maintenance")

TARGET_BYTES = 128 * 1024 * 1024
"""Of a packed file."""

SMALL = 0.75
"""Files of less than this share of the target are packed again."""

FAN_IN = 12
"""Files of one size class in a growing hour that are packed together, and the ratio from one class to the next."""

SMALLEST_CLASS_BYTES = 64 * 1024
ATTEMPTS = 20
PAUSE_S = 0.05
_TIE_BREAKERS = ("_partition", "_offset")
"""After the table's own order: rows of the same time stay as they stood in the log."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Files of one hour (hours since the epoch) that shall become one."""

    hour: int
    files: tuple[DataFile, ...]

    @property
    def size_bytes(self) -> int:
        """Of the files as they are."""
        return sum(file.file_size_in_bytes for file in self.files)


def plan(table: Table, *, target_bytes: int = TARGET_BYTES, all_grow: bool = False) -> list[Packing]:
    """What there is to pack in the table's current version, oldest hours first.

    The newest hour counts as growing, or all of them with ``all_grow``: late rows come to any. Tables that are not
    partitioned by an hour alone are left as they are.
    """
    hours: dict[int, list[DataFile]] = {}
    for task in table.scan().plan_files():
        if task.delete_files:
            continue
        key = task.file.partition[0] if len(table.spec().fields) == 1 else None
        if isinstance(key, int) and task.file.spec_id == table.spec().spec_id:
            hours.setdefault(key, []).append(task.file)
    newest = max(hours, default=0)
    found: list[Packing] = []
    for hour, files in sorted(hours.items()):
        ordered = _in_time_order(table, files)
        found += [Packing(hour, tuple(few)) for few in choose(ordered, target_bytes, all_grow or hour == newest)]
    return found


def choose(files: Sequence[DataFile], target_bytes: int, growing: bool) -> list[list[DataFile]]:
    """Which of an hour's files, given in the order of time, shall become one each."""
    small = [file for file in files if file.file_size_in_bytes < SMALL * target_bytes]
    classes = _size_classes(small, target_bytes) if growing else [small]
    return [few for members in classes for few in _bins(members, target_bytes) if len(few) > 1]


def _in_time_order(table: Table, files: Iterable[DataFile]) -> list[DataFile]:
    """By the first ``ts_event_ns`` in each, so that neighbours in time come into one file."""
    number = table.schema().find_field("ts_event_ns").field_id

    def first_ns(file: DataFile) -> tuple[int, str]:
        bound = (file.lower_bounds or {}).get(number)
        return (0 if bound is None else int(from_bytes(LongType(), bound)), file.file_path)

    return sorted(files, key=first_ns)


def _size_classes(files: Sequence[DataFile], target_bytes: int) -> list[list[DataFile]]:
    """The full ones: those with at least `FAN_IN` files, or enough for a file of the target size."""
    classes: dict[int, list[DataFile]] = {}
    for file in files:
        number, bound = 0, SMALLEST_CLASS_BYTES * FAN_IN
        while file.file_size_in_bytes >= bound:
            number, bound = number + 1, bound * FAN_IN
        classes.setdefault(number, []).append(file)
    return [
        members
        for _, members in sorted(classes.items())
        if len(members) >= FAN_IN or sum(file.file_size_in_bytes for file in members) >= target_bytes
    ]


def _bins(files: Sequence[DataFile], target_bytes: int) -> list[list[DataFile]]:
    """Neighbours together, up to the target; above it (by a half at most) where it would otherwise stay small."""
    bins: list[list[DataFile]] = []
    filled = target_bytes
    for file in files:
        if filled >= SMALL * target_bytes and filled + file.file_size_in_bytes > target_bytes:
            bins.append([])
            filled = 0
        bins[-1].append(file)
        filled += file.file_size_in_bytes
    return bins


def pack(table: Table, packing: Packing) -> bool:
    """Do it; False when the files are no longer there because somebody else replaced them.

    Raises UnavailableError when the outcome stays unknown: a later run finds out from the table itself.
    """
    commit_id = uuid.uuid4().hex
    rows = sorted_rows(table, packing.files)
    written = write_hour(table, packing.hour, [rows], f"packed-{commit_id}.parquet")
    for attempt in range(ATTEMPTS):
        transaction = SingleAttempt(table)
        try:
            with transaction.update_snapshot(snapshot_properties={COMMIT_ID: commit_id}).overwrite() as overwrite:
                for file in packing.files:
                    overwrite.delete_data_file(file)
                if written is not None:
                    overwrite.append_data_file(written)
            apply_once(table, transaction)
            return True
        except ValidationException:
            # A later attempt's may be the sign of an earlier one that landed, its snapshot expired since.
            if written is not None and attempt == 0:
                with suppress(OSError):
                    table.io.delete(written.file_path)
            return False
        except CommitFailedException as error:
            # PyIceberg names a conflict also where the answer to a landed commit was lost.
            log.info("packing_overtaken", table=".".join(table.name()), attempt=attempt + 1, error=str(error))
            time.sleep(PAUSE_S * (attempt + 1))
        except Exception as error:
            log.warning("packing_in_doubt", table=".".join(table.name()), attempt=attempt + 1, error=repr(error))
            time.sleep(PAUSE_S * (attempt + 1))
        table = table.refresh()
        if find_commit(table, commit_id) is not None:
            return True
    raise UnavailableError(
        f"{'.'.join(table.name())}: hour {packing.hour} could not be packed in {ATTEMPTS} attempts",
        hint="Check the catalog. Nothing is lost: the files are as they were, or packed.",
    )


def sorted_rows(table: Table, files: Iterable[DataFile]) -> pa.Table:
    """The files' rows in the table's order, ties as in the log."""
    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    rows = scan.to_table([FileScanTask(data_file=file) for file in files])
    names = [table.schema().find_column_name(field.source_id) for field in table.sort_order().fields]
    names += [name for name in _TIE_BREAKERS if name in rows.column_names]
    return rows.sort_by([(name, "ascending") for name in names if name is not None])
