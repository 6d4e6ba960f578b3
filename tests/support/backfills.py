"""What the tables of a backfill hold."""

from __future__ import annotations

from typing import Any

from common import iceberg, schemas
from common.content import ContentDigest
from producers.replay.outputs import KINDS


def digests(name: str) -> dict[str, dict[str, str]]:
    """Per session and kind the digest of what the run's tables hold, in its order."""
    out: dict[str, dict[str, str]] = {}
    for kind, topic in KINDS.items():
        rows = iceberg.scan(table_name(name, topic)).sort_by("_row")
        for date in sorted(set(rows["_session"].to_pylist())):
            digest = ContentDigest(schemas.load(topic).arrow.names)
            digest.update(rows.filter([one == date for one in rows["_session"].to_pylist()]))
            out.setdefault(str(date), {})[kind] = digest.hexdigest()
    return out


def table_name(name: str, topic: str) -> str:
    """The run's table of the topic."""
    return f"backfill_{name}.{iceberg.TABLES[topic].rpartition('.')[2]}"


def assert_same_rows(name: str, report: dict[str, Any], other: str, others: dict[str, Any]) -> None:
    """The run reported what the other did, and its tables hold the same rows."""
    assert report["sessions"] == others["sessions"] and report["rows"] == others["rows"]
    assert digests(name) == digests(other)
