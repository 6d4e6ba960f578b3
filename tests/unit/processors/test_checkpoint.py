"""A checkpoint survives the log as it was, and a damaged one is never taken for whole."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path

import pytest

from common.settings import PROJECT_ROOT
from processors.checkpoint import CHUNK_BYTES, Checkpoint, newest, source_hash, to_records


def make(generation: int = 1, state: bytes = b"state") -> Checkpoint:
    return Checkpoint(
        generation=generation,
        config_hash="c",
        code_version="v",
        next_offsets={"a": 2**40, "b": 0},
        promises_ns={"a": -(2**63), "b": 5},
        set_aside=("b",),
        files_open=("a",),
        until_ns=17,
        last_snap_ns=16,
        state=state,
    )


def large(generation: int) -> Checkpoint:
    return make(generation, random.Random(generation).randbytes(3 * CHUNK_BYTES))


@pytest.mark.parametrize("state", [b"", b"x", b"x" * 5_000_000])
def test_what_is_written_is_read_back(state: bytes) -> None:
    assert newest("SPY", to_records("SPY", make(3, state))) == make(3, state)


def test_a_large_state_is_cut_into_chunks_that_a_broker_takes() -> None:
    records = to_records("SPY", large(1))
    assert [key for key, _ in records] == [b"SPY/1/0", b"SPY/1/1", b"SPY/1/2", b"SPY/1/3", b"SPY/1"]
    assert max(len(value) for _, value in records) <= CHUNK_BYTES + 8
    assert newest("SPY", records) == large(1)


def test_the_newest_whole_one_wins_whatever_the_order_of_records() -> None:
    records = [*to_records("SPY", large(4)), *to_records("SPY", large(3))]
    random.Random(1).shuffle(records)
    found = newest("SPY", records)
    assert found is not None and found.generation == 4


def test_compaction_always_leaves_the_one_before_the_newest() -> None:
    log = dict(record for generation in range(1, 6) for record in to_records("SPY", large(generation)))
    del log[b"SPY/1/1"]
    assert newest("SPY", log.items()) == large(4)


def test_chunks_of_another_generation_are_not_mixed_in() -> None:
    log = dict([*to_records("SPY", large(1)), *to_records("SPY", large(3))])
    log[b"SPY/1"] = dict(to_records("SPY", large(1)))[b"SPY/1"]
    assert newest("SPY", log.items()) is None


def test_a_flipped_byte_or_a_missing_chunk_spoils_only_its_own_checkpoint() -> None:
    old, new = to_records("SPY", large(1)), to_records("SPY", large(2))
    key, value = new[1]
    damaged = [new[0], (key, value[:100] + bytes([value[100] ^ 1]) + value[101:]), *new[2:]]
    assert newest("SPY", [*old, *damaged]) == large(1)
    assert newest("SPY", [*old, *new[1:]]) == large(1)


def test_checkpoints_of_other_complexes_and_foreign_records_are_passed_over() -> None:
    foreign = [
        (None, b"x"),
        (b"SPY", b"x"),
        (b"SPY/0", b"not json"),
        (b"SPY/0", b"[]"),
        (b"SPY/0/x", b"y"),
        (b"SPY/1", None),
    ]
    assert newest("SPY", [*to_records("QQQ", make(9)), *foreign]) is None


def test_a_manifest_of_another_format_is_passed_over() -> None:
    records = dict(to_records("SPY", make(1)))
    records[b"SPY/1"] = records[b"SPY/1"].replace(b'"format_version":2', b'"format_version":1')
    assert newest("SPY", records.items()) is None


def test_a_checkpoint_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().generation = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    "changed",
    [
        "processors/engine/order.py",
        "common/prices.py",
        "common/config.py",
        "common/sessions.py",
        "common/cme_es_sessions.csv",
        "common/nyse_sessions.csv",
    ],
)
def test_what_the_state_depends_on_is_part_of_the_codes_version(changed: str, tmp_path: Path) -> None:
    for folder in ("processors/engine", "common"):
        shutil.copytree(PROJECT_ROOT / folder, tmp_path / folder)
    before = source_hash(tmp_path)
    assert before == source_hash(PROJECT_ROOT)
    with (tmp_path / changed).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert source_hash(tmp_path) != before


def test_code_that_the_state_does_not_depend_on_is_no_part_of_it(tmp_path: Path) -> None:
    for folder in ("processors/engine", "common"):
        shutil.copytree(PROJECT_ROOT / folder, tmp_path / folder)
    before = source_hash(tmp_path)
    (tmp_path / "common" / "telemetry.py").write_text("", encoding="utf-8")
    assert source_hash(tmp_path) == before
