"""Silver and Gold hold each event once, in order, whatever arrives late, dies or fights, and however often it is asked.

Real tables in the embedded catalog; commits crash before and after their effect. A seed is the whole bug report.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from common import iceberg, topics
from common.config import NS_PER_S, load_config
from common.errors import ConflictError
from lakehouse.silver.pipeline import Derivation
from lakehouse.tables import HOUR_NS
from tests.support.memory_log import Crash
from tests.support.silver_lake import (
    BEGIN_HOUR,
    BEGIN_NS,
    SinkTables,
    compact,
    computed,
    content,
    faulty,
    finish,
    record,
)
from tests.support.stack import environment

TRADES, GREEKS, ENRICHED = "silver.options_trades", "silver.options_greeks_snapshots", "silver.options_trades_enriched"
FEATURES, TRAINING = "silver.features_es_pipeline", "gold.training_es_pipeline"
TABLES = (TRADES, GREEKS, ENRICHED, FEATURES, TRAINING)
HOURS = 3
SYMBOLS = ("O:SPY231225C00470000", "O:SPY231225P00470000")


class World:
    """What a sink would commit over a few hours, bit by bit, with repetitions and late records."""

    def __init__(self, seed: int, lake: SinkTables) -> None:
        self.random = random.Random(seed)
        self.lake = lake
        self.now_ns = BEGIN_NS
        self.trades: list[dict[str, Any]] = []
        self.greeks: list[dict[str, Any]] = []
        self.features: list[dict[str, Any]] = []
        self.outcomes: list[dict[str, Any]] = []

    def move(self) -> None:
        """A while passes: records of all kinds come."""
        begin_ns = self.now_ns
        self.now_ns += self.random.randint(60, 1800) * NS_PER_S
        for topic, known, make in (
            (topics.OPTIONS_TRADES, self.trades, self._trade),
            (topics.OPTIONS_GREEKS, self.greeks, self._greeks),
        ):
            some = [make(self._time(begin_ns)) for _ in range(self.random.randint(0, 5))]
            if known and self.random.random() < 0.3:
                some.append(self.random.choice(known))
            if some:
                self.lake.append(topic, *some)
                known.extend(some)
        self._levels(begin_ns)

    def promise(self, state: str = "CONNECTED") -> None:
        """The feeds promise the present."""
        for topic in (topics.OPTIONS_TRADES, topics.OPTIONS_GREEKS, topics.FUTURES_MBP10):
            self.lake.promise(topic, self.now_ns, state)

    def _time(self, begin_ns: int) -> int:
        if self.random.random() < 0.1:
            return self.random.randint(BEGIN_NS, begin_ns)
        return self.random.randint(begin_ns, self.now_ns)

    def _trade(self, ts_ns: int) -> dict[str, Any]:
        return record(
            topics.OPTIONS_TRADES,
            event_id=self.random.getrandbits(40),
            ts_event_ns=ts_ns,
            option_symbol=self.random.choice(SYMBOLS),
            price=2.5,
            size=self.random.randint(1, 9),
        )

    def _greeks(self, ts_ns: int) -> dict[str, Any]:
        identity = self.random.getrandbits(40)
        return record(
            topics.OPTIONS_GREEKS,
            event_id=identity,
            ts_event_ns=ts_ns,
            option_symbol=self.random.choice(SYMBOLS),
            delta=self.random.random(),
            gamma=0.05,
            snapshot_id=f"s{identity}",
        )

    def _levels(self, begin_ns: int) -> None:
        """A snap of one level in an episode, judged at once or later, and the outcome of the snap before."""
        if self.features and self.random.random() < 0.7:
            touched = self.features[-1]
            passage_ns = touched["ts_event_ns"] + self.random.randint(1, 400) * NS_PER_S
            outcome = record(
                topics.OUTCOMES,
                ts_event_ns=touched["ts_event_ns"] + 480 * NS_PER_S,
                episode_id=touched["episode_id"],
                ts_touch_ns=touched["ts_event_ns"],
                ts_passage_ns=passage_ns if self.random.random() < 0.5 else None,
                outcome_240s="BREAK",
            )
            self.lake.append(topics.OUTCOMES, outcome)
            self.outcomes.append(outcome)
        common = {"ts_event_ns": begin_ns, "level_id": "ROUND_470", "snap_rows": 1}
        episode = {"episode_id": f"e{begin_ns}", "episode": 1}
        self.features.append(record(topics.FEATURES, **common, **episode, spot=470.0 + self.random.random()))
        self.lake.append(topics.FEATURES, self.features[-1])
        self.lake.append(topics.SIGNALS, record(topics.SIGNALS, **common, break_score_raw=self.random.random()))


def run(seed: int, home: Path) -> None:
    """One history: steps with faults while records come, then everything at once in fresh tables."""
    with environment(BREAKWATER_HOME=str(home)):
        catalog = iceberg.open_catalog()
        world = World(seed, SinkTables(catalog))
        closures, tables = computed(catalog, *TABLES)
        while world.now_ns < BEGIN_NS + HOURS * HOUR_NS:
            world.move()
            if world.random.random() < 0.5:
                world.promise()
            if world.random.random() < 0.4:
                closures, tables = computed(catalog, *TABLES)
            closures.refresh()
            with faulty(catalog, world.random, lambda: _quietly(world.random.choice(computed(catalog, *TABLES)[1]))):
                for derivation in tables:
                    _quietly(derivation)
        world.promise("ENDED")
        finish(*computed(catalog, *TABLES))
        incremental = {name: content(name) for name in TABLES}
        for name in TABLES:
            catalog.drop_table(name)
        finish(*computed(catalog, *TABLES))
        for name in TABLES:
            assert content(name).equals(incremental[name]), (seed, name)
        check(world, incremental)


def _quietly(derivation: Derivation) -> None:
    try:
        derivation.step()
    except (Crash, ConflictError):
        return


def check(world: World, tables: dict[str, pa.Table]) -> None:
    """The rows against the records, by plain means."""
    for name, sent in ((TRADES, world.trades), (GREEKS, world.greeks)):
        rows = tables[name].to_pylist()
        assert {(r["event_id"], r["ts_event_ns"]) for r in rows} == {(r["event_id"], r["ts_event_ns"]) for r in sent}
        assert len(rows) == len({(r["event_id"], r["ts_event_ns"]) for r in sent})
        keys = [(r["ts_event_ns"], r["_partition"], r["_offset"]) for r in rows]
        assert keys == sorted(keys)
    tolerance_ns = int(load_config().GREEKS_MAX_AGE_S * NS_PER_S)
    joined = tables[ENRICHED].to_pylist()
    assert len(joined) == tables[TRADES].num_rows
    for row in joined:
        ages = [
            row["ts_event_ns"] - g["ts_event_ns"]
            for g in world.greeks
            if g["option_symbol"] == row["option_symbol"] and g["ts_event_ns"] <= row["ts_event_ns"]
        ]
        near = min((age for age in ages if age <= tolerance_ns), default=None)
        assert row["greeks_age_ns"] == near
        if near is not None:
            assert row["delta_notional"] == row["delta"] * (row["size"] * 100)
    known = {outcome["episode_id"]: outcome for outcome in world.outcomes}
    measured = tables[FEATURES].to_pylist()
    assert [r["spot"] for r in measured] == [f["spot"] for f in world.features]
    assert all(row["break_score_raw"] is not None for row in measured)
    rows = tables[TRAINING].to_pylist() if TRAINING in tables else []
    assert [r["episode_id"] for r in rows] == [f["episode_id"] for f in world.features if f["episode_id"] in known]
    for row in rows:
        outcome = known[row["episode_id"]]
        end_ns = outcome["ts_touch_ns"] + 240 * NS_PER_S
        assert row["outcome_240s_known_ns"] == min(end_ns, outcome["ts_passage_ns"] or end_ns)
        assert row["outcome_240s"] == "BREAK"


def test_computed_tables_are_the_same_however_they_came_about(seeds: Callable[[int], int], tmp_path: Path) -> None:
    for seed in range(seeds(3)):
        run(seed, tmp_path / str(seed))


def test_a_compaction_brings_no_new_hours(home: Path) -> None:
    catalog = iceberg.open_catalog()
    world = World(1, SinkTables(catalog))
    while world.now_ns < BEGIN_NS + 2 * HOUR_NS:
        world.move()
    world.promise()
    closures, tables = computed(catalog, *TABLES)
    finish(closures, tables)
    for name in (iceberg.TABLES[topics.OPTIONS_TRADES], TRADES, FEATURES):
        compact(catalog, name)
    assert [derivation.step().hours for derivation in tables] == [0] * len(tables)


def test_an_open_hour_waits_and_a_late_row_rebuilds_only_its_own(home: Path) -> None:
    catalog = iceberg.open_catalog()
    lake = SinkTables(catalog)
    closures, (trades,) = computed(catalog, TRADES)

    def trade(number: int, hour: int) -> dict[str, Any]:
        return record(topics.OPTIONS_TRADES, event_id=number, ts_event_ns=(BEGIN_HOUR + hour) * HOUR_NS + number)

    lake.append(topics.OPTIONS_TRADES, trade(1, 0), trade(2, 1), trade(3, 2))
    closures.refresh()
    assert trades.step().hours == 0
    # The promise begins beyond what the sink has committed: it says nothing about the rows still to come.
    lake.promise(topics.OPTIONS_TRADES, (BEGIN_HOUR + 2) * HOUR_NS, next_offset=4)
    closures.refresh()
    assert trades.step().hours == 0
    lake.append(topics.OPTIONS_TRADES, trade(4, 2))
    assert trades.step().hours == 2
    assert content(TRADES)["event_id"].to_pylist() == [1, 2]
    lake.append(topics.OPTIONS_TRADES, trade(5, 0))
    step = trades.step()
    assert (step.hours, step.rows) == (1, 2)
    assert content(TRADES)["event_id"].to_pylist() == [1, 5, 2]
