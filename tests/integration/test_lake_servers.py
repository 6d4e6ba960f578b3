"""The local lake with real processes: MinIO, Iceberg's REST catalog and Trino, started, found again, and ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog

from common import iceberg
from common.errors import ConfigError, UnavailableError
from infra.local import stack
from tests.integration.test_local_stack import listening_addresses
from tests.support.lake_servers import Lake, Trino, catalog_environment
from tests.support.stack import environment

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


@pytest.fixture
def local(home: Path) -> Iterator[Path]:
    """A home whose lake is ended after the test."""
    with environment(BREAKWATER_KAFKA_BOOTSTRAP="elsewhere:9092", BREAKWATER_REGISTRY_URL="http://elsewhere"):
        yield home
        stack.down(home)


def test_a_home_with_a_lake_keeps_its_tables_there_over_down_and_up(local: Path) -> None:
    stack.up(local, parts=stack.lake_parts(with_trino=False))
    catalog = iceberg.open_catalog()
    assert isinstance(catalog, RestCatalog)
    rows = pa.table({"n": pa.array([1, 2, 3], pa.int64())})
    catalog.create_namespace("bronze")
    catalog.create_table("bronze.kept", rows.schema).append(rows)
    for part in stack.status(local):
        if part.pid is not None:
            assert listening_addresses(part.pid) <= LOOPBACK, f"{part.name} listens beyond loopback"

    assert sorted(stack.down(local)) == ["catalog", "minio"]
    with pytest.raises(UnavailableError, match="does not run") as caught:
        iceberg.open_catalog()
    assert "breakwater up" in str(caught.value.hint)

    assert stack.local_parts() == stack.LAKE, "an up without options starts it again"
    stack.up(local, parts=stack.local_parts())
    assert iceberg.scan("bronze.kept")["n"].to_pylist() == [1, 2, 3]


def test_a_home_has_one_catalog(home: Path, rest_servers: Lake) -> None:
    assert isinstance(iceberg.open_catalog(), SqlCatalog)
    with pytest.raises(ConfigError, match="embedded catalog"):
        stack.lake_parts(with_trino=False)
    with catalog_environment(rest_servers.properties), pytest.raises(ConfigError, match="configured already"):
        stack.lake_parts(with_trino=False)


def test_trino_sees_what_pyiceberg_wrote(rest_lake: dict[str, str], trino: Trino) -> None:
    rows = pa.table({"n": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", None]})
    catalog = iceberg.open_catalog()
    catalog.create_namespace("bronze")
    catalog.create_table("bronze.seen", rows.schema).append(rows)
    assert trino.ask("SELECT * FROM bronze.seen ORDER BY n") == (["n", "name"], [[1, "a"], [2, "b"], [3, None]])
