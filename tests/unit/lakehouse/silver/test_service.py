"""The service goes on after short failures and conflicts, and ends loudly when a table keeps failing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from common.errors import ConflictError, InvariantError, UnavailableError
from lakehouse.silver import service
from lakehouse.silver.pipeline import Step


class Table:
    """A computed table whose steps end as told; afterwards nothing is left to do."""

    name = "silver.example"

    def __init__(self, outcomes: Sequence[Step | Exception]) -> None:
        self.table = self
        self._outcomes = list(outcomes)

    def step(self) -> Step:
        outcome = self._outcomes.pop(0) if self._outcomes else Step(0, 0, 0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Closures:
    """Closes nothing and counts how often it is asked."""

    refreshed = 0

    def refresh(self) -> None:
        self.refreshed += 1


class Stop(threading.Event):
    """Nobody waits in a test."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def compute(*outcomes: Step | Exception) -> int:
    closures: Any = Closures()
    tables: Any = (Table(outcomes),)
    return service.compute(closures, tables, Stop())["silver.example"]


def test_it_goes_on_until_nothing_is_left(home: object) -> None:
    assert compute(Step(24, 100, 5), Step(5, 20, 0)) == 120


def test_a_conflict_and_short_failures_are_borne(home: object) -> None:
    assert compute(ConflictError("other"), OSError("disk"), Step(1, 7, 0), OSError("disk"), Step(1, 8, 0)) == 15


def test_a_table_that_keeps_failing_ends_it_and_a_broken_promise_does_at_once(home: object) -> None:
    with pytest.raises(UnavailableError, match="disk"):
        compute(*[OSError("disk")] * service.MAX_FAILURES)
    with pytest.raises(InvariantError, match="made anew"):
        compute(InvariantError("made anew"))
