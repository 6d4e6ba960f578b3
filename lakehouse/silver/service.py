"""Silver and Gold as a service: every closed hour is computed as soon as the sink has committed it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from common import iceberg
from common.config import load_config
from common.errors import ConflictError, InvariantError, SchemaError, UnavailableError
from common.settings import settings
from common.telemetry import Health, get_logger, serve_health, stop_requested
from lakehouse.silver import metrics
from lakehouse.silver.pipeline import Closures, Derivation, derivations

log = get_logger("lakehouse.silver")

SERVICE = "silver"
IDLE_S = 5.0
"""Pause after a round that found nothing to do."""

MAX_FAILURES = 12
"""Failures of one table in a row before the service ends with the last one."""

LONGEST_PAUSE_S = 30.0


def rounds(closures: Closures, tables: Sequence[Derivation]) -> Iterator[tuple[Derivation, int]]:
    """One step of each table in turn, as (table, rows it has committed), until nothing is left to do.

    Raises what a step raises; going on afterwards is what a new call does.
    """
    busy = True
    while busy:
        busy = False
        closures.refresh()
        for derivation in tables:
            started_s = time.monotonic()
            step = derivation.step()
            name = derivation.table.name
            metrics.PENDING.labels(name).set(step.pending)
            if step.hours:
                busy = True
                metrics.ROWS.labels(name).inc(step.rows)
                metrics.HOURS.labels(name).inc(step.hours)
                metrics.STEP_SECONDS.labels(name).observe(time.monotonic() - started_s)
                log.info("hours_computed", table=name, hours=step.hours, rows=step.rows, pending=step.pending)
            yield derivation, step.rows


def prepare() -> tuple[Closures, tuple[Derivation, ...]]:
    """This deployment's computed tables, and what closes their hours (it remembers the heartbeats it has read)."""
    closures = Closures(settings().namespace)
    return closures, derivations(iceberg.open_catalog(), load_config(), settings().namespace, closures)


def compute(
    closures: Closures,
    tables: Sequence[Derivation],
    stop: threading.Event,
    health: Health | None = None,
    told: Callable[[str, int], None] = lambda _table, _rows: None,
) -> Counter[str]:
    """Compute all closed hours of the tables, once; returns the rows committed, by table.

    Ends early when ``stop`` is set. ``told`` is told of each step: the table, and the rows it has got by then. Another
    writer's commit in between and short failures are borne; raises UnavailableError when a table keeps failing,
    InvariantError and SchemaError at once.
    """
    done: Counter[str] = Counter({derivation.table.name: 0 for derivation in tables})
    failures = 0
    while not stop.is_set():
        try:
            for derivation, rows in rounds(closures, tables):
                done[derivation.table.name] += rows
                told(derivation.table.name, done[derivation.table.name])
                failures = 0
                if health is not None:
                    health.set(derivation.table.name, True)
                if stop.is_set():
                    return done
            return done
        except ConflictError as error:
            metrics.CONFLICTS.inc()
            log.info("overtaken", detail=str(error))
        except (InvariantError, SchemaError):
            raise
        except Exception as error:
            failures += 1
            metrics.FAILURES.inc()
            log.warning("step_failed", attempt=failures, error=repr(error))
            if health is not None:
                health.set("tables", False, repr(error))
            if failures >= MAX_FAILURES:
                raise UnavailableError(
                    f"computing the tables failed {failures} times, last with {error!r}",
                    hint="Check the Iceberg catalog and the warehouse's disk or object store.",
                ) from error
            stop.wait(min(0.1 * 2**failures, LONGEST_PAUSE_S))
    return done


class Awaited:
    """Whether the computed tables have all that is closed, once nothing more comes into the sink's tables."""

    def __init__(self) -> None:
        self._closures, tables = prepare()
        self._open = list(tables)

    def done(self) -> bool:
        """Look again; a table that has been found complete, after those it is computed from, is not looked at twice."""
        self._closures.refresh()
        while self._open and self._open[0].is_current():
            self._open.pop(0)
        return not self._open


def serve() -> None:
    """Run until SIGTERM or SIGINT. Raises the error that ended it, if one did."""
    stop = stop_requested()
    health = Health()
    health.set("tables", False, "starting")
    with serve_health(SERVICE, health):
        closures, tables = prepare()
        while not stop.is_set():
            compute(closures, tables, stop, health)
            health.set("tables", True)
            stop.wait(IDLE_S)
