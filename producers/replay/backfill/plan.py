"""Which sessions are to be computed, and doing it: finished ones are passed over, failed ones tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from common.errors import ConfigError
from common.sessions import cme_es_sessions
from producers.replay.backfill.session import Done, Job, finished
from producers.replay.backfill.workers import Workers

ATTEMPTS = 3
"""How often a session is tried before it is reported as failed."""

Told = Callable[[int, Done | Exception], None]
"""Told of each session that ended, well or not."""


@dataclass
class Report:
    """What became of each session, by date."""

    done: dict[int, Done] = field(default_factory=dict)
    passed_over: dict[int, Done] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)
    without_inputs: list[int] = field(default_factory=list)

    @property
    def all(self) -> dict[int, Done]:
        """Every session whose folder is whole, by date."""
        return dict(sorted({**self.passed_over, **self.done}.items()))


def sessions_between(first: int, last: int) -> list[int]:
    """The trade dates (yyyymmdd) of ES from ``first`` to ``last``, both included. Raises ConfigError for none."""
    dates = [date for date in cme_es_sessions().date.tolist() if first <= date <= last]
    if not dates:
        raise ConfigError(f"ES has no session from {first} to {last}", hint="Dates are written 2025-06-02.")
    return dates


def backfill(jobs: Sequence[Job], workers: Workers, config_hash: str, told: Told) -> Report:
    """Compute the jobs' sessions, those excepted whose folders are whole.

    Raises ConfigError when a folder was computed under another configuration; then nothing is computed.
    """
    report = Report()
    left: list[Job] = []
    for job in jobs:
        known = finished(job.out, job.date)
        if known is None:
            left.append(job)
        elif known.config_hash != config_hash:
            raise ConfigError(
                f"{job.out}/{job.date} was computed under {known.config_hash}, not under {config_hash}",
                hint="A folder holds one configuration: give another --out.",
            )
        else:
            report.passed_over[job.date] = known
            told(job.date, known)
    for attempt in range(ATTEMPTS):
        again: list[Job] = []
        for job, outcome in workers.results(left):
            if isinstance(outcome, Done):
                report.done[job.date] = outcome
                report.failed.pop(job.date, None)
                told(job.date, outcome)
                continue
            report.failed[job.date] = outcome
            again.append(job)
            if attempt == ATTEMPTS - 1:
                told(job.date, outcome)
        left = again
        if not left:
            break
    return report
