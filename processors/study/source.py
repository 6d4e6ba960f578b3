"""Where the study's sessions come from: Gold rows for the real levels, Bronze events for the controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common import iceberg, topics
from common.config import NS_PER_S, EngineConfig
from common.errors import ConfigError, InputError
from common.recorded import Recorded, bronze_inputs
from common.sessions import cme_es_sessions
from processors.study import controls, fills, flow, staged, trading
from processors.study.episodes import (
    EPISODE,
    FEATURE_COLUMNS,
    OUTCOME_COLUMNS,
    SIGNAL_COLUMNS,
    join,
    market_path,
)
from processors.study.fills import FillTruth

CONTROL_INPUTS = tuple(topic for topic in topics.ENGINE_INPUTS if topic != topics.REQUESTS)
"""What the controls are computed from: people's hotzones would take the controls' places."""

AFTER_CLOSE_NS = NS_PER_S
"""The engine runs on so far behind the close, so that it labels what the close cut off."""

BEFORE_OPEN_NS = 3600 * NS_PER_S
"""The last hour before an open, in which the exchange tells the book."""

SIMULATED = "sim"


class Session(NamedTuple):
    """All that the study takes from one session.

    ``episodes``, ``random`` and ``placebo`` are EPISODE records, ``trades`` TRADE, ``samples`` flow.SAMPLE.
    ``feed`` delivered its events; None when none are stored, and then there are no controls.
    """

    date: int
    episodes: NDArray[np.void]
    random: NDArray[np.void]
    placebo: NDArray[np.void]
    trades: NDArray[np.void]
    samples: NDArray[np.void]
    feed: str | None


class Source(Protocol):
    """Sessions to study."""

    def dates(self) -> list[int]:
        """Their trade dates (yyyymmdd), ascending."""

    def load(self, date: int) -> Session:
        """One session, whole."""


class Lake:
    """Sessions as they stand in the tables of this home, judged under ``config``."""

    def __init__(self, config: EngineConfig, fee_usd: float, complex_name: str = "SPY") -> None:
        self._config = config
        self._fee_usd = fee_usd
        self._partition = topics.partition_of(complex_name)

    def dates(self) -> list[int]:
        """The sessions that have outcomes under the configuration.

        Raises InputError when there are no outcomes at all, ConfigError when all belong to other configurations.
        """
        try:
            rows = iceberg.scan(iceberg.TABLES[topics.OUTCOMES], columns=("session_date", "config_hash"))
        except InputError as error:
            raise InputError("there are no outcomes to study", hint=_WHERE_FROM) from error
        hashes = sorted(set(rows["config_hash"].to_pylist()))
        own = rows.filter(pc.equal(rows["config_hash"], self._config.hash))
        if not hashes:
            raise InputError("there are no outcomes to study", hint=_WHERE_FROM)
        if not own.num_rows:
            raise ConfigError(
                f"the stored outcomes were computed under {', '.join(hashes)}, not under the present configuration "
                f"{self._config.hash}",
                hint="Set BREAKWATER_PROFILE, BREAKWATER_CONFIG_FILE and BREAKWATER_ENGINE_* as the workers had them.",
            )
        return sorted(date for date in set(own["session_date"].to_pylist()) if date is not None)

    def load(self, date: int) -> Session:
        """The session's rows joined, and its controls computed from the stored events."""
        signals = self._gold(topics.SIGNALS, SIGNAL_COLUMNS, date, own=True)
        features = self._gold(topics.FEATURES, FEATURE_COLUMNS, date, own=False)
        outcomes = self._gold(topics.OUTCOMES, OUTCOME_COLUMNS, date, own=True)
        path = market_path(features)
        episodes = join(date, outcomes, signals, features, path)
        snap_ns = self._config.snap_interval_ns
        random = placebo = np.zeros(0, EPISODE)
        feed = self._feed(date)
        if feed is not None and len(episodes):
            low, high = float(np.nanmin(path.mid)), float(np.nanmax(path.mid))
            clear = 2 * self._config.TOUCH_BAND
            prices = controls.choose(episodes["level_price"], low, high, clear, controls.SEED + date)
            judged = self._judged(date, prices)
            both = join(date, judged.outcomes, judged.signals, judged.features, path)
            random, placebo = (controls.at_prices(both, own) for own in prices)
        return Session(
            date,
            episodes,
            random,
            placebo,
            trading.trades(date, episodes, path, snap_ns, self._fee_usd),
            flow.samples(date, path, self._config.snaps_of(self._config.W_b) * snap_ns, snap_ns),
            feed,
        )

    def events(self, begin_ns: int, end_ns: int, inputs: Sequence[str] = CONTROL_INPUTS) -> Iterator[Recorded]:
        """The stored records with begin <= effective time < end."""
        return bronze_inputs(self._partition, inputs, begin_ns, end_ns)

    def fill_truth(self, path: Path) -> FillTruth:
        """The engine's fills over the stored events of the truth file's sessions, against that truth.

        Raises InputError for a foreign file, and when no events are stored where it tells of fills.
        """
        table = fills.read_truth(path)
        sessions = cme_es_sessions()
        times = pc.min_max(table["ts_event"].cast(pa.int64()))
        first, last = (int(np.searchsorted(sessions.close_ns, times[end].as_py() or 0)) for end in ("min", "max"))
        begin_ns, end_ns = int(sessions.open_ns[first]), int(sessions.close_ns[last])
        events = controls.steps(self.events(begin_ns - BEFORE_OPEN_NS, end_ns, fills.INPUTS), fills.INPUTS, end_ns)
        found = fills.inferred(events, self._config, sessions)
        if not found:
            raise InputError(
                f"no fills are stored between {begin_ns} and {end_ns} ns, where {path} tells of some",
                hint="Publish the same session's mbp-10 and trades first.",
            )
        return fills.compare(found, fills.truth(table, begin_ns, end_ns))

    def staged_truth(self, truth: staged.Truth) -> list[staged.Hits]:
        """What the stored signals and outcomes say of the truth's staged fights.

        Raises InputError when no signals are stored for that session under the configuration.
        """
        sessions = cme_es_sessions()
        date = int(sessions.date[int(np.searchsorted(sessions.close_ns, truth.begin_ns, side="right"))])
        signals = self._gold(topics.SIGNALS, ("ts_event_ns", "level_id", "signal"), date, own=True)
        if not signals.num_rows:
            raise InputError(
                f"no signals of {date} are stored, of which the truth tells", hint="Run the simulated session first."
            )
        columns = ("level_id", "direction", "ts_touch_ns", "outcome_120s")
        return staged.hits(truth.episodes, signals, self._gold(topics.OUTCOMES, columns, date, own=True))

    def _judged(self, date: int, prices: controls.Prices) -> controls.Judged:
        """The controls' rows. Reading begins at the close before, where contracts and books are told anew."""
        begin_ns, end_ns = _bounds(date)
        until_ns = end_ns + AFTER_CLOSE_NS
        steps = controls.steps(self.events(begin_ns, until_ns), CONTROL_INPUTS, until_ns)
        return controls.judge(steps, self._config, cme_es_sessions(), prices)

    def _gold(self, topic: str, columns: Sequence[str], date: int, *, own: bool) -> pa.Table:
        where = f"session_date = {date}" + (f" and config_hash = '{self._config.hash}'" if own else "")
        return iceberg.scan(iceberg.TABLES[topic], where, columns)

    def _feed(self, date: int) -> str | None:
        """The source of the session's first stored book record."""
        name = iceberg.TABLES[topics.FUTURES_MBP10]
        if iceberg.load_table(name) is None:
            return None
        begin_ns, end_ns = _bounds(date)
        where = f"ts_effective_ns >= {begin_ns} and ts_effective_ns < {end_ns}"
        found = iceberg.scan(name, where, ("source",), limit=1)["source"].to_pylist()
        return found[0] if found else None


_WHERE_FROM = "Outcomes are written while sessions run: ./breakwater demo makes one, producers and services many."


def _bounds(date: int) -> tuple[int, int]:
    """The close of the session before and the close of the session of ``date``, ns."""
    sessions = cme_es_sessions()
    place = int(np.searchsorted(sessions.date, date))
    if place == len(sessions.date) or int(sessions.date[place]) != date:
        raise InputError(f"{date} is no session of ES", hint="Sessions are listed in common/cme_es_sessions.csv.")
    return int(sessions.close_ns[max(place - 1, 0)]), int(sessions.close_ns[place])
