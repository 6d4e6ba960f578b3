"""Books that go straight from DBN to ticks are, to the engine, those that go through dollars and columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import databento_dbn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.columns import Batch, concat
from common.config import EngineConfig
from common.errors import InputError
from common.topics import FUTURES_MBP10
from processors.engine import inputs
from producers.dbn import ticks
from producers.replay.files import engine_batches
from producers.stream import stamped_batches
from tests.support import dbn_files

TICK = 250_000_000
CONFIG = EngineConfig()
PRICES = (
    0,
    TICK,
    -TICK,
    6_000 * 4 * TICK,
    TICK + 200,
    TICK + 300,
    2**31 * TICK,
    2**62,
    -(2**63),
    databento_dbn.UNDEF_PRICE,
)
"""On the grid, within its tolerance, off it, beyond what a tick can hold, and absent."""

KINDS = (FUTURES_MBP10, "futures.trades.v1")


def random_records(schema: str, rng: np.random.Generator, count: int, *, wild: bool) -> NDArray[np.void]:
    """A feed of two instruments with groups, snapshots, clears, crossed and half-told books; ``wild``: odd prices."""
    rows = dbn_files.records(schema, np.cumsum(rng.integers(0, 3, count)).tolist())
    rows["instrument_id"] = rng.choice([17077, 17077, 17077, 5], count)
    rows["sequence"] = rng.integers(0, 4, count)
    rows["flags"] = rng.choice([0, 128, 128, 160, 136], count)
    rows["side"] = rng.choice([b"A", b"B", b"N"], count)
    if schema == "trades":
        rows["price"] = (24_000 + rng.integers(-3, 4, count)) * TICK + rng.choice([0, 0, 0, 10**8], count)
        return rows
    rows["action"] = rng.choice([b"A", b"C", b"M", b"R", b"T", b"N"], count)
    mid = 24_000 + np.cumsum(rng.integers(-1, 2, count) * (rng.random(count) < 0.3))
    for k in range(10):
        for side, sign in (("bid", -1), ("ask", 1)):
            price = (mid + sign * k + (sign > 0) * rng.integers(-1, 2)) * TICK
            absent = rng.random(count) < 0.05
            rows[f"{side}_px_{k:02d}"] = np.where(absent, databento_dbn.UNDEF_PRICE, price)
            rows[f"{side}_sz_{k:02d}"] = rng.integers(0, 50, count)
    if wild:
        for n in rng.integers(0, count, 6).tolist():
            rows[n][f"bid_px_{int(rng.integers(10)):02d}"] = PRICES[int(rng.integers(len(PRICES)))]
    return rows


def merged(steps: Any) -> tuple[dict[str, Any], list[int], str]:
    """What the engine is given of each topic, the last promise, and what was raised at the end."""
    batches: dict[str, list[Batch]] = {}
    promises: list[int] = [0]
    problem = ""
    try:
        for step in steps:
            promises.append(step.watermark_ns)
            for batch in step.batches:
                assert int(batch["ts_effective_ns"][0]) >= promises[-2]
                batches.setdefault(batch.name, []).append(batch)
    except InputError as error:
        problem = str(error)
    given: dict[str, Any] = {}
    for topic, parts in batches.items():
        whole = concat(parts)
        convert: Any = inputs.books if topic == FUTURES_MBP10 else inputs.trades
        given[topic] = (convert(whole), whole.columns["seq"].filled(-1, np.int64))
    return given, promises, problem


def same(one: Any, other: Any) -> bool:
    """Equal but for the levels of records that nobody applies."""
    (a, seq_a), (b, seq_b) = one, other
    if not (np.array_equal(seq_a, seq_b) and np.array_equal(a.ok, b.ok)):
        return False
    return all(np.array_equal(x[a.ok], y[a.ok]) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ticks")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.tuples(st.integers(1, 60), st.integers(0, 40), st.integers(0, 40)),
    chunk=st.integers(1, 70),
    block=st.integers(1, 30),
    damage=st.sampled_from(["", "cut", "length", "values"]),
)
def test_the_engine_is_given_the_same_records_and_promises(
    folder: Path, seed: int, counts: tuple[int, int, int], chunk: int, block: int, damage: str
) -> None:
    rng = np.random.default_rng(seed)
    books = random_records("mbp-10", rng, counts[0], wild=True)
    at = int(rng.integers(counts[0]))
    trades = random_records("trades", rng, counts[2] + 1, wild=False)
    if damage == "values":  # none of them ends the file
        books[at]["action"] = b"?"
        books[int(rng.integers(counts[0]))]["ask_sz_03"] = 2**31
        trades[int(rng.integers(len(trades)))]["side"] = b"?"
        trades[int(rng.integers(len(trades)))]["price"] = databento_dbn.UNDEF_PRICE
    elif damage == "length":
        books[at]["length"] = 3
    paths = [
        dbn_files.write(folder / "book.dbn", "mbp-10", books),
        dbn_files.write(folder / "late.dbn.zst", "mbp-10", random_records("mbp-10", rng, counts[1] + 1, wild=False)),
        dbn_files.write(folder / "trades.dbn", "trades", trades),
    ]
    if damage == "cut":
        whole = paths[0].read_bytes()
        paths[0].write_bytes(whole[: -int(rng.integers(1, 400))])
    letters: tuple[list[Any], list[Any]] = ([], [])
    general = merged(stamped_batches(paths, CONFIG, chunk_records=chunk, set_aside=lambda *a: letters[0].append(a)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ticks, "BLOCK_RECORDS", block)
        direct = merged(engine_batches(paths, CONFIG, chunk_records=chunk, set_aside=lambda *a: letters[1].append(a)))
    assert direct[0].keys() == general[0].keys()
    for topic, records in general[0].items():
        assert same(direct[0][topic], records), topic
    assert direct[1][-1] == general[1][-1]
    assert direct[2] == general[2]
    assert sorted(letters[1], key=str) == sorted(letters[0], key=str)


def test_a_room_is_used_again_only_when_nothing_refers_to_it() -> None:
    rooms = ticks.Rooms()
    first = rooms.take(10)
    place = first.ticks.__array_interface__["data"][0]
    part = first.seq[2:5]
    assert rooms.take(10).ticks.__array_interface__["data"][0] != place
    del first
    assert rooms.take(10).ticks.__array_interface__["data"][0] != place
    del part
    assert rooms.take(10).ticks.__array_interface__["data"][0] == place
