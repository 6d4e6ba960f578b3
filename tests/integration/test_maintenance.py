"""Maintenance with the real parts: on MinIO behind a REST catalog, by our own code and by Trino's procedures."""

from __future__ import annotations

import pytest
from pyiceberg.table import Table

from common import iceberg, schemas
from common.errors import ConfigError, UnavailableError
from infra.local.trino import CATALOG
from lakehouse import read
from lakehouse.commits import claim, commit_batch
from lakehouse.maintenance import manifests
from lakehouse.maintenance.procedures import Trino
from lakehouse.maintenance.upkeep import Bounds, maintain
from lakehouse.store import IcebergStore
from lakehouse.tables import HOUR_NS, ensure_table
from tests.support import lake_servers
from tests.support.lake import PATIENCE, SOURCE, START_NS, TABLE, TOPIC, batch, rows

HOURS, EACH = 3, 7


@pytest.fixture
def store(rest_lake: dict[str, str]) -> IcebergStore:
    """A table of three hours with seven files each, written backwards in time within its hour."""
    catalog = iceberg.open_catalog()
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    made = IcebergStore(catalog, TABLE, TOPIC)
    claim(made, "me", SOURCE, [0], PATIENCE)
    for number in range(HOURS * EACH):
        one = rows(number, at_ns=lambda n: START_NS + n // EACH * HOUR_NS + (100 - n) * 1_000)
        commit_batch(made, batch(number or None, number + 1, table=one), PATIENCE)
    return made


def table() -> Table:
    found = iceberg.load_table(TABLE)
    assert found is not None
    return found


def stands(count: int) -> None:
    """All rows are there once, and the offsets are as the sink left them."""
    assert sorted(iceberg.scan(TABLE, columns=["_offset"])["_offset"].to_pylist()) == list(range(count))
    assert read.committed_offsets(TABLE) == {(TOPIC, 0): count}


def test_own_packing_on_an_object_store_keeps_rows_and_offsets_and_the_sink_goes_on(store: IcebergStore) -> None:
    done = maintain(table(), Bounds())
    assert (done.files_before, done.files_after) == (HOURS * EACH, HOURS - 1 + EACH)
    stands(HOURS * EACH)
    commit_batch(store, batch(HOURS * EACH, HOURS * EACH + 1), PATIENCE)
    stands(HOURS * EACH + 1)


def test_trino_packs_and_merges_where_it_is_configured_and_the_sink_goes_on(
    store: IcebergStore, trino: lake_servers.Trino
) -> None:
    asked = Trino(f"http://{trino.host}:{trino.port}/{CATALOG}")
    done = maintain(table(), Bounds(), asked)
    assert done.files_after == HOURS
    asked.merge_manifests(table())
    assert manifests.manifest_count(table()) <= HOURS
    stands(HOURS * EACH)
    commit_batch(store, batch(HOURS * EACH, HOURS * EACH + 1), PATIENCE)
    stands(HOURS * EACH + 1)


def test_a_trino_that_does_not_answer_or_is_named_wrongly_says_what_to_do(store: IcebergStore) -> None:
    with pytest.raises(UnavailableError, match="did not run") as caught:
        Trino("http://127.0.0.1:1/iceberg").merge_manifests(table())
    assert "BREAKWATER_TRINO_URL" in str(caught.value.hint)
    for wrong in ("127.0.0.1:8080/iceberg", "http://127.0.0.1:8080", "http://127.0.0.1:8080/a/b"):
        with pytest.raises(ConfigError, match="trino_url"):
            Trino(wrong)
