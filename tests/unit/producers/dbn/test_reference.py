"""Contract definitions and trading status from DBN records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import databento
import databento_dbn
import numpy as np
import pytest

from common.columns import Batch, concat, string_list
from common.schemas import load
from common.settings import settings
from common.topics import FUTURES_DEFINITIONS, FUTURES_STATUS
from producers import dbn
from producers.dbn import reference
from producers.dbn.symbols import NS_PER_DAY, Interval, SymbolMap
from tests.support import dbn_files

DAY_NS = dbn_files.BASE_NS // NS_PER_DAY * NS_PER_DAY
MAP = SymbolMap((Interval(17077, DAY_NS, DAY_NS + NS_PER_DAY, "ES.c.0", is_front=True),))


def of_vendor(schema: str) -> tuple[Batch, list[Any]]:
    """The vendor's own test file as batch, and as the vendor reads it."""
    path = settings().sample_data / "dbn" / "GLBX.MDP3" / f"test_data.{schema}.dbn.zst"
    return concat(list(dbn.read([path]))), list(databento.DBNStore.from_bytes(path.read_bytes()))


def test_a_definition_says_what_the_vendors_record_says() -> None:
    batch, records = of_vendor("definition")
    assert batch.name == FUTURES_DEFINITIONS
    assert batch.length == len(records)
    assert string_list(batch.columns["raw_symbol"]) == [record.raw_symbol for record in records]
    assert string_list(batch.columns["asset"]) == [record.asset for record in records]
    assert batch["expiration_ns"].tolist() == [record.expiration for record in records]
    assert batch["tick_size"].tolist() == [record.pretty_min_price_increment for record in records] == [0.25]
    assert batch["multiplier"].tolist() == [record.pretty_unit_of_measure_qty for record in records] == [50.0]
    assert batch["ts_recv_ns"].tolist() == [record.ts_recv for record in records]


def test_a_status_says_what_the_vendors_record_says() -> None:
    batch, records = of_vendor("status")
    names = load(FUTURES_STATUS).field("action").symbols
    assert batch.length == len(records)
    assert [names[code] for code in batch["action"].tolist()] == ["TRADING", "PRE_OPEN", "PRE_OPEN", "OTHER"]
    assert batch["is_trading"].tolist() == [record.is_trading for record in records]
    assert batch["reason"].tolist() == [int(record.reason) for record in records]
    assert len(set(batch["event_id"].tolist())) == len(records)


def test_what_is_not_known_is_null() -> None:
    rows = dbn_files.records("status", [0, 1], is_trading=b"~", reason=0)
    batch, _ = reference.statuses(rows, MAP, "databento")
    for field in ("is_trading", "reason"):
        assert not np.asarray(batch.columns[field].valid).any()
    rows = dbn_files.records("definition", [0], unit_of_measure_qty=2**63 - 1, min_price_increment=2**63 - 1)
    batch, _ = reference.definitions(rows, MAP, "databento")
    for field in ("expiration_ns", "tick_size", "multiplier"):
        assert not np.asarray(batch.columns[field].valid).any()


def test_the_contract_that_a_continuous_symbol_means_is_the_front() -> None:
    rows = dbn_files.records("definition", [0, 1], instrument_id=[17077, 42])
    batch, _ = reference.definitions(rows, MAP, "databento")
    assert batch["is_front"].tolist() == [True, False]
    other = SymbolMap((Interval(17077, DAY_NS, DAY_NS + NS_PER_DAY, "ESM5"),))
    assert not reference.definitions(rows, other, "databento")[0]["is_front"].any()


def test_a_snapshot_of_an_old_event_means_its_own_day() -> None:
    rows = dbn_files.records("definition", [-3 * NS_PER_DAY], ts_recv=DAY_NS)
    assert reference.definitions(rows, MAP, "databento")[0]["is_front"].all()
    rows = dbn_files.records("status", [-3 * NS_PER_DAY], ts_recv=DAY_NS)
    assert string_list(reference.statuses(rows, MAP, "databento")[0].columns["symbol"]) == ["ES.c.0"]


@pytest.mark.parametrize("schema", ["definition", "status"])
def test_files_of_every_version_read_alike(tmp_path: Path, schema: str) -> None:
    newest = dbn_files.records(schema, range(5))
    batches = []
    for version in (1, 2, 3):
        rows = newest
        if schema == "definition" and version < 3:
            kind = {1: databento_dbn.InstrumentDefMsgV1, 2: databento_dbn.InstrumentDefMsgV2}[version]
            rows = np.zeros(5, np.dtype(kind._dtypes))
            for name in rows.dtype.names or ():
                if name in (newest.dtype.names or ()):
                    rows[name] = newest[name]
            rows["length"] = rows.dtype.itemsize // 4
        path = dbn_files.write(tmp_path / f"{version}.dbn", schema, rows, version)
        batches.append(concat(list(dbn.read([path]))))
    for batch in batches[:2]:
        for field, column in batch.columns.items():
            assert np.array_equal(column.values, batches[2][field]), field
