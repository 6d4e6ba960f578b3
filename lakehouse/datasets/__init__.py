"""Training sets that can be had again: rows of tagged snapshots, named once, with a digest of what is in them."""

from __future__ import annotations

from lakehouse.datasets.create import create
from lakehouse.datasets.manifest import Dataset, find, listed
from lakehouse.datasets.read import rows, to_pandas, to_polars

__all__ = ["Dataset", "create", "find", "listed", "rows", "to_pandas", "to_polars"]
