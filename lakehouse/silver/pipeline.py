"""The computed tables in their order, and one step of each: what is new in the sources, computed and committed.

A step reads every source at one version, takes the hours that are new in any of them (and those that an earlier step
left), computes at most `HOURS_PER_COMMIT` of them from nothing but the sources, and commits them with the sources'
cursors. An hour's rows are a function of the sources' rows alone, so computing an hour once more changes nothing, and
tables computed in any steps equal tables computed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from common import iceberg, schemas, topics
from common.config import EngineConfig
from common.recorded import END_NS
from lakehouse.silver import dedup, enriched, features, records, training
from lakehouse.silver.closed import NEVER_OPEN, Promises, closed_by_marks, marks_of
from lakehouse.silver.sources import Appended, Rebuilt, Source
from lakehouse.silver.table import DerivedTable, State
from lakehouse.tables import table_schema

HOURS_PER_COMMIT = 24

MARKET_TOPICS = tuple(topic for topic in topics.ENGINE_INPUTS if topic != topics.REQUESTS)
"""Topics that have a silver table of their own."""

Build = Callable[[int, Mapping[str, Table]], Iterator[pa.Table]]


@dataclass(frozen=True, slots=True)
class Derivation:
    """How one table is computed. ``sources``: each with the hours after its own that its rows bear on."""

    table: DerivedTable
    sources: tuple[tuple[Source, tuple[int, ...]], ...]
    build: Build

    def step(self) -> Step:
        """Compute what is new, up to `HOURS_PER_COMMIT` hours. Raises ConflictError when another writer came first."""
        found = self._look()
        now, later = found.hours[:HOURS_PER_COMMIT], found.hours[HOURS_PER_COMMIT:]
        if not now:
            return Step(0, 0, 0)
        pieces = ((hour, self.build(hour, found.tables)) for hour in now)
        return Step(len(now), self.table.replace(found.state, pieces, found.cursors, later), len(later))

    def is_current(self) -> bool:
        """Whether a step would find nothing to compute."""
        return not self._look().hours

    def _look(self) -> _Found:
        state = self.table.load()
        wanted = set(state.pending)
        tables: dict[str, Table] = {}
        cursors = dict(state.cursors)
        for source, offsets in self.sources:
            reading = source.read(state.cursors.get(source.name))
            wanted |= {hour + offset for hour in reading.hours for offset in offsets}
            if reading.table is not None:
                tables[source.name] = reading.table
            if reading.cursor is not None:
                cursors[source.name] = reading.cursor
        return _Found(state, tables, cursors, sorted(wanted))


@dataclass(frozen=True, slots=True)
class _Found:
    """A table and its sources, each at one version: the cursors that say that they were read, the hours to compute."""

    state: State
    tables: Mapping[str, Table]
    cursors: Mapping[str, str]
    hours: list[int]


@dataclass(frozen=True, slots=True)
class Step:
    """Hours computed, rows in them, and hours that are left."""

    hours: int
    rows: int
    pending: int


def silver_table(topic: str) -> str:
    """The silver table of a market topic."""
    return iceberg.TABLES[topic].replace("bronze.", "silver.", 1)


def computed_names() -> tuple[str, ...]:
    """The names of all computed tables, each after those it is computed from."""
    made = (records.enriched(), records.features(), records.training())
    return (*(silver_table(topic) for topic in MARKET_TOPICS), *(record.name for record in made))


class Closures:
    """The first open hour of each source, by what the stored heartbeats promise and the sink's marks say."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._promises = Promises()

    def refresh(self) -> None:
        """Take up the newest heartbeats."""
        self._promises.refresh()

    def market(self, topic: str, _properties: Mapping[str, str], offsets: Mapping[int, int]) -> int:
        """Of a market topic, named without the namespace."""
        return self._promises.closed(topics.full_name(topic, self._namespace), offsets)

    def levels(self, topic: str, properties: Mapping[str, str], offsets: Mapping[int, int]) -> int:
        """Of a levels topic: by the sink's marks, and by the book's end when the ES book has ended.

        Until all snaps that are stored have their signals stored too, the hour would be computed again and again.
        """
        closed = closed_by_marks(properties, topics.full_name(topic, self._namespace))
        book = topics.full_name(topics.FUTURES_MBP10, self._namespace)
        if not self._promises.ended(book) or self._marks(topics.FEATURES) != self._marks(topics.SIGNALS):
            return closed
        return max(closed, self._promises.closed(book, dict.fromkeys(offsets, END_NS)))

    def _marks(self, topic: str) -> Mapping[str, str]:
        table = iceberg.load_table(iceberg.TABLES[topic])
        return {} if table is None else marks_of(table.properties, topics.full_name(topic, self._namespace))


def derivations(catalog: Catalog, config: EngineConfig, namespace: str, closures: Closures) -> tuple[Derivation, ...]:
    """All computed tables, each after what it is computed from."""
    out = []
    for topic in MARKET_TOPICS:
        source, target, record = iceberg.TABLES[topic], silver_table(topic), schemas.load(topic)
        out.append(
            Derivation(
                DerivedTable(catalog, target, table_schema(record), f"{record.doc} Each event once, in event time."),
                ((Appended(source, topics.full_name(topic, namespace), partial(closures.market, topic)), (0,)),),
                partial(dedup.build, name=source),
            )
        )
    out.append(
        Derivation(
            _computed(catalog, records.enriched(), f"{config.GREEKS_MAX_AGE_S}:{config.OPTION_MULTIPLIER}"),
            ((Rebuilt(enriched.TRADES), (0,)), (Rebuilt(enriched.GREEKS), (0, 1))),
            partial(enriched.build, config=config),
        )
    )
    levels = (
        (_levels(topics.FEATURES, namespace, closures.levels), (0,)),
        (_levels(topics.SIGNALS, namespace, closures.levels), (0,)),
    )
    out.append(Derivation(_computed(catalog, records.features()), levels, features.build))
    outcomes = _levels(topics.OUTCOMES, namespace, lambda _topic, _properties, _offsets: NEVER_OPEN)
    out.append(
        Derivation(
            _computed(catalog, records.training()),
            ((Rebuilt(training.FEATURES), (0,)), (outcomes, (0, -training.HOURS_TO_OUTCOME))),
            training.build,
        )
    )
    return tuple(out)


def _levels(topic: str, namespace: str, closed: Callable[[str, Mapping[str, str], Mapping[int, int]], int]) -> Appended:
    return Appended(iceberg.TABLES[topic], topics.full_name(topic, namespace), partial(closed, topic))


def _computed(catalog: Catalog, record: schemas.RecordSchema, parameters: str = "") -> DerivedTable:
    return DerivedTable(catalog, record.name, records.computed_schema(record), record.doc, parameters)
