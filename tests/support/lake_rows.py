"""Made-up rows of every topic's table, the same for the same seed: few levels, prices on quarters, two sessions."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.catalog import Catalog

from common import iceberg, schemas, topics
from common.schemas import Field, RecordSchema
from lakehouse.commits import Commit, Committed, Mark, claim, commit_batch
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table
from tests.support.lake import PATIENCE, SOURCE

SESSIONS = (20240102, 20240103)
SESSION_NS = (1_704_205_800_000_000_000, 1_704_292_200_000_000_000)
"""09:30 in New York."""
SPACING_NS = 20_000_000_000
EXPIRY_DAY = 19_725
"""The second session's date, in days since 1970-01-01."""
LEVELS = ("ROUND_470", "ROUND_471", "VWAP", "CALL_WALL_475", "PUT_WALL_465")
KINDS = ("ROUND", "ROUND", "VWAP", "CALL_WALL", "PUT_WALL")
STRIKES = (465.0, 470.0, 475.0)
EPISODES = 30

_STAMP = pa.timestamp("us", tz="UTC")


def rows(topic: str, count: int, seed: int = 1, first_offset: int = 0) -> pa.Table:
    """``count`` rows of the topic's table in offset order, of partition 0."""
    record = schemas.load(topic)
    random = np.random.default_rng([seed, sum(topic.encode())])
    place = np.arange(count)
    late = place >= count // 2
    times = np.where(late, SESSION_NS[1], SESSION_NS[0]) + (place % max(1, count // 2)) * SPACING_NS
    levels = place % len(LEVELS)
    given: dict[str, Any] = {
        "event_id": place + first_offset,
        "ts_event_ns": times,
        "ts_recv_ns": times + 1_000_000 + place % 7 * 250_000,
        "ts_effective_ns": times,
        "session_date": np.where(late, SESSIONS[1], SESSIONS[0]),
        "underlying": ["SPY"] * count,
        "level_id": [LEVELS[n] for n in levels],
        "level_kind": [KINDS[n] for n in levels],
        "snap_row": np.zeros(count, np.int64),
        "snap_rows": np.ones(count, np.int64),
        "ts_touch_ns": times,
        "ts_passage_ns": [None if n % 4 == 0 else int(times[n]) + n * 250_000_000 for n in range(count)],
        "episode_id": [f"{LEVELS[n % len(LEVELS)]}-{n % EPISODES}" for n in range(count)],
        "exp_date": np.full(count, EXPIRY_DAY),
    }
    columns = {
        field.name: pa.array(given[field.name], field.arrow) if field.name in given else _made(field, count, random)
        for field in record.fields
    }
    micros = pa.array(times // 1000).cast(_STAMP)
    columns |= {
        "ts_event": micros,
        "_partition": pa.array(np.zeros(count, np.int32)),
        "_offset": pa.array(place + first_offset, pa.int64()),
        "_schema_id": pa.array(np.full(count, 7, np.int32)),
        "_ingested_at": micros,
    }
    return pa.table(columns)


def _made(field: Field, count: int, random: np.random.Generator) -> pa.Array:
    if field.kind == "array":
        return pa.array([[] for _ in range(count)], field.arrow)
    if field.kind == "enum":
        values: Any = [field.symbols[n] for n in random.integers(0, len(field.symbols), count)]
    elif field.kind == "string":
        values = [f"{field.name}-{n}" for n in random.integers(0, 3, count)]
    elif field.kind == "boolean":
        values = random.integers(0, 4, count) > 0
    elif field.kind == "double" and ("wall" in field.name or field.name == "strike"):
        values = random.choice(STRIKES, count)
    elif field.kind == "double":
        values = 470.0 + random.integers(0, 40, count) / 4
    else:
        values = random.integers(1, 50, count)
    missing = random.integers(0, 5, count) == 0 if field.nullable else None
    return pa.array(values, field.arrow, mask=missing)


def fill(catalog: Catalog, topic: str, count: int, *, begin: int | None = None, seed: int = 1) -> int:
    """Append rows to the topic's table, made if it is not there; the commit's snapshot."""
    name = iceberg.TABLES[topic]
    record: RecordSchema = schemas.load(topic)
    ensure_table(catalog, name, topic, record)
    store = IcebergStore(catalog, name, topic)
    claim(store, "me", SOURCE, [0], PATIENCE)
    table = rows(topic, count, seed, begin or 0)
    end = (begin or 0) + count
    marks = {0: Mark(int(table["ts_event_ns"][-1].as_py()), 0)} if topic in (topics.FEATURES, topics.SIGNALS) else {}
    commit = Commit(uuid.uuid4().hex, "me", SOURCE, {0: begin}, {0: end}, marks, table)
    outcome = commit_batch(store, commit, PATIENCE)
    assert isinstance(outcome, Committed)
    return outcome.snapshot_id
