from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from common import iceberg


@pytest.fixture
def catalog(home: Path) -> Catalog:
    """The embedded catalog of a home of the test's own."""
    return iceberg.open_catalog()
