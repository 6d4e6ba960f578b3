"""The stamped stream is the same however it is cut, and in whatever order its files are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.config import EngineConfig
from common.settings import settings as where
from producers.stream import stamped_batches
from tests.support import dbn_files

TIMES = st.lists(st.integers(0, 30), max_size=40)
"""Event times in file order: out of order and equal ones among them."""

Stream = dict[str, list[tuple[int, int, int, bool]]]


def stream(paths: list[Path], chunk: int) -> tuple[Stream, int]:
    """Per topic (id, event time, effective time, late) of every record, and the last promise; promises are checked."""
    out: Stream = {}
    promise_ns = 0
    for step in stamped_batches(paths, EngineConfig(), chunk_records=chunk):
        for batch in step.batches:
            fields = (batch[name].tolist() for name in ("event_id", "ts_event_ns", "ts_effective_ns", "is_late"))
            rows = list(zip(*fields, strict=True))
            assert all(row[2] >= promise_ns for row in rows)
            out.setdefault(batch.name, []).extend(rows)
        assert step.watermark_ns >= promise_ns
        promise_ns = step.watermark_ns
    return out, promise_ns


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbn")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(book=TIMES, trades=TIMES, more=TIMES, chunk=st.integers(1, 45), order=st.permutations([0, 1, 2]))
def test_any_cut_and_any_order_of_files_give_the_same_stream(
    folder: Path, book: list[int], trades: list[int], more: list[int], chunk: int, order: list[int]
) -> None:
    files = [
        dbn_files.write(folder / "book.dbn", "mbp-10", dbn_files.records("mbp-10", book, sequence=1)),
        dbn_files.write(folder / "front.dbn", "trades", dbn_files.records("trades", trades, sequence=1)),
        dbn_files.write(
            folder / "back.dbn.zst", "trades", dbn_files.records("trades", more, sequence=1, instrument_id=5)
        ),
    ]
    whole, end_ns = stream(files, 1_000)
    cut, cut_end_ns = stream([files[i] for i in order], chunk)
    assert cut == whole
    assert cut_end_ns == end_ns
    ids = [row[0] for rows in whole.values() for row in rows]
    assert len(set(ids)) == len(ids) == len(book) + len(trades) + len(more)
    for rows in whole.values():
        effective = [row[2] for row in rows]
        assert effective == sorted(effective)


def test_the_sample_sessions_stream_does_not_depend_on_its_cut() -> None:
    files = [where().sample_data / "es" / f"esh4-20231225.{schema}.dbn.zst" for schema in ("mbp-10", "trades")]
    whole = stream(files, 100_000)
    assert {topic: len(rows) for topic, rows in whole[0].items()} == {
        "futures.mbp10.v1": 43_717,
        "futures.trades.v1": 2_973,
    }
    assert stream(files[::-1], 777) == whole
