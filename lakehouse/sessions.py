"""Sessions that were computed again, in tables of their own: beside the live ones, never among them.

A run of backfills has a namespace, ``backfill_<name>``, with a table for each kind of result. A session's rows replace
whatever its hours held, in one commit that also says in the table's properties what stands there, so landing a session
again changes nothing, wherever the one before died. Sessions never share an hour: an hour's pause lies between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.schema import Schema
from pyiceberg.types import IntegerType, LongType, NestedField

from common import iceberg, schemas
from common.content import ContentDigest
from common.errors import ConfigError, ConflictError, InputError
from lakehouse.silver.records import computed_schema
from lakehouse.silver.table import PARAMETERS, DerivedTable, State
from lakehouse.tables import HOUR_NS

PREFIX = "backfill_"
ATTEMPTS = 20
"""Commits that may be overtaken, by a packing or by another session's rows, before a session fails."""

_NAME = re.compile(r"[a-z0-9_]{1,40}")


@dataclass(frozen=True, slots=True)
class Rows:
    """One kind of result: its rows in the order of time, as often as they are asked for, and their `ContentDigest`."""

    pieces: Callable[[], Iterator[pa.Table]]
    digest: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session that was computed: results by topic, all within ``from_ns`` <= ts_event_ns < ``until_ns``.

    ``said``: what the tables shall say of it; it must differ whenever the rows do.
    """

    date: int
    from_ns: int
    until_ns: int
    rows: Mapping[str, Rows]
    said: str


class SessionTables:
    """The tables of one run, for results of these topics. ``parameters``: what all its sessions were computed with.

    Raises ConfigError for a name that is none.
    """

    def __init__(self, catalog: Catalog, name: str, parameters: str, topics: Sequence[str]) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot name a run", hint="Use up to 40 of a to z, 0 to 9 and _.")
        self.namespace = f"{PREFIX}{name}"
        self._parameters = parameters
        self._tables = {}
        for topic in topics:
            record = schemas.load(topic)
            table = f"{self.namespace}.{iceberg.TABLES[topic].rpartition('.')[2]}"
            self._tables[topic] = DerivedTable(
                catalog, table, session_schema(computed_schema(record)), record.doc, parameters
            )

    def landed(self) -> dict[int, str]:
        """What the tables say of each session, by date; only of those that all of them hold.

        Makes the tables where there are none. Raises ConfigError when they were computed with other parameters.
        """
        said = [self._load(table).cursors for table in self._tables.values()]
        return {int(date): text for date, text in said[0].items() if all(one.get(date) == text for one in said)}

    def land(self, session: Session) -> None:
        """Bring the session's rows into every table that does not hold them yet.

        Raises InputError when the rows are not those of the digest (that table is unchanged then), ConflictError when
        others keep changing a table, ConfigError as `landed`.
        """
        for topic, table in self._tables.items():
            _land(table, self._load, session, session.rows[topic], schemas.load(topic).arrow.names)

    def _load(self, table: DerivedTable) -> State:
        state = table.load()
        held = state.table.properties[PARAMETERS]
        if held != self._parameters:
            raise ConfigError(
                f"{self.namespace} was computed with {held}, not with {self._parameters}",
                hint="A run means one way of computing: choose another --name.",
            )
        return state


def session_schema(computed: Schema) -> Schema:
    """The columns of a computed table, then to which session a row belongs and where it stands in it."""
    first = computed.highest_field_id + 1
    return Schema(
        *computed.fields,
        NestedField(first, "_session", IntegerType(), required=True, doc="Trade date of the session. Unit: yyyymmdd."),
        NestedField(first + 1, "_row", LongType(), required=True, doc="Place among the session's rows. Unit: index."),
    )


def _land(
    table: DerivedTable, load: Callable[[DerivedTable], State], session: Session, rows: Rows, columns: Sequence[str]
) -> None:
    for _ in range(ATTEMPTS):
        state = load(table)
        if state.cursors.get(str(session.date)) == session.said:
            return
        hours = _by_hour(session, rows, columns)
        try:
            table.replace(state, hours, {str(session.date): session.said}, state.pending)
        except ConflictError:
            continue
        return
    raise ConflictError(
        f"{table.name} was changed by others {ATTEMPTS} times while {session.date} was brought in",
        hint="Repeat the command: it goes on where it ended.",
    )


def _by_hour(session: Session, rows: Rows, columns: Sequence[str]) -> Iterator[tuple[int, Iterator[pa.Table]]]:
    """Every hour of the session with its rows, of some none. Raises InputError after the last for another digest."""
    digest = ContentDigest(columns)
    left = dict.fromkeys(range(session.from_ns // HOUR_NS, -(-session.until_ns // HOUR_NS)))
    for hour, group in groupby(_placed(session, rows.pieces(), digest), key=itemgetter(0)):
        if hour not in left:
            raise InputError(f"rows of {session.date} lie outside of it, or out of order", hint="Compute it again.")
        del left[hour]
        yield hour, (piece for _, piece in group)
    yield from ((hour, iter(())) for hour in left)
    if digest.hexdigest() != rows.digest:
        raise InputError(f"the rows of {session.date} are not those that were computed", hint="Compute it again.")


def _placed(session: Session, pieces: Iterable[pa.Table], digest: ContentDigest) -> Iterator[tuple[int, pa.Table]]:
    """The pieces cut at full hours, with the added columns."""
    for piece in pieces:
        count = piece.num_rows
        first = digest.rows
        digest.update(piece)
        times = piece["ts_event_ns"].to_numpy()
        whole = (
            piece.append_column("ts_event", pa.array(times // 1000, pa.int64()).cast(pa.timestamp("us", tz="UTC")))
            .append_column("_session", pa.array(np.full(count, session.date, np.int32)))
            .append_column("_row", pa.array(np.arange(first, first + count, dtype=np.int64)))
        )
        hours = times // HOUR_NS
        for begin, end in pairwise([0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), count]):
            if end > begin:
                yield int(hours[begin]), whole.slice(begin, end - begin)
