"""A session's rows stand in its run's tables once, whatever dies, and however often it is landed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog

from common import iceberg, schemas, topics
from common.content import ContentDigest
from common.errors import ConfigError, InputError
from common.sessions import cme_es_sessions
from lakehouse.maintenance.upkeep import Bounds, maintain
from lakehouse.sessions import Rows, Session, SessionTables
from lakehouse.tables import HOUR_NS
from tests.support.memory_log import Crash
from tests.support.silver_lake import faulty, record

TOPICS = (topics.SIGNALS, topics.OUTCOMES)
DATES = (20250602, 20250603)


def session(date: int, *, salt: int = 0) -> Session:
    """A few rows in three hours of the session, split into odd pieces."""
    sessions = cme_es_sessions()
    place = int(np.searchsorted(sessions.date, date))
    begin_ns, end_ns = int(sessions.open_ns[place]), int(sessions.close_ns[place]) + 10**9
    rows = {}
    for number, topic in enumerate(TOPICS):
        times = [begin_ns + hour * HOUR_NS + step for hour in (0, 1, 5) for step in range(3 + number + salt)]
        whole = pa.Table.from_pylist(
            [record(topic, ts_event_ns=at, level_id=f"L{at % 7}") for at in times], schema=schemas.load(topic).arrow
        )
        digest = ContentDigest(whole.column_names)
        digest.update(whole)
        rows[topic] = Rows(lambda whole=whole: _pieces(whole), digest.hexdigest())  # type: ignore[misc]
    return Session(date, begin_ns, end_ns, rows, f"said of {date}, {salt}")


def _pieces(whole: pa.Table) -> Iterator[pa.Table]:
    for begin in range(0, whole.num_rows, 4):
        yield whole.slice(begin, 4)


def tables(catalog: Catalog, parameters: str = "as ever") -> SessionTables:
    return SessionTables(catalog, "trial", parameters, TOPICS)


def digest_of(topic: str, date: int) -> str:
    """The digest of what the table holds of the session."""
    name = f"backfill_trial.{iceberg.TABLES[topic].rpartition('.')[2]}"
    rows = iceberg.scan(name, f"_session = {date}").sort_by("_row")
    assert rows["_row"].to_pylist() == list(range(rows.num_rows))
    digest = ContentDigest(schemas.load(topic).arrow.names)
    digest.update(rows)
    return digest.hexdigest()


def assert_holds(*wanted: Session) -> None:
    for one in wanted:
        for topic in TOPICS:
            assert digest_of(topic, one.date) == one.rows[topic].digest


def test_a_session_landed_twice_is_there_once_and_the_second_time_writes_nothing(catalog: Catalog) -> None:
    first, second = map(session, DATES)
    for one in (first, second):
        tables(catalog).land(one)
    before = [catalog.load_table(name).metadata_location for name in iceberg.table_names()]
    tables(catalog).land(first)
    assert [catalog.load_table(name).metadata_location for name in iceberg.table_names()] == before
    assert tables(catalog).landed() == {date: f"said of {date}, 0" for date in DATES}
    assert_holds(first, second)


def test_whatever_dies_and_whoever_fights_a_session_ends_up_there_once(
    catalog: Catalog, seeds: Callable[[int], int]
) -> None:
    tables(catalog).landed()
    for seed in range(seeds(6)):
        chance = random.Random(seed)
        wanted = [session(date, salt=chance.randint(0, 3)) for date in DATES]

        def meanwhile(wanted: list[Session] = wanted, chance: random.Random = chance) -> None:
            if chance.random() < 0.5:
                tables(catalog).land(chance.choice(wanted))
            else:
                maintain(catalog.load_table("backfill_trial.levels_signals"), Bounds())

        with faulty(catalog, chance, meanwhile):
            for one in wanted:
                while tables(catalog).landed().get(one.date) != one.said:
                    try:
                        tables(catalog).land(one)
                    except Crash:
                        continue
        assert_holds(*wanted)


def test_a_session_counts_only_once_every_table_holds_it(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    tables(catalog).landed()
    plain, one = catalog.commit_table, session(DATES[0])

    def dies(*_: object) -> object:
        raise Crash("the second table's commit")

    def first(*arguments: object) -> object:
        monkeypatch.setattr(catalog, "commit_table", dies)
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(catalog, "commit_table", first)
    with pytest.raises(Crash):
        tables(catalog).land(one)
    monkeypatch.setattr(catalog, "commit_table", plain)
    assert iceberg.scan("backfill_trial.levels_signals").num_rows > 0
    assert tables(catalog).landed() == {}
    tables(catalog).land(one)
    assert list(tables(catalog).landed()) == [DATES[0]]
    assert_holds(one)


def test_rows_that_are_not_those_that_were_computed_do_not_get_in(catalog: Catalog) -> None:
    good = session(DATES[0])
    tables(catalog).land(good)
    other = session(DATES[0], salt=1)
    mixed = {topic: Rows(other.rows[topic].pieces, good.rows[topic].digest) for topic in TOPICS}
    with pytest.raises(InputError, match="are not those that were computed"):
        tables(catalog).land(replace(good, rows=mixed, said="another"))
    assert_holds(good)


def test_a_run_means_one_way_of_computing_and_one_name(catalog: Catalog) -> None:
    tables(catalog).land(session(DATES[0]))
    with pytest.raises(ConfigError, match="was computed with as ever, not with otherwise"):
        tables(catalog, "otherwise").landed()
    with pytest.raises(ConfigError, match="cannot name a run"):
        SessionTables(catalog, "Trial 1", "as ever", TOPICS)


def test_no_two_sessions_of_the_exchange_share_an_hour() -> None:
    sessions = cme_es_sessions()
    opens, ends = sessions.open_ns // HOUR_NS, -(-(sessions.close_ns + 10**9) // HOUR_NS)
    assert np.all(opens[1:] >= ends[:-1])
