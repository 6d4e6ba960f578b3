"""Batch invariance: however the stream is cut, resumed or hashed, the rows and the state are the same bytes (DESIGN
4).
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common import settings as deployment
from common import topics
from common.columns import Batch, concat
from common.config import EngineConfig
from common.sessions import cme_es_sessions
from processors.engine import features
from processors.engine.features import State
from processors.engine.order import Merger
from producers.stream import stamped_batches
from tests.support.market import INSTRUMENT, NS, OPEN_NS, SNAP_NS, Market

CONFIG = EngineConfig(W_b=2.0, W_t=1.0, W_v=1.0, WEAK_WINDOW_S=10.0, WEAK_MIN_HISTORY_S=2.0, ABSORB_MIN_FILLED=5)
INPUTS = (topics.FUTURES_MBP10, topics.FUTURES_TRADES)


def same(a: tuple[Batch, ...], b: tuple[Batch, ...]) -> bool:
    return all(_same(one, other) for one, other in zip(a, b, strict=True))


def _same_or_none(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b)


def _same(a: Batch, b: Batch) -> bool:
    return a.length == b.length and all(
        np.array_equal(x.values.view(np.uint8), b.columns[n].values.view(np.uint8))
        and _same_or_none(x.valid, b.columns[n].valid)
        and _same_or_none(x.offsets, b.columns[n].offsets)
        for n, x in a.columns.items()
    )


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """Some seconds of books and trades around ROUND_600, with groups, crossings, clears, gaps and equal times."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    market = Market()
    at = int(rng.integers(-2, 3)) * NS
    mid = 24_000
    for _ in range(draw(st.integers(1, 120))):
        at += int(rng.choice([0, 0, 1, 1000, 10_000_000, SNAP_NS, 2 * SNAP_NS, 3 * NS]))
        mid += int(rng.integers(-1, 2))
        if rng.random() < 0.4:
            market.trade(
                at,
                (mid + int(rng.integers(-1, 2))) * 0.25,
                int(rng.integers(1, 40)),
                str(rng.choice(["BUY", "SELL", "MID"])),
            )
        if rng.random() < 0.8:
            gap = int(rng.integers(-1, 3))
            bids = [((mid - k) * 0.25, int(rng.integers(1, 99))) for k in range(int(rng.integers(0, 11)))]
            asks = [((mid + gap + k) * 0.25, int(rng.integers(1, 99))) for k in range(int(rng.integers(0, 11)))]
            action = str(rng.choice(["MODIFY", "ADD", "CANCEL", "TRADE", "CLEAR"], p=[0.4, 0.3, 0.2, 0.07, 0.03]))
            market.book(at, bids, asks, action=action, flags=int(rng.choice([0, 128, 128, 128, 160, 136])))
        _draw_others(rng, market, at, mid)
        held = [topics.FUTURES_MBP10] * bool(market.books) + [topics.FUTURES_TRADES] * bool(market.trades)
        held += [topic for topic in market.others if topic != topics.REQUESTS]
        if held and rng.random() < 0.05:
            market.after_gap(str(rng.choice(held)))
    return market


def _draw_others(rng: np.random.Generator, market: Market, at: int, mid: int) -> None:
    """Now and then a record of each other input, near the ES price."""
    spy = mid * 0.025 + float(rng.integers(-5, 6)) * 0.01
    strike = 600.0 + float(rng.integers(-3, 4))
    right = str(rng.choice(["C", "P"]))
    if rng.random() < 0.5:
        market.spy_quote(at, spy - 0.01, spy + float(rng.choice([-0.02, 0.0, 0.01])))
    if rng.random() < 0.4:
        updates = [True, False, None][int(rng.integers(3))]
        market.spy_trade(at, spy, int(rng.integers(1, 3_000)), updates_last=updates, exchange=int(rng.integers(1, 20)))
    if rng.random() < 0.3:
        market.greeks(at, strike, right, 0.2, open_interest=int(rng.integers(0, 5_000)), gamma=0.05)
    if rng.random() < 0.3:
        market.option_quote(at, strike, right, 1.0, 1.1)
    if rng.random() < 0.5:
        aggressor = str(rng.choice(["BUY", "SELL", "MID"]))
        price = float(rng.choice([0.9, 1.0, 1.05, 1.1]))
        market.option_trade(at, strike, right, price, int(rng.integers(1, 4_000)), aggressor=aggressor)
    if rng.random() < 0.03:
        market.add(topics.FUTURES_STATUS, at, action=str(rng.choice(["TRADING", "HALT"])))
    if rng.random() < 0.02:
        instrument = int(rng.choice([INSTRUMENT, INSTRUMENT + 1]))
        market.add(topics.FUTURES_DEFINITIONS, at, asset="ES", instrument_id=instrument, is_front=True)
    if rng.random() < 0.05:
        kind = str(rng.choice(["HOTZONE_ADD", "HOTZONE_REMOVE"]))
        market.add(topics.REQUESTS, at, kind=kind, underlying="SPY", price=600.0 + float(rng.integers(0, 4)) * 0.05)


def end_ns(batches: tuple[Batch, ...]) -> int:
    last = max((int(batch["ts_effective_ns"][-1]) for batch in batches if batch.length), default=OPEN_NS)
    return -(-last // SNAP_NS) * SNAP_NS + 1


def whole(batches: tuple[Batch, ...]) -> tuple[tuple[Batch, ...], bytes]:
    return cut(batches, [])


def cut(batches: tuple[Batch, ...], cuts: list[int], *, resume: bool = False) -> tuple[tuple[Batch, ...], bytes]:
    """Rows and final state when the promises advance by ``cuts`` (ns); ``resume`` passes the state through bytes each
    time.
    """
    merger = Merger(tuple(topic for topic in topics.ENGINE_INPUTS if any(b.name == topic for b in batches)))
    for batch in batches:
        merger.push(batch.name, batch, np.arange(batch.length, dtype=np.int64))
        merger.promise(batch.name, batch.length, end_ns(batches))
    state = features.initial_state(CONFIG, cme_es_sessions())
    out: list[features.Output] = []
    for limit in [*sorted(cuts), end_ns(batches)]:
        events = merger.pop(limit)
        out.append(features.step(state, events, events.until_ns))
        if resume:
            state = State.from_bytes(CONFIG, cme_es_sessions(), state.to_bytes())
    return joined(out), state.to_bytes()


def joined(outputs: list[features.Output]) -> tuple[Batch, ...]:
    """Features, outcomes and flow of consecutive steps."""
    return tuple(concat([getattr(output, name) for output in outputs]) for name in ("features", "outcomes", "flow"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(market=markets(), data=st.data())
def test_any_cut_of_the_stream_gives_the_same_rows_and_state(market: Market, data: st.DataObject) -> None:
    batches = market.batches()
    rows, state = whole(batches)
    times = sorted({int(t) for batch in batches for t in batch["ts_effective_ns"].tolist()} or {OPEN_NS})
    limits = st.one_of(st.sampled_from(times), st.integers(times[0] - NS, end_ns(batches)))
    cuts = data.draw(st.lists(limits, max_size=12))
    other_rows, other_state = cut(batches, cuts)
    assert same(rows, other_rows)
    assert state == other_state
    resumed_rows, resumed_state = cut(batches, cuts, resume=True)
    assert same(rows, resumed_rows)
    assert state == resumed_state


def sample_steps(chunk_records: int) -> tuple[tuple[Batch, ...], bytes]:
    folder = deployment.settings().sample_data / "es"
    paths = [folder / "esh4-20231225.mbp-10.dbn.zst", folder / "esh4-20231225.trades.dbn.zst"]
    config = EngineConfig()
    merger = Merger(INPUTS)
    offsets = dict.fromkeys(INPUTS, 0)
    state = features.initial_state(config, cme_es_sessions())
    out = []
    for step in stamped_batches(paths, config, chunk_records=chunk_records):
        for batch in step.batches:
            first = offsets[batch.name]
            offsets[batch.name] += batch.length
            merger.push(batch.name, batch, np.arange(first, first + batch.length, dtype=np.int64))
        for topic, offset in offsets.items():
            merger.promise(topic, offset, step.watermark_ns)
        events = merger.pop()
        out.append(features.step(state, events, events.until_ns))
    return joined(out), state.to_bytes()


def test_the_sample_session_gives_the_same_bytes_in_small_and_large_chunks() -> None:
    rows, state = sample_steps(65_536)
    assert rows[0].length > 40_000
    for chunk_records in (997, 10_000):
        other_rows, other_state = sample_steps(chunk_records)
        assert same(rows, other_rows)
        assert state == other_state


_CHILD = """
import hashlib
from tests.property.test_engine import sample_steps
rows, state = sample_steps(65_536)
digest = hashlib.sha256(state)
for batch in rows:
    for column in batch.columns.values():
        digest.update(column.values.tobytes())
print(digest.hexdigest())
"""


def test_the_hash_seed_changes_nothing() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _CHILD],
            cwd=deployment.PROJECT_ROOT,
            env=deployment.child_environment(PYTHONHASHSEED=seed),
            check=True, capture_output=True, text=True,
        ).stdout
        for seed in ("0", "4711")
    }  # fmt: skip
    assert len(digests) == 1
