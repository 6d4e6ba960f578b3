"""The record of what was tried on which test days."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import InputError
from processors.study.ledger import Ledger, frozen_hash

NOW = "2025-06-03T00:00:00+00:00"


def test_another_configuration_on_the_same_days_is_another_variant(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "study" / "ledger.jsonl")
    assert ledger.open_days([20250602, 20250603], "a", "x", NOW).variants == 1
    second = ledger.open_days([20250603], "b", "x", NOW)
    assert (second.variants, second.looks) == (2, 2)


def test_the_same_configuration_again_is_a_look_and_no_variant(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.open_days([20250603], "a", "x", NOW)
    again = ledger.open_days([20250603], "a", "x", NOW)
    assert (again.variants, again.looks) == (1, 2)


def test_other_days_have_seen_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.open_days([20250602], "a", "x", NOW)
    assert ledger.open_days([20250603], "b", "x", NOW).variants == 1


def test_lines_are_json_and_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    entry = Ledger(path).open_days([20250603], "a", "x", NOW)
    assert json.loads(path.read_text())["days"] == [20250603]
    assert Ledger(path).entries() == [entry]


@pytest.mark.parametrize("line", ["{", "[1]", '{"days": [1]}'])
def test_a_damaged_ledger_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=r"ledger\.jsonl:1"):
        Ledger(path).open_days([20250603], "a", "x", NOW)


def test_the_frozen_hash_follows_the_engine_and_every_choice() -> None:
    one = frozen_hash("x", {"fee_usd": 2.25, "seed": 1})
    assert one == frozen_hash("x", {"seed": 1, "fee_usd": 2.25})
    assert len({one, frozen_hash("y", {"fee_usd": 2.25, "seed": 1}), frozen_hash("x", {"fee_usd": 0, "seed": 1})}) == 3
