"""The catalog's namespaces, made by several processes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog

from common import iceberg


@pytest.fixture
def catalog(home: Path) -> Catalog:
    return iceberg.open_catalog()


def test_a_namespace_that_somebody_makes_between_look_and_insert_is_there(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = catalog.namespace_exists

    def overtaken(name: Any) -> bool:
        monkeypatch.setattr(catalog, "namespace_exists", original)
        catalog.create_namespace(name)
        return False

    monkeypatch.setattr(catalog, "namespace_exists", overtaken)
    iceberg.ensure_namespace(catalog, "gold")
    iceberg.ensure_namespace(catalog, "gold")
    assert catalog.list_namespaces() == [("gold",)]


def test_a_namespace_that_cannot_be_made_is_an_error(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(catalog, "create_namespace", refused)
    with pytest.raises(OSError, match="read-only"):
        iceberg.ensure_namespace(catalog, "gold")
