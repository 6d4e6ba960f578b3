"""Folders of market data: which files make which day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import databento_dbn
import pytest

from common.errors import InputError
from producers.dbn.days import days, files_of, inputs_of, path_of
from producers.dbn.symbols import NS_PER_DAY
from tests.support import dbn_files

FIRST = dt.date(2025, 6, 3)


def write(folder: Path, schema: str, day: dt.date) -> Path:
    path = path_of(folder, "GLBX.MDP3", schema, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    return dbn_files.write(path, schema, dbn_files.records(schema, [0]))


def as_schema(raw: bytes, schema: databento_dbn.Schema) -> bytes:
    """The bytes of a DBN file that says it holds another schema."""
    metadata = databento_dbn.Metadata.decode(raw)
    begin = len(bytes(metadata))
    options = {"dataset": "GLBX.MDP3", "start": metadata.start, "symbols": [], "mappings": [], "version": 3}
    kinds = {"stype_in": databento_dbn.SType.RAW_SYMBOL, "stype_out": databento_dbn.SType.INSTRUMENT_ID}
    return bytes(databento_dbn.Metadata(schema=schema, **options, **kinds)) + raw[begin:]


def test_a_days_files_are_those_of_every_schema_and_days_come_in_order(tmp_path: Path) -> None:
    later, first = FIRST + dt.timedelta(days=1), FIRST
    for day in (later, first):
        for schema in ("mbp-10", "trades", "status", "definition"):
            write(tmp_path, schema, day)
    found = days(tmp_path)
    assert [len(files) for files in found] == [4, 4]
    assert {path.name for path in found[0]} == {
        f"glbx-mdp3-20250603.{schema}.dbn.zst" for schema in ("mbp-10", "trades", "status", "definition")
    }


def test_files_of_other_schemas_and_unfinished_ones_are_left_out(tmp_path: Path) -> None:
    book = write(tmp_path, "mbp-10", FIRST)
    other = dbn_files.content("trades", dbn_files.records("trades", [0]))
    (tmp_path / "mbo-20250603.dbn").write_bytes(as_schema(other, databento_dbn.Schema.MBO))
    (tmp_path / ".glbx-mdp3-20250603.trades.dbn.zst.partial").write_bytes(b"half")
    assert days(tmp_path) == [(book,)]


def test_a_file_without_a_day_in_its_name_belongs_to_the_day_on_which_its_data_begin(tmp_path: Path) -> None:
    named = write(tmp_path, "trades", FIRST)
    rows = dbn_files.records("mbp-10", [0])
    same = dbn_files.write(tmp_path / "same.dbn", "mbp-10", rows)
    next_day = dbn_files.write(tmp_path / "next.dbn", "mbp-10", rows, start=dbn_files.BASE_NS + NS_PER_DAY)
    assert [set(files) for files in days(tmp_path)] == [{named, same}, {next_day}]


def test_captures_lie_beside_the_dbn_files_of_their_day(tmp_path: Path) -> None:
    book = write(tmp_path, "mbp-10", FIRST)
    capture = tmp_path / "spy-20250603.massive.jsonl"
    capture.write_bytes(b"{}\n")
    assert set(days(tmp_path)[0]) == {book, capture}
    unnamed = tmp_path / "spy.massive.jsonl"
    unnamed.write_bytes(b"{}\n")
    with pytest.raises(InputError, match="names no day"):
        days(tmp_path)


def test_files_are_one_input_and_each_day_of_a_folder_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    in_folder = [write(folder, "trades", FIRST + dt.timedelta(days=n)) for n in range(2)]
    alone = [dbn_files.write(tmp_path / f"{n}.dbn", "trades", dbn_files.records("trades", [n])) for n in range(2)]
    assert inputs_of([folder]) == [(in_folder[0],), (in_folder[1],)]
    assert inputs_of([alone[0], folder, alone[1]]) == [tuple(alone), (in_folder[0],), (in_folder[1],)]
    assert files_of([folder, *alone]) == [*alone, *in_folder]


def test_a_folder_without_market_data_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no market data"):
        days(tmp_path)
    (tmp_path / "20250603.dbn").write_bytes(b"DBNx")
    with pytest.raises(InputError, match=r"20250603\.dbn"):
        days(tmp_path)
