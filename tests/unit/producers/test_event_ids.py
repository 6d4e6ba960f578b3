"""Event ids: content, ordinals, independence of batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.columns import concat
from common.settings import settings
from common.topics import FUTURES_TRADES
from producers import dbn, event_ids
from producers.event_ids import EventIds, RecentIds, content_hashes, first_ids, fnv1a
from tests.support import dbn_files

MASK = 2**64 - 1


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def written_down(topic: str, words: list[int], ordinal: int) -> int:
    """The definition in the module's head, in plain integers."""
    h = fnv1a(topic)
    for word in words:
        h = mix(((h ^ word) + 0x9E3779B97F4A7C15) & MASK)
    unsigned = mix((h + ordinal * 0x9E3779B97F4A7C15) & MASK)
    return unsigned - 2**64 if unsigned >= 2**63 else unsigned


def test_fnv1a_has_its_published_values() -> None:
    assert fnv1a("") == 0xCBF29CE484222325
    assert fnv1a("a") == 0xAF63DC4C8601EC8C


def test_an_id_is_what_the_definition_says() -> None:
    words = [1, 17077, 1_703_545_200_097_787_583, 1_703_545_200_107_352_518, 5, ord("T"), ord("B"), 2**64 - 5, 44]
    columns = [np.array([word, word, word + 1], np.uint64) for word in words]
    ids = EventIds().assign(content_hashes(FUTURES_TRADES, columns)).tolist()
    assert ids == [
        written_down(FUTURES_TRADES, words, 0),
        written_down(FUTURES_TRADES, words, 1),
        written_down(FUTURES_TRADES, [(word + 1) & MASK for word in words], 0),
    ]


def test_an_id_of_the_sample_session_never_changes() -> None:
    batch = next(dbn.read([settings().sample_data / "es" / "esh4-20231225.trades.dbn.zst"]))
    assert batch["event_id"][:3].tolist() == [4959258161029584008, 8757834251845595372, 2634266258398469342]


def test_all_events_of_the_sample_session_have_different_ids_though_15_trades_repeat_another() -> None:
    folder = settings().sample_data / "es"
    files = [folder / f"esh4-20231225.{schema}.dbn.zst" for schema in ("mbp-10", "trades")]
    ids = np.concatenate([batch["event_id"] for batch in dbn.read(files)])
    assert len(ids) == 46_690
    assert len(np.unique(ids)) == 46_690


FIELDS = ("publisher_id", "instrument_id", "ts_event", "ts_recv", "sequence", "price", "size")


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_the_content_counts(tmp_path: Path, field: str) -> None:
    rows = dbn_files.records("mbp-10", [5, 5], sequence=1)
    rows[field][1] += 1
    ids = concat(list(dbn.read([dbn_files.write(tmp_path / "a.dbn", "mbp-10", rows)])))["event_id"]
    alone = concat(list(dbn.read([dbn_files.write(tmp_path / "b.dbn", "mbp-10", rows[1:])])))["event_id"]
    assert ids[1] == alone[0]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(("field", "value"), [("action", b"C"), ("side", b"A")])
def test_letters_of_the_content_count(tmp_path: Path, field: str, value: bytes) -> None:
    rows = dbn_files.records("mbp-10", [5, 5], sequence=1)
    rows[field][1] = value
    alone = concat(list(dbn.read([dbn_files.write(tmp_path / "b.dbn", "mbp-10", rows[1:])])))["event_id"]
    assert concat(list(dbn.read([dbn_files.write(tmp_path / "a.dbn", "mbp-10", rows)])))["event_id"][1] == alone[0]


def test_identical_records_are_told_apart_across_generations() -> None:
    hashes = np.arange(3 * event_ids.GENERATION_RECORDS, dtype=np.uint64)
    hashes[1::1000] = 7
    ids = EventIds().assign(hashes)
    assert len(np.unique(ids)) == len(ids)


def test_an_id_is_new_once() -> None:
    recent = RecentIds(16)
    assert recent.notice(np.array([5, 0, 5, -7, 0], np.int64)).tolist() == [True, True, False, True, False]
    assert recent.notice(np.array([-7, 1 << 62], np.int64)).tolist() == [False, True]


@pytest.mark.parametrize("cut", [1, 3, 64])
def test_the_newest_ids_are_known_and_the_oldest_are_forgotten(cut: int) -> None:
    recent = RecentIds(16)
    ids = np.random.default_rng(3).integers(-(2**63), 2**63 - 1, 400)
    for start in range(0, len(ids), cut):
        assert recent.notice(ids[start : start + cut]).all()
        assert not recent.notice(ids[max(0, start + cut - 16) : start + cut]).any()
    assert recent.notice(ids[:32]).all()


def test_the_first_id_of_a_content_is_that_of_ordinal_0() -> None:
    hashes = np.array([9, 9, 1], np.uint64)
    ids = EventIds().assign(hashes)
    assert first_ids(hashes).tolist() == [ids[0], ids[0], ids[2]]
    assert ids[0] != ids[1]
