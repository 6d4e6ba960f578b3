"""Levels that nobody cares about, judged by the same engine: what the real ones have to beat.

Two kinds. *Random*: prices drawn from the session's range, away from the real levels. *Placebo*: the real levels'
prices plus PLACEBO_OFFSET. The engine runs once more over the session's stored events with all of them as user
hotzones, and only their rows are kept. Then every real episode is paired with the most similar control episode of the
session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, to_arrow
from common.config import MOST_HOTZONES, NS_PER_S, EngineConfig, make_config
from common.recorded import Recorded
from common.sessions import Sessions
from processors.engine import features, signals
from processors.engine.order import Events, Merger
from processors.study.episodes import FEATURE_COLUMNS, OUTCOME_COLUMNS, SIGNAL_COLUMNS
from processors.study.statistics import Floats, Integers

HOTZONES = MOST_HOTZONES
"""The engine tracks at most this many."""
PLACEBO_OFFSET = 0.37
"""USD; no level's grid has this period, and it is more than OUTCOME_MOVE away from round prices."""
CENT = 0.01
SEED = 37

NEAR_TIME_S = 1800.0
NEAR_LOG_VOLATILITY = 0.5
NEAR_DISTANCE = 0.05
"""Calipers: a control further away in time (s), log volatility or distance (USD) is no match."""


class Prices(NamedTuple):
    """The control levels of a session, USD, no price twice."""

    random: tuple[float, ...]
    placebo: tuple[float, ...]


class Pairs(NamedTuple):
    """Matched episodes: index into the real ones, and index into the controls, of one length."""

    real: Integers
    control: Integers


def choose(levels: Floats, low: float, high: float, clear: float, seed: int) -> Prices:
    """Control prices of a session whose spot went from ``low`` to ``high`` and touched ``levels`` (USD).

    Whole cents, at least ``clear`` from every real level; at most HOTZONES in all, half of them placebos. Uniform draws
    without replacement (``numpy`` generator of ``seed``).
    """
    rng = np.random.default_rng(seed)
    real = np.unique(np.round(levels / CENT).astype(np.int64))
    reach = round(clear / CENT)

    def free(cents: Integers) -> Integers:
        away = np.abs(cents[:, None] - real[None, :]).min(axis=1, initial=reach)
        kept: Integers = cents[away >= reach]
        return kept

    shifted = free(np.unique(real + round(PLACEBO_OFFSET / CENT)))
    placebo = np.sort(rng.permutation(shifted)[: HOTZONES // 2])
    grid = np.arange(np.ceil(low / CENT), np.floor(high / CENT) + 1).astype(np.int64)
    others = np.setdiff1d(free(grid), placebo)
    random = np.sort(rng.permutation(others)[: HOTZONES - len(placebo)])
    return Prices(*(tuple((cents / round(1 / CENT)).tolist()) for cents in (random, placebo)))


def steps(recorded: Iterable[Recorded], inputs: Sequence[str], until_ns: int) -> Iterator[Events]:
    """The stored records of ``inputs`` (topics) in the engine's order, up to ``until_ns``."""
    merger = Merger(inputs)
    for piece in recorded:
        merger.push(piece.topic, piece.batch, piece.offsets)
        for topic in inputs:
            merger.promise(topic, merger.position(topic), piece.watermark_ns)
        yield merger.pop(until_ns)


class Judged(NamedTuple):
    """What the engine said about hotzones: tables with the columns that the study joins."""

    outcomes: pa.Table
    signals: pa.Table
    features: pa.Table


def judge(steps: Iterable[Events], config: EngineConfig, sessions: Sessions, prices: Prices) -> Judged:
    """Run the engine over a session's events with the control levels as hotzones and keep their rows."""
    every = sorted({*prices.random, *prices.placebo})
    own = make_config({**config.model_dump(), "USER_HOTZONES": tuple(every)})
    feature_state = features.initial_state(own, sessions)
    signal_state = signals.initial_state()
    kept: tuple[list[pa.Table], ...] = ([], [], [])
    for events in steps:
        out = features.step(feature_state, events, events.until_ns)
        judged = signals.step(own, signal_state, out.features)
        for held, batch, columns in zip(
            kept,
            (out.outcomes, judged, out.features),
            (OUTCOME_COLUMNS, SIGNAL_COLUMNS, FEATURE_COLUMNS),
            strict=True,
        ):
            held.append(_hotzones(batch, columns))
    names = ((topics.OUTCOMES, OUTCOME_COLUMNS), (topics.SIGNALS, SIGNAL_COLUMNS), (topics.FEATURES, FEATURE_COLUMNS))
    return Judged(
        *(
            pa.concat_tables([_fields(topic, columns).empty_table(), *held])
            for held, (topic, columns) in zip(kept, names, strict=True)
        )
    )


def _fields(topic: str, columns: tuple[str, ...]) -> pa.Schema:
    arrow = schemas.load(topic).arrow
    return pa.schema([arrow.field(name).remove_metadata() for name in columns])


def _hotzones(batch: Batch, columns: tuple[str, ...]) -> pa.Table:
    """The rows of hotzones as Arrow."""
    symbols = schemas.load(batch.name).symbols
    table = pa.Table.from_batches([to_arrow(batch, _fields(batch.name, columns), symbols)])
    return table.filter(pc.starts_with(table["level_id"], "HOTZONE_"))


def at_prices(episodes: NDArray[np.void], prices: tuple[float, ...]) -> NDArray[np.void]:
    """The episodes of the levels at these prices."""
    cents = np.round(episodes["level_price"] / CENT).astype(np.int64)
    return episodes[np.isin(cents, np.round(np.array(prices) / CENT).astype(np.int64))]


def match(real: NDArray[np.void], controls: NDArray[np.void]) -> Pairs:
    """Pair each real episode with the nearest unused control of its session and direction (Rubin 1973).

    Greedy, in the order of touches, without replacement; nearest by the sum of squared differences in time, log
    volatility and distance, each in units of its caliper, and nothing beyond a caliper. Outcomes are not looked at.
    """
    used = np.zeros(len(controls), np.bool_)
    pairs: list[tuple[int, int]] = []
    groups = _groups(controls)
    log_volatility = _log(controls["volatility"])
    for n in np.argsort(real["touch_ns"], kind="stable").tolist():
        candidates = groups.get((int(real["session_date"][n]), int(real["towards"][n])))
        if candidates is None:
            continue
        time = (controls["touch_ns"][candidates] - real["touch_ns"][n]) / NS_PER_S / NEAR_TIME_S
        calm = (log_volatility[candidates] - _log(real["volatility"][n : n + 1])) / NEAR_LOG_VOLATILITY
        distance = (controls["distance"][candidates] - real["distance"][n]) / NEAR_DISTANCE
        apart = np.stack([time, calm, distance])
        allowed = (np.abs(apart) <= 1).all(axis=0) & ~used[candidates]
        if allowed.any():
            best = candidates[np.argmin(np.where(allowed, (apart**2).sum(axis=0), np.inf))]
            used[best] = True
            pairs.append((n, int(best)))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return Pairs(found[:, 0], found[:, 1])


def _groups(controls: NDArray[np.void]) -> dict[tuple[int, int], Integers]:
    keys = list(zip(controls["session_date"].tolist(), controls["towards"].tolist(), strict=True))
    groups: dict[tuple[int, int], list[int]] = {}
    for n, key in enumerate(keys):
        groups.setdefault(key, []).append(n)
    return {key: np.array(own, np.int64) for key, own in groups.items()}


def _log(values: Floats) -> Floats:
    """Logarithm with a floor far below any market's volatility, so that a frozen one matches its like."""
    return np.log(np.maximum(values, 1e-6))
