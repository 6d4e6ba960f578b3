"""Where a replay's rows go: files, lines on a terminal. What is interrupted leaves nothing half done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from common import schemas, topics
from common.errors import ConfigError, InputError
from common.times import shown_time
from producers.replay.engine import Judged, table_of

KINDS: dict[str, str] = {
    "signals": topics.SIGNALS,
    "features": topics.FEATURES,
    "outcomes": topics.OUTCOMES,
    "flow": topics.OPTIONS_FLOW,
}
"""What a replay gives, by the name that the command line has for it."""


class Output(Protocol):
    """Takes rows step by step. After the last one of `finish` or `abandon` is called."""

    def write(self, judged: Judged) -> None:
        """Take the rows of one step."""
        ...

    def finish(self) -> None:
        """Everything came: make it visible."""
        ...

    def abandon(self) -> None:
        """The replay ended early: leave nothing half done."""
        ...


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write_table(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        self._file.close()


def _parquet(path: Path, schema: pa.Schema) -> Any:
    return pq.ParquetWriter(path, schema, compression="zstd")


def _csv(path: Path, schema: pa.Schema) -> Any:
    return pyarrow.csv.CSVWriter(path, schema)


def _arrow(path: Path, schema: pa.Schema) -> Any:
    return pa.ipc.new_file(path, schema)


def _json_lines(path: Path, _schema: pa.Schema) -> Any:
    return _JsonLines(path)


FORMATS: dict[str, Callable[[Path, pa.Schema], Any]] = {
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".csv": _csv,
    ".jsonl": _json_lines,
}
"""How to write a file, by its suffix."""


class FileOutput:
    """One kind of rows in one file. It is written as ``<name>.part`` and gets its name when it is whole."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".part")
        self._topic = KINDS[kind]
        try:
            self._writer = FORMATS[path.suffix](self._partial, schemas.load(self._topic).arrow)
        except OSError as error:
            raise InputError(
                f"{path} cannot be written: {error.strerror}", hint="May you write there, and is there room?"
            ) from None

    def write(self, judged: Judged) -> None:
        """Append the step's rows."""
        batch = judged.rows[self._topic]
        if batch.length:
            self._writer.write_table(table_of(batch))

    def finish(self) -> None:
        """Close the file and give it its name; one that had it is replaced."""
        self._writer.close()
        self._partial.replace(self._path)

    def abandon(self) -> None:
        """Remove what was written."""
        self._writer.close()
        self._partial.unlink(missing_ok=True)


def paths_of(path: Path, kinds: Sequence[str]) -> dict[str, Path]:
    """The file of each kind: ``path`` for one, else ``x.parquet`` becomes ``x.signals.parquet`` and so on.

    Raises ConfigError for a name that says no format, InputError when its folder is not there.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(
            f"{path.name} says no format",
            hint=f"End the name in one of: {', '.join(FORMATS)} ({path.stem}.parquet).",
        )
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}", hint="Make it first.")
    if len(kinds) == 1:
        return {kinds[0]: path}
    return {kind: path.with_name(f"{path.stem}.{kind}{path.suffix}") for kind in kinds}


def file_outputs(paths: Mapping[str, Path]) -> list[FileOutput]:
    """Open the file of each kind; when one cannot be written, none is left."""
    made: list[FileOutput] = []
    try:
        for kind, path in paths.items():
            made.append(FileOutput(path, kind))
    except Exception:
        for output in made:
            output.abandon()
        raise
    return made


class Lines:
    """A line for every row, as people read it."""

    def __init__(self, kinds: Sequence[str], out: TextIO) -> None:
        self._kinds = kinds
        self._out = out

    def write(self, judged: Judged) -> None:
        """Write the step's rows; kinds one after the other."""
        for kind in self._kinds:
            batch = judged.rows[KINDS[kind]]
            if batch.length:
                form = _signal if kind == "signals" else _any
                self._out.write("".join(form(row) + "\n" for row in table_of(batch).to_pylist()))

    def finish(self) -> None:
        """Nothing is left to do."""
        self._out.flush()

    def abandon(self) -> None:
        """What was shown was shown."""
        self._out.flush()


def _signal(row: Mapping[str, Any]) -> str:
    where = f"{row['level_id']:<16} {row['level_price']:>9.2f} {row['direction']:<10} spot {row['spot']:>9.3f}"
    score = f"{row['signal']:<9} score {row['break_score_smooth']:5.1f} (raw {row['break_score_raw']:5.1f})"
    return f"{shown_time(row['ts_event_ns'])}  {where}  {score}  {row['confidence']:<6}  {row['note']}"


def _any(row: Mapping[str, Any]) -> str:
    rest = {
        name: value for name, value in row.items() if value is not None and name not in ("ts_event_ns", "config_hash")
    }
    return f"{shown_time(row['ts_event_ns'])}  " + "  ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}" for name, value in rest.items()
    )
