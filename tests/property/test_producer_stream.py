"""The stamped stream is the same however it is cut, and in whatever order its files are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.config import EngineConfig, make_config
from common.settings import settings as where
from producers.massive import capture
from producers.stream import stamped_batches
from tests.support import captures, dbn_files

TIMES = st.lists(st.integers(0, 30), max_size=40)
"""Event times in file order: out of order and equal ones among them."""

Stream = dict[str, list[tuple[int, int, int, bool]]]


def stream(paths: list[Path], chunk: int, config: EngineConfig | None = None) -> tuple[Stream, int]:
    """Per topic (id, event time, effective time, late) of every record, and the last promise; promises are checked."""
    out: Stream = {}
    promise_ns = 0
    for step in stamped_batches(paths, config or EngineConfig(), chunk_records=chunk):
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


Message = tuple[tuple[str, Callable[[int], dict[str, Any]]], int]
"""A channel with what makes its message, and the message's time in ms."""

KINDS = (
    ("stocks", captures.stock_trade),
    ("stocks", captures.stock_quote),
    ("options", captures.option_trade),
    ("options", captures.option_quote),
    ("chain", captures.chain_entry),
)
MESSAGES = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 700)), max_size=40)
"""Messages in file order, their times out of order, and equal ones among them."""


def capture_file(path: Path, messages: list[Message]) -> Path:
    """A capture with one message a line, and a line without any."""
    lines = [captures.line(channel, [make(ms)]) for (channel, make), ms in messages]
    return captures.write(path, [*lines, captures.line("stocks", [])])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    book=TIMES,
    messages=st.tuples(MESSAGES, MESSAGES),
    chunk=st.integers(1, 45),
    lines=st.integers(1, 50),
    order=st.permutations([0, 1, 2]),
    lateness_s=st.tuples(*[st.sampled_from([0.0, 0.05, 0.25])] * 3),
)
def test_captures_and_dbn_files_are_one_stream_however_they_are_cut_and_named(
    folder: Path,
    book: list[int],
    messages: tuple[list[Message], list[Message]],
    chunk: int,
    lines: int,
    order: list[int],
    lateness_s: tuple[float, float, float],
) -> None:
    names = ("futures", "stocks", "options")
    config = make_config({f"LATENESS_{name.upper()}_S": s for name, s in zip(names, lateness_s, strict=True)})
    times_ns = [ms * 1_000_000 for ms in book]
    files = [
        dbn_files.write(folder / "book.dbn", "mbp-10", dbn_files.records("mbp-10", times_ns, sequence=1)),
        capture_file(folder / "a.massive.jsonl", messages[0]),
        capture_file(folder / "b.massive.jsonl.zst", messages[1]),
    ]
    whole, end_ns = stream(files, 1_000, config)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(capture, "CHUNK_LINES", lines)
        assert stream([files[i] for i in order], chunk, config) == (whole, end_ns)
    assert sum(map(len, whole.values())) == len(book) + len(messages[0]) + len(messages[1])
    for topic, rows in whole.items():
        effective = [row[2] for row in rows]
        assert effective == sorted(effective)
        late_ns = round(lateness_s[names.index(topic.partition(".")[0])] * 1e9)
        assert all(is_late == (effective_ns > event_ns + late_ns) for _, event_ns, effective_ns, is_late in rows)


def test_the_sample_sessions_stream_does_not_depend_on_its_cut() -> None:
    files = [where().sample_data / "es" / f"esh4-20231225.{schema}.dbn.zst" for schema in ("mbp-10", "trades")]
    whole = stream(files, 100_000)
    assert {topic: len(rows) for topic, rows in whole[0].items()} == {
        "futures.mbp10.v1": 43_717,
        "futures.trades.v1": 2_973,
    }
    assert stream(files[::-1], 777) == whole
