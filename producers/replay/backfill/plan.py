"""Which sessions are to be computed, and doing it: finished ones are passed over, failed ones tried again."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from common.errors import ConfigError, InputError
from common.sessions import cme_es_sessions
from producers.replay.backfill.session import Done, Job, finished, forget
from producers.replay.backfill.workers import Workers

ATTEMPTS = 3
"""How often a session is tried before it is reported as failed."""

Told = Callable[[int, Done | Exception, bool], None]
"""Told of each attempt's outcome by date; the last argument is True when the session will be tried again."""


class Landing(Protocol):
    """Where sessions end up."""

    def landed(self) -> Mapping[int, Done]:
        """The sessions that are there, whole, by date."""
        ...

    def land(self, done: Done) -> None:
        """Bring a session in from its folder; again and again changes nothing.

        Raises InputError when the folder does not hold what was computed.
        """
        ...


@dataclass
class Report:
    """What became of each session, by date. ``retried``: attempts that failed, of any session."""

    done: dict[int, Done] = field(default_factory=dict)
    passed_over: dict[int, Done] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)
    retried: Counter[int] = field(default_factory=Counter)
    without_inputs: list[int] = field(default_factory=list)

    @property
    def all(self) -> dict[int, Done]:
        """Every session that has landed, by date."""
        return dict(sorted({**self.passed_over, **self.done}.items()))


def sessions_between(first: int, last: int) -> list[int]:
    """The trade dates (yyyymmdd) of ES from ``first`` to ``last``, both included. Raises ConfigError for none."""
    dates = [date for date in cme_es_sessions().date.tolist() if first <= date <= last]
    if not dates:
        raise ConfigError(f"ES has no session from {first} to {last}", hint="Dates are written 2025-06-02.")
    return dates


def backfill(jobs: Sequence[Job], workers: Workers, landing: Landing, told: Told) -> Report:
    """Compute the jobs' sessions and land them, those excepted that have landed. ``landing``'s errors are its own.

    What was computed before, and did not land, is landed as it is.
    """
    report = Report()
    left: list[Job] = []
    there = landing.landed()
    for job in jobs:
        known = there.get(job.date)
        if known is None:
            left.append(job)
        else:
            report.passed_over[job.date] = known
            told(job.date, known, False)
            forget(job)
    for attempt in range(1, ATTEMPTS + 1):
        again: list[Job] = []
        for job, computed in _computed(left, workers):
            outcome = _landed(landing, job, computed) if isinstance(computed, Done) else computed
            if isinstance(outcome, Done):
                report.done[job.date] = outcome
                report.failed.pop(job.date, None)
            else:
                report.failed[job.date] = outcome
                report.retried[job.date] += attempt < ATTEMPTS
                again.append(job)
            told(job.date, outcome, not isinstance(outcome, Done) and attempt < ATTEMPTS)
        left = again
        if not left:
            break
    return report


def _computed(jobs: Sequence[Job], workers: Workers) -> Iterator[tuple[Job, Done | Exception]]:
    fresh = []
    for job in jobs:
        known = finished(job)
        if known is None:
            fresh.append(replace(job, attempt=secrets.token_hex(4)))
        else:
            yield job, known
    yield from workers.results(fresh)


def _landed(landing: Landing, job: Job, done: Done) -> Done | Exception:
    try:
        landing.land(done)
    except InputError as error:
        # Whatever happened to the folder, the session can be computed again.
        forget(job)
        return error
    except Exception as error:
        return error
    forget(job)
    return done
