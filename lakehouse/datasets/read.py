"""Reading a training set: the rows of its tagged snapshot, and the proof that they are the ones it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan, NotNull, Reference
from pyiceberg.expressions.literals import literal
from pyiceberg.table import Table

from common import iceberg
from common.content import ContentDigest
from common.errors import InputError, InvariantError
from lakehouse.datasets.manifest import Dataset
from lakehouse.silver.hours import within

if TYPE_CHECKING:
    import polars

TABLE = "gold.training_es_pipeline"


def rows(dataset: Dataset) -> pa.Table:
    """The training set as Arrow, in the order (ts_event_ns, level_id).

    Raises InvariantError when the tables no longer give the rows that it was made of, InputError when its table or
    snapshot is gone.
    """
    found = selected(table_of(TABLE), dataset)
    digest = digest_of(found, dataset)
    if digest != dataset.digest:
        raise InvariantError(
            f"the training set {dataset.name} has the digest {digest}, it was made with {dataset.digest}",
            hint="The table's files or its snapshot were changed after it was made. Make it anew under another name.",
        )
    return found


def to_pandas(dataset: Dataset) -> Any:
    """The training set as a pandas DataFrame; errors as `rows`."""
    return rows(dataset).to_pandas()


def to_polars(dataset: Dataset) -> polars.DataFrame:
    """The training set as a Polars DataFrame; errors as `rows`."""
    import polars

    return polars.DataFrame(rows(dataset))


def selected(table: Table, dataset: Dataset) -> pa.Table:
    """The rows of the dataset's snapshot that belong to it, in its order, with its columns."""
    snapshot_id = dataset.snapshots[TABLE]
    if table.snapshot_by_id(snapshot_id) is None:
        raise InputError(
            f"the snapshot {snapshot_id} of {TABLE} is gone", hint=f"Its tag {dataset.tag} was removed by hand."
        )
    times = And(
        GreaterThanOrEqual(term=Reference("ts_event_ns"), value=literal(dataset.from_ns)),
        LessThan(term=Reference("ts_event_ns"), value=literal(dataset.until_ns)),
    )
    where = And(And(within(dataset.from_ns, dataset.until_ns), times), NotNull(term=Reference(dataset.label)))
    scan = table.scan(row_filter=where, selected_fields=dataset.columns, snapshot_id=snapshot_id)
    found = scan.to_arrow().select(list(dataset.columns))
    return found.sort_by([("ts_event_ns", "ascending"), ("level_id", "ascending")]).combine_chunks()


def digest_of(found: pa.Table, dataset: Dataset) -> str:
    """The digest of the training set's rows."""
    digest = ContentDigest(dataset.columns)
    digest.update(found)
    return digest.hexdigest()


def table_of(name: str) -> Table:
    """The table. Raises InputError when it does not exist."""
    table = iceberg.load_table(name)
    if table is None or table.current_snapshot() is None:
        raise InputError(
            f"the table {name} has no rows yet",
            hint="Rows of episodes are stored while sessions run; ./breakwater silver --once computes the rest.",
        )
    return table
