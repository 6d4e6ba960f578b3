"""Crashes of the DBN producer, at any call, in thousands of schedules: the log ends up as after an undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InputError
from producers.publish import Outcome
from tests.support import captures, dbn_files
from tests.support.memory_log import Crash, Fault, MemoryLog
from tests.support.producer_run import ALL_TOPICS, TOPICS, assert_promises_hold, beats, fresh_log, ids, publish

TIMES_NS = st.lists(st.integers(0, 600_000_000).map(lambda ns: ns // 50_000_000 * 50_000_000), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbn")


def two_files(folder: Path, book_ns: list[int], trade_ns: list[int]) -> list[Path]:
    """A book file and a trades file with the same times again and again, and identical records among them."""
    book = dbn_files.records("mbp-10", sorted(book_ns), sequence=1)
    trades = dbn_files.records("trades", sorted(trade_ns), sequence=1)
    return [
        dbn_files.write(folder / "book.dbn", "mbp-10", book),
        dbn_files.write(folder / "trades.dbn", "trades", trades),
    ]


def publish_through(log: MemoryLog, files: list[Path], crashes: list[tuple[int, Fault]], chunk: int) -> Outcome:
    """Publish again after each crash; what the last run, which nothing disturbs, says of itself."""
    for after, fault in crashes:
        log.faults = {log.operations + after: fault}
        try:
            publish(log.process(), files, chunk_records=chunk)
        except Crash:
            continue
    log.faults = {}
    return publish(log.process(), files, chunk_records=chunk)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    book_ns=TIMES_NS,
    trade_ns=TIMES_NS,
    crashes=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from([Fault.CRASH_BEFORE, Fault.CRASH_AFTER])), max_size=4
    ),
    chunk=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_crash_at_any_call_neither_loses_nor_doubles_a_record(
    folder: Path, book_ns: list[int], trade_ns: list[int], crashes: list[tuple[int, Fault]], chunk: int, seed: int
) -> None:
    files = two_files(folder, book_ns, trade_ns)
    undisturbed = fresh_log()
    publish(undisturbed, files)

    log = fresh_log(seed)
    outcome = publish_through(log, files, crashes, chunk)

    for topic in TOPICS:
        assert ids(log, topic) == ids(undisturbed, topic)
    assert outcome.complete
    assert outcome.records == {TOPICS[0]: len(book_ns), TOPICS[1]: len(trade_ns)}
    assert_promises_hold(log)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    book_ns=TIMES_NS,
    quote_ms=st.lists(st.integers(0, 600), min_size=1, max_size=40),
    crashes=st.lists(
        st.tuples(st.integers(1, 90), st.sampled_from([Fault.CRASH_BEFORE, Fault.CRASH_AFTER])), max_size=4
    ),
    chunk=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_crash_at_any_call_of_an_input_with_a_capture_neither_loses_nor_doubles_a_record(
    folder: Path, book_ns: list[int], quote_ms: list[int], crashes: list[tuple[int, Fault]], chunk: int, seed: int
) -> None:
    lines = [captures.line("stocks", [captures.stock_quote(ms), captures.stock_trade(ms // 100)]) for ms in quote_ms]
    lines += [captures.line("options", [captures.option_quote(ms), captures.option_trade(ms)]) for ms in quote_ms]
    files = [
        *two_files(folder, book_ns, book_ns)[:1],
        captures.write(folder / "c.massive.jsonl", [*lines, captures.line("chain", [captures.chain_entry(5)])]),
    ]
    undisturbed = fresh_log()
    publish(undisturbed, files)
    log = fresh_log(seed)
    outcome = publish_through(log, files, crashes, chunk)
    for topic in ALL_TOPICS:
        assert ids(log, topic) == ids(undisturbed, topic)
    assert outcome.complete
    assert sum(outcome.records.values()) == len(book_ns) + 4 * len(quote_ms) + 1
    assert_promises_hold(log, ALL_TOPICS)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(book_ns=TIMES_NS, trade_ns=TIMES_NS, refused=st.sets(st.integers(1, 120), max_size=20), seed=st.integers(0, 99))
def test_a_full_queue_delays_records_and_keeps_their_order(
    folder: Path, book_ns: list[int], trade_ns: list[int], refused: set[int], seed: int
) -> None:
    files = two_files(folder, book_ns, trade_ns)
    undisturbed, log = fresh_log(), fresh_log(seed)
    publish(undisturbed, files)
    log.faults = dict.fromkeys(refused, Fault.ERROR)
    publish(log, files, chunk_records=7, queue_records=3)
    for topic in TOPICS:
        assert ids(log, topic) == ids(undisturbed, topic)
    assert_promises_hold(log)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(book_ns=TIMES_NS, trade_ns=TIMES_NS, keep=st.floats(0, 1), chunk=st.integers(1, 20))
def test_a_repaired_file_goes_on_where_the_truncated_one_ended(
    folder: Path, book_ns: list[int], trade_ns: list[int], keep: float, chunk: int
) -> None:
    files = two_files(folder, book_ns, trade_ns)
    undisturbed, log = fresh_log(), fresh_log()
    publish(undisturbed, files)
    whole = files[0].read_bytes()
    header = len(whole) - 368 * len(book_ns)
    files[0].write_bytes(whole[: header + max(int(keep * 368 * len(book_ns)), 1)])
    try:
        publish(log, files, chunk_records=chunk)
        looked_whole = True
    except InputError:
        assert not any(beat.ended for beat in beats(log))
        looked_whole = False
    files[0].write_bytes(whole)
    publish(log, files, chunk_records=chunk)
    for topic in TOPICS:
        # A cut between two records cannot be seen: the end was promised, and what follows applies after it.
        fields = 2 if looked_whole else 3
        assert [row[:fields] for row in ids(log, topic)] == [row[:fields] for row in ids(undisturbed, topic)]
    assert_promises_hold(log)
