"""The digest depends on the signals and on nothing else."""

from __future__ import annotations

import pyarrow as pa
import pytest

from common import schemas, topics
from common.digest import SignalsDigest, signals_digest
from common.errors import InvariantError

SCHEMA = schemas.load(topics.SIGNALS)


def table(times: list[int], **changes: object) -> pa.Table:
    columns = {}
    for field in SCHEMA.fields:
        if field.name == "ts_event_ns":
            columns[field.name] = times
        elif field.name == "level_id":
            columns[field.name] = [f"ROUND_{t % 7}" for t in times]
        elif field.name in changes:
            columns[field.name] = [changes[field.name]] * len(times)
        elif field.nullable:
            columns[field.name] = [None] * len(times)
        else:
            zero = {"string": "", "enum": "NEUTRAL", "boolean": False, "double": 0.0}.get(field.kind, 0)
            columns[field.name] = [zero] * len(times)
    return pa.table(columns, schema=SCHEMA.arrow)


def test_the_digest_is_the_same_however_the_rows_arrive() -> None:
    whole = table(list(range(150_000)))
    expected = signals_digest(whole)
    for size in (1_000, 65_536, 149_999):
        digest = SignalsDigest()
        for at in range(0, whole.num_rows, size):
            digest.update(whole.slice(at, size))
        assert digest.hexdigest() == expected


def test_asking_for_the_digest_does_not_change_it() -> None:
    rows = table([1, 2, 3])
    digest = SignalsDigest()
    digest.update(rows.slice(0, 1))
    digest.hexdigest()
    digest.update(rows.slice(1))
    assert digest.hexdigest() == signals_digest(rows)


def test_order_of_the_table_does_not_matter_and_other_columns_do_not_count() -> None:
    rows = table([1, 2, 3])
    stored = rows.take([2, 0, 1]).append_column("_offset", pa.array([5, 6, 7]))
    assert signals_digest(stored) == signals_digest(rows)


@pytest.mark.parametrize(
    ("column", "value"),
    [("break_score_raw", 1e-300), ("signal", "BREAK"), ("note", "x"), ("bid", 0.0), ("actionable", True)],
)
def test_any_changed_value_changes_the_digest(column: str, value: object) -> None:
    assert signals_digest(table([1, 2])) != signals_digest(table([1, 2], **{column: value}))


def test_a_duplicate_row_is_refused() -> None:
    with pytest.raises(InvariantError, match="ROUND_1"):
        signals_digest(table([1, 1]))
