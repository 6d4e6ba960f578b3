"""Folders of market data by day, as downloads leave them (plan 2.5, 11.3): one file per schema and day.

``<folder>/<schema>/<dataset>-<YYYYMMDD>.<schema>.dbn.zst`` is what :mod:`.download` writes, with the vendor's own names
for its files. Read is every DBN file and capture below the folder, wherever it lies, by the day in its name, or else
the day on which its data begin.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.config import NS_PER_S
from common.errors import InputError
from common.telemetry import get_logger
from producers.dbn.file import LAYOUTS, DbnFile, OtherSchemaError
from producers.massive.capture import SUFFIXES, is_capture

log = get_logger("producers")

DBN_SUFFIXES = (".dbn", ".dbn.zst")
_DAY = re.compile(r"(?<!\d)(20\d{2})-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")


def path_of(folder: Path, dataset: str, schema: str, day: dt.date) -> Path:
    """Where the file of a schema and day lies in a folder."""
    return folder / schema / f"{dataset.lower().replace('.', '-')}-{day:%Y%m%d}.{schema}.dbn.zst"


def days(folder: Path) -> list[tuple[Path, ...]]:
    """The files of each day, oldest day first; files of schemas that are not read are left out.

    Raises InputError when there is none, and for a file that cannot be opened.
    """
    found: dict[dt.date, list[Path]] = {}
    left_out = 0
    for path in sorted(folder.rglob("*")):
        if not path.name.endswith((*DBN_SUFFIXES, *SUFFIXES)) or not path.is_file():
            continue
        try:
            found.setdefault(_day(path), []).append(path)
        except OtherSchemaError:
            left_out += 1
    if left_out:
        log.info("files_left_out", folder=str(folder), count=left_out, read=list(LAYOUTS))
    if not found:
        raise InputError(
            f"{folder} holds no market data", hint=f"Give a folder with DBN files of {', '.join(LAYOUTS)}."
        )
    return [tuple(files) for _, files in sorted(found.items())]


def inputs_of(paths: Iterable[Path]) -> list[tuple[Path, ...]]:
    """What is published one after the other: the files given together, then each day of each folder.

    Raises InputError as `days`.
    """
    given = list(paths)
    files = tuple(path for path in given if not path.is_dir())
    by_day = [day for path in given if path.is_dir() for day in days(path)]
    return [files, *by_day] if files else by_day


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files, those of folders by day. Raises InputError as `days`."""
    return [file for files in inputs_of(paths) for file in files]


def _day(path: Path) -> dt.date:
    start_ns = None
    if not is_capture(path):
        with DbnFile(path) as file:
            start_ns = file.header.start_ns
    named = _DAY.search(path.name)
    if named:
        return dt.date(*map(int, named.groups()))
    if start_ns is None:
        raise InputError(f"{path} names no day", hint="Put the day into its name: spy-20250603.massive.jsonl.")
    return dt.datetime.fromtimestamp(start_ns // NS_PER_S, dt.UTC).date()
