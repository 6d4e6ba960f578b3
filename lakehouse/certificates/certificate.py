"""What a session's certificate says, and how it is computed: from the tables, and from the topics while they have it.

A vendor's sequence numbers count a whole channel, so gaps in them mean nothing; what can be missing shows in two other
ways. Offsets between the session's first and last that stand neither in the table nor in the dead letters are records
that were lost (in topics that are written in transactions, the transactions' own marks take offsets too). And a feed
that lost its connection says so in the first record after the gap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThanOrEqual, Reference
from pyiceberg.expressions.literals import literal
from pyiceberg.table import Table

from common import iceberg, schemas, topics
from common.content import ContentDigest
from common.errors import InputError
from common.sessions import cme_es_sessions
from lakehouse.certificates.log import Letter, Log
from lakehouse.silver.dedup import deduplicated
from lakehouse.silver.hours import pieces_of_hour
from lakehouse.silver.pipeline import MARKET_TOPICS, silver_table
from lakehouse.silver.records import training as training_record
from lakehouse.tables import HOUR_NS

LEVELS = (topics.FEATURES, topics.SIGNALS, topics.OUTCOMES, topics.OPTIONS_FLOW)
"""Topics of results; they are written in transactions or may repeat rows, so their offsets have holes by nature."""


_KNOWN_TO_THE_BROKER = ("topic_records", "dead_letters", "missing_offsets")


@dataclass(frozen=True, slots=True)
class PartitionCount:
    """One topic-partition of a session.

    ``table_rows``: rows of the table from ``first_offset`` to ``last_offset``; ``topic_records``: records of the topic
    there, None when the topic no longer has them; ``missing_offsets``: of neither the table nor the dead letters.
    """

    first_offset: int
    last_offset: int
    table_rows: int
    topic_records: int | None
    dead_letters: int | None
    missing_offsets: int | None


@dataclass(frozen=True, slots=True)
class TopicCount:
    """One topic of a session: rows per layer within the session, gaps of its feed, and digests of the content."""

    partitions: Mapping[str, PartitionCount]
    table_rows: int
    distinct_events: int | None
    silver_rows: int | None
    feed_gaps: int
    digest: str
    silver_digest: str | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """All that is stored of a session, from ``from_ns`` to before ``until_ns`` of event time."""

    date: int
    from_ns: int
    until_ns: int
    topics: Mapping[str, TopicCount]
    training_rows: int
    training_digest: str
    findings: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """As JSON has it, with a digest over all of it."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
        return {**data, "digest": hashlib.sha256(canonical).hexdigest()}


def session_bounds(date: int) -> tuple[int, int]:
    """From the close before to the close, ns. Raises InputError for a date without a session of ES."""
    sessions = cme_es_sessions()
    place = int(np.searchsorted(sessions.date, date))
    if place == len(sessions.date) or int(sessions.date[place]) != date:
        raise InputError(f"{date} is no session of ES", hint="Sessions are listed in common/cme_es_sessions.csv.")
    return int(sessions.close_ns[max(place - 1, 0)]), int(sessions.close_ns[place])


def certify(date: int, log: Log | None, namespace: str = "") -> Certificate:
    """Count and hash the session. ``log``: None when no broker is to be had; then its layer is unknown.

    Raises InputError when nothing is stored of the session.
    """
    begin_ns, end_ns = session_bounds(date)
    letters = None if log is None else log.letters()
    counted: dict[str, TopicCount] = {}
    for topic in (*MARKET_TOPICS, *LEVELS):
        found = _topic(topic, topics.full_name(topic, namespace), begin_ns, end_ns, log, letters)
        if found is not None:
            counted[topic] = found
    if not counted:
        raise InputError(
            f"nothing is stored of the session {date}",
            hint='Those there are: ./breakwater query "SELECT DISTINCT session_date FROM gold.levels_signals"',
        )
    digest = ContentDigest([field.name for field in training_record().fields])
    table = iceberg.load_table("gold.training_es_pipeline")
    for rows in _session_rows(table, begin_ns, end_ns, ("ts_event_ns", "level_id")):
        digest.update(rows)
    findings = tuple(finding for topic, found in counted.items() for finding in _findings(topic, found))
    return Certificate(date, begin_ns, end_ns, counted, digest.rows, digest.hexdigest(), findings)


def difference(stored: Any, now: Any, path: str = "") -> str | None:
    """Where two certificates' data differ first, as words; None when they agree.

    What either does not know (the topics' layer, once the broker has let go of it) is passed over.
    """
    if isinstance(stored, dict) and isinstance(now, dict):
        for key in sorted({*stored, *now}):
            # They say the same in other words, or count what a broker may have let go of.
            if path == "" and key in ("digest", "findings"):
                continue
            found = difference(stored.get(key), now.get(key), f"{path}.{key}" if path else key)
            if found is not None:
                return found
        return None
    unknown = path.rpartition(".")[2] in _KNOWN_TO_THE_BROKER and None in (stored, now)
    return None if stored == now or unknown else f"{path} was {stored!r}, is {now!r}"


def _topic(
    topic: str, full_name: str, begin_ns: int, end_ns: int, log: Log | None, letters: frozenset[Letter] | None
) -> TopicCount | None:
    table = iceberg.load_table(iceberg.TABLES[topic])
    names = schemas.load(topic).arrow.names
    digest, silver_digest = ContentDigest(names), ContentDigest(names)
    bounds: dict[int, tuple[int, int]] = {}
    distinct = gaps = 0
    for rows in _session_rows(table, begin_ns, end_ns, ("ts_event_ns", "_partition", "_offset")):
        digest.update(_with_columns(rows, topic))
        if topic in MARKET_TOPICS:
            distinct += deduplicated(rows).num_rows
        if "gap_begin_ns" in rows.column_names:
            gaps += rows.num_rows - rows["gap_begin_ns"].null_count
        found = rows.group_by("_partition").aggregate([("_offset", "min"), ("_offset", "max")])
        for row in found.to_pylist():
            low, high = bounds.get(row["_partition"], (row["_offset_min"], row["_offset_max"]))
            bounds[row["_partition"]] = min(low, row["_offset_min"]), max(high, row["_offset_max"])
    if table is None or not bounds:
        return None
    silver = iceberg.load_table(silver_table(topic)) if topic in MARKET_TOPICS else None
    for rows in _session_rows(silver, begin_ns, end_ns, ("ts_event_ns", "_partition", "_offset")):
        silver_digest.update(_with_columns(rows, topic))
    partitions = {
        str(number): _partition(table, full_name, number, *bounds[number], log, letters) for number in sorted(bounds)
    }
    return TopicCount(
        partitions=partitions,
        table_rows=digest.rows,
        distinct_events=distinct if topic in MARKET_TOPICS else None,
        silver_rows=None if silver is None else silver_digest.rows,
        feed_gaps=gaps,
        digest=digest.hexdigest(),
        silver_digest=None if silver is None else silver_digest.hexdigest(),
    )


def _partition(
    table: Table, topic: str, number: int, first: int, last: int, log: Log | None, letters: frozenset[Letter] | None
) -> PartitionCount:
    mine = EqualTo(term=Reference("_partition"), value=literal(number))
    since = GreaterThanOrEqual(term=Reference("_offset"), value=literal(first))
    until = LessThanOrEqual(term=Reference("_offset"), value=literal(last))
    scan = table.scan(row_filter=And(mine, And(since, until)), selected_fields=("_offset",))
    rows = sum(batch.num_rows for batch in scan.to_arrow_batch_reader())
    aside = None
    if letters is not None:
        aside = sum(1 for name, place, at in letters if name == topic and place == number and first <= at <= last)
    return PartitionCount(
        first_offset=first,
        last_offset=last,
        table_rows=rows,
        topic_records=None if log is None else log.count(topic, number, first, last),
        dead_letters=aside,
        missing_offsets=None if aside is None else last - first + 1 - rows - aside,
    )


def _findings(topic: str, found: TopicCount) -> Iterator[str]:
    """What is not as it should be, in words."""
    if topic not in LEVELS:
        for number, counts in found.partitions.items():
            if counts.missing_offsets:
                yield f"{topic}:{number} lacks {counts.missing_offsets} offsets"
            stored = counts.table_rows + (counts.dead_letters or 0)
            if counts.topic_records is not None and counts.topic_records != stored:
                yield f"{topic}:{number} has {counts.topic_records} records, {stored} are stored or set aside"
    if found.silver_rows is not None and found.silver_rows != found.distinct_events:
        yield f"{topic} has {found.distinct_events} distinct events, Silver holds {found.silver_rows}"
    if found.feed_gaps:
        yield f"{topic} was interrupted {found.feed_gaps} times at its source"


def _session_rows(table: Table | None, begin_ns: int, end_ns: int, order: tuple[str, ...]) -> Iterator[pa.Table]:
    """The table's rows of the session in pieces, in that order of columns."""
    if table is None:
        return
    for hour in range(begin_ns // HOUR_NS, -(-end_ns // HOUR_NS)):
        for _, _, rows in pieces_of_hour(table, hour):
            times = rows["ts_event_ns"]
            inside = rows.filter(pc.and_(pc.greater_equal(times, begin_ns), pc.less(times, end_ns)))
            if inside.num_rows:
                yield inside.sort_by([(name, "ascending") for name in order])


def _with_columns(rows: pa.Table, topic: str) -> pa.Table:
    """The rows with every column of the topic's schema; one that the table has not yet got is null."""
    for field in schemas.load(topic).arrow:
        if field.name not in rows.column_names:
            rows = rows.append_column(field.name, pa.nulls(rows.num_rows, field.type))
    return rows
