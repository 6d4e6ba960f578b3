"""Reading and parsing DBN files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import databento
import numpy as np
import pytest
import zstandard

from common.columns import Batch, concat, string_list
from common.errors import InputError
from common.schemas import load
from common.settings import settings
from common.topics import FUTURES_MBP10, FUTURES_TRADES
from producers import dbn
from producers.dbn.file import LAYOUTS, DbnFile
from producers.live.arrivals import Bad
from tests.support import dbn_files

VENDOR_FILES = ("esh4-20231225.mbp-10.dbn.zst", "esh4-20231225.trades.dbn.zst")


def sample(*parts: str) -> Path:
    return settings().sample_data.joinpath(*parts)


def read_all(*paths: Path, chunk: int = dbn.CHUNK_RECORDS) -> Batch:
    return concat(list(dbn.read(paths, chunk)))


def symbols_of(batch: Batch, field: str) -> list[str]:
    names = load(batch.name).field(field).symbols
    return [names[code] for code in batch[field].tolist()]


@pytest.mark.parametrize("name", VENDOR_FILES)
def test_every_value_of_the_sample_session_is_as_the_vendors_reader_has_it(name: str) -> None:
    path = sample("es", name)
    truth = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
    batch = read_all(path)
    assert batch.length == len(truth)
    for ours, theirs in {
        "ts_event_ns": "ts_event",
        "ts_recv_ns": "ts_recv",
        "seq": "sequence",
        "size": "size",
        "flags": "flags",
        "instrument_id": "instrument_id",
    }.items():
        assert np.array_equal(batch[ours], truth[theirs].astype(np.int64)), ours
    assert np.array_equal(batch["price"], truth["price"] / 1e9)
    assert set(string_list(batch.columns["symbol"])) == {"ESH4"}
    assert set(string_list(batch.columns["source"])) == {"databento"}
    if batch.name == FUTURES_MBP10:
        for level in range(10):
            for side in ("bid", "ask"):
                assert np.array_equal(batch[f"{side}_px_{level + 1}"], truth[f"{side}_px_{level:02d}"] / 1e9)
                assert np.array_equal(batch[f"{side}_sz_{level + 1}"], truth[f"{side}_sz_{level:02d}"])
                assert np.array_equal(batch[f"{side}_ct_{level + 1}"], truth[f"{side}_ct_{level:02d}"])


def test_a_batch_has_the_columns_and_types_of_its_schema() -> None:
    for name in VENDOR_FILES:
        batch = next(dbn.read([sample("es", name)], 100))
        schema = load(batch.name)
        assert list(batch.columns) == [field.name for field in schema.fields]
        for field in schema.fields:
            column = batch.columns[field.name]
            assert column.values.dtype == field.dtype, field.name
            assert (column.valid is not None) == field.nullable, field.name


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("name", ["a.dbn", "a.dbn.zst"])
@pytest.mark.parametrize("schema", ["mbp-10", "trades"])
def test_every_version_plain_or_compressed_reads_alike(tmp_path: Path, version: int, name: str, schema: str) -> None:
    rows = dbn_files.records(schema, range(10))
    batch = read_all(dbn_files.write(tmp_path / name, schema, rows, version))
    assert batch.length == 10
    assert batch["ts_event_ns"].tolist() == [dbn_files.BASE_NS + i for i in range(10)]


def test_the_vendors_own_version_3_files_are_read() -> None:
    book = read_all(sample("dbn", "GLBX.MDP3", "test_data.mbp-10.dbn.zst"))
    trades = read_all(sample("dbn", "GLBX.MDP3", "test_data.trades.dbn.zst"))
    assert (book.name, book.length) == (FUTURES_MBP10, 4)
    assert (trades.name, trades.length) == (FUTURES_TRADES, 4)


def test_a_venue_beyond_cme_is_named_by_the_vendors_table() -> None:
    trades = read_all(sample("dbn", "XNAS.ITCH", "test_data.trades.dbn.zst"))
    assert set(string_list(trades.columns["venue"])) == {"XNAS"}


def test_records_with_a_send_time_are_read(tmp_path: Path) -> None:
    rows = dbn_files.records("trades", [1, 2, 3])
    wide = np.zeros(3, np.dtype([*rows.dtype.descr, ("ts_out", "<u8")]))
    for field in rows.dtype.names or ():
        wide[field] = rows[field]
    wide["length"] = wide.dtype.itemsize // 4
    path = dbn_files.write(tmp_path / "live.dbn", "trades", wide, ts_out=True)
    assert read_all(path)["ts_event_ns"].tolist() == rows["ts_event"].tolist()


def test_an_absent_level_is_null_in_price_size_and_count(tmp_path: Path) -> None:
    rows = dbn_files.records("mbp-10", [1, 2])
    rows["bid_px_00"][1], rows["bid_sz_00"][1], rows["bid_ct_00"][1] = 5_999_750_000_000, 7, 2
    rows["bid_sz_03"] = 9
    batch = read_all(dbn_files.write(tmp_path / "b.dbn", "mbp-10", rows))
    for field, value in (("bid_px_1", 5999.75), ("bid_sz_1", 7), ("bid_ct_1", 2)):
        column = batch.columns[field]
        assert column.valid is not None and column.valid.tolist() == [False, True]
        assert column.values[1] == value
    size = batch.columns["bid_sz_4"]
    assert size.valid is not None and not size.valid.any()


def test_letters_become_symbols_and_the_trades_side_its_aggressor(tmp_path: Path) -> None:
    book = dbn_files.records(
        "mbp-10", range(7), action=np.array([*b"ACMRTFN"], np.uint8).view("S1"), side=b"N", flags=32
    )
    batch = read_all(dbn_files.write(tmp_path / "b.dbn", "mbp-10", book))
    assert symbols_of(batch, "action") == ["ADD", "CANCEL", "MODIFY", "CLEAR", "TRADE", "FILL", "NONE"]
    assert batch["is_snapshot"].all()
    trades = dbn_files.records("trades", range(3), side=np.array([*b"ABN"], np.uint8).view("S1"))
    batch = read_all(dbn_files.write(tmp_path / "t.dbn", "trades", trades))
    assert symbols_of(batch, "aggressor") == ["SELL", "BUY", "MID"]


def test_a_symbol_follows_the_mapping_of_its_day(tmp_path: Path) -> None:
    midnight = 1_748_995_200_000_000_000 - dbn_files.BASE_NS
    day = dt.date(2025, 6, 3)

    def until(begin: dt.date, days: int) -> SimpleNamespace:
        return SimpleNamespace(start_date=begin, end_date=begin + dt.timedelta(days=days), symbol="17077")

    mappings = [
        SimpleNamespace(raw_symbol="ESM5", intervals=[until(day, 1)]),
        SimpleNamespace(raw_symbol="ESU5", intervals=[until(day + dt.timedelta(days=1), 1)]),
    ]
    rows = dbn_files.records(
        "trades", [1, midnight - 1, midnight, midnight + 2], instrument_id=[17077, 17077, 17077, 9]
    )
    batch = read_all(dbn_files.write(tmp_path / "t.dbn", "trades", rows, mappings=mappings))
    assert string_list(batch.columns["symbol"]) == ["ESM5", "ESM5", "ESU5", "9"]
    assert batch["instrument_id"].tolist() == [17077, 17077, 17077, 9]


# What cannot be read


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere\.dbn does not exist"):
        read_all(Path("nowhere.dbn"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"DB", "is not a DBN file"),
        (b"ts,price\n1,2\n", "is not a DBN file"),
        (zstandard.compress(b"ts,price\n1,2\n"), "is not a DBN file"),
        (zstandard.compress(b"ts,price\n1,2\n")[:9], "truncated"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 99, "zstd stream is damaged"),
        (b"DBN\x04" + bytes(200), "is DBN version 4; versions 1 to 3 can be read"),
        (b"DBN\x03\xff\xff\xff\xff", "claims 4294967295 bytes"),
        (b"DBN\x03\x64\x00\x00\x00" + bytes(50), "ends inside its header"),
        (b"DBN\x03\x64\x00\x00\x00" + b"\xff" * 100, "metadata cannot be read"),
    ],
)
def test_a_foreign_or_damaged_header_is_refused_with_a_hint(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "x.dbn"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        read_all(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("schema", ["mbo", "mbp-1", "statistics", "ohlcv-1s"])
def test_another_schema_is_named_beside_those_that_are_read(schema: str) -> None:
    with pytest.raises(InputError, match=f"holds {schema} records; only mbp-10, trades, definition, status can be"):
        read_all(sample("dbn", "GLBX.MDP3", f"test_data.{schema}.dbn.zst"))


def read_until_damage(path: Path, chunk: int) -> tuple[list[int], str]:
    """Event times of what was handed out, and the complaint that followed."""
    times: list[int] = []
    with pytest.raises(InputError) as caught:
        for batch in dbn.read([path], chunk):
            times.extend(batch["ts_event_ns"].tolist())
    return times, str(caught.value)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_truncated_file_keeps_what_was_read(tmp_path: Path, chunk: int) -> None:
    rows = dbn_files.records("trades", range(10))
    whole = dbn_files.content("trades", rows)
    path = tmp_path / "cut.dbn"
    path.write_bytes(whole[:-20])
    times, problem = read_until_damage(path, chunk)
    assert times == rows["ts_event"][:9].tolist()
    assert "ends inside record 9: 28 of its 48 bytes are there" in problem


@pytest.mark.parametrize("chunk", [1_000, 100_000])
def test_a_truncated_zstd_stream_keeps_every_whole_record_before_its_end(tmp_path: Path, chunk: int) -> None:
    whole = sample("es", VENDOR_FILES[0])
    path = tmp_path / "cut.dbn.zst"
    rest = whole.read_bytes()[:400_000]
    path.write_bytes(rest)
    times, problem = read_until_damage(path, chunk)
    all_times = read_all(whole)["ts_event_ns"]
    record_bytes = LAYOUTS["mbp-10"].dtype.itemsize
    content, there = (
        zstandard.ZstdDecompressor().decompressobj().decompress(raw) for raw in (whole.read_bytes(), rest)
    )
    header_bytes = len(content) - len(all_times) * record_bytes
    assert len(times) == (len(there) - header_bytes) // record_bytes
    assert times == all_times[: len(times)].tolist()
    assert "truncated: the file ends at byte 400000 inside a frame" in problem
    assert f"after {len(times)} whole records" in problem


def test_several_zstd_frames_are_one_file(tmp_path: Path) -> None:
    whole = dbn_files.content("trades", dbn_files.records("trades", range(10)))
    path = tmp_path / "frames.dbn.zst"
    path.write_bytes(b"".join(zstandard.compress(whole[i : i + 100]) for i in range(0, len(whole), 100)))
    assert read_all(path).length == 10


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("rtype", 160, "record 6 is no trades record: rtype 160 and 48 bytes, not rtype 0 and 48 bytes"),
        ("length", 11, "record 6 is no trades record"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_a_record_that_is_none_stops_the_file_after_the_good_ones(
    tmp_path: Path, field: str, value: object, problem: str, chunk: int
) -> None:
    rows = dbn_files.records("trades", range(10))
    rows[field][6] = value
    times, told = read_until_damage(dbn_files.write(tmp_path / "t.dbn", "trades", rows), chunk)
    assert times == rows["ts_event"][:6].tolist()
    assert problem in told


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("side", b"X", "side is 'X', which means nothing here"),
        ("size", 2**31, "size is 2147483648, more than 2147483647"),
        ("price", 2**63 - 1, "a trade without a price"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_a_trade_that_the_topic_cannot_hold_is_set_aside_and_the_others_go_on(
    tmp_path: Path, field: str, value: object, problem: str, chunk: int
) -> None:
    rows = dbn_files.records("trades", range(10))
    rows[field][[6, 9]] = value
    rows["size"][7] = 2**32 - 1
    times, told = read_with_letters(dbn_files.write(tmp_path / "t.dbn", "trades", rows), chunk)
    assert times == rows["ts_event"][[0, 1, 2, 3, 4, 5, 8]].tolist()
    assert [bad.place for bad in told] == ["record 6", "record 7", "record 9"]
    assert told[0].error == problem
    assert told[0].value == rows[6:7].tobytes()


def read_with_letters(path: Path, chunk: int) -> tuple[list[int], list[Bad]]:
    """Times of the records, and what was set aside."""
    told: list[Bad] = []
    times: list[int] = []
    with dbn.DbnReader(path, lambda _, bad: told.append(bad)) as reader:
        while (batch := reader.read(chunk)) is not None:
            times += batch["ts_event_ns"].tolist()
    return times, told


def test_a_file_of_no_records_is_empty_and_fine(tmp_path: Path) -> None:
    path = dbn_files.write(tmp_path / "none.dbn", "trades", dbn_files.records("trades", []))
    assert list(dbn.read([path])) == []
    with DbnFile(path) as file:
        assert len(file.read(10)) == 0


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("action", b"X", "action is 'X', which means nothing here"),
        ("action", b"", "action is '\\x00', which means nothing here"),
        ("side", b"Q", "side is 'Q', which means nothing here"),
        ("size", 2**31, "size is 2147483648, more than 2147483647"),
        ("bid_sz_00", 2**31, "bid_sz_00 is 2147483648, more than 2147483647"),
        ("ask_ct_09", 2**32 - 1, "ask_ct_09 is 4294967295, more than 2147483647"),
    ],
)
def test_a_book_record_that_the_topic_cannot_hold_is_set_aside_and_the_others_go_on(
    tmp_path: Path, field: str, value: object, problem: str
) -> None:
    rows = dbn_files.records("mbp-10", range(100))
    rows[field][70] = value
    times, told = read_with_letters(dbn_files.write(tmp_path / "b.dbn", "mbp-10", rows), 100)
    assert times == np.delete(rows["ts_event"], 70).tolist()
    assert [(bad.error, bad.place) for bad in told] == [(problem, "record 70")]


def test_levels_that_come_and_go_are_null_while_they_are_gone(tmp_path: Path) -> None:
    there = np.arange(200) % 3 > 0
    prices = np.where(np.arange(200) < 100, 6_000_250_000_000, 6_000_500_000_000)
    rows = dbn_files.records("mbp-10", range(200))
    rows["ask_px_04"] = np.where(there, prices, 2**63 - 1)
    rows["ask_sz_04"], rows["ask_ct_04"] = 7, 2
    batch = read_all(dbn_files.write(tmp_path / "b.dbn", "mbp-10", rows))
    for name, values in (("px", prices / 1e9), ("sz", np.full(200, 7)), ("ct", np.full(200, 2))):
        column = batch.columns[f"ask_{name}_5"]
        assert column.valid is not None
        assert column.valid.tolist() == there.tolist()
        assert column.values.tolist() == np.where(there, values, 0).tolist()
    beside = batch.columns["ask_px_4"]
    assert beside.valid is not None and not beside.valid.any()
