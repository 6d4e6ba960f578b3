"""Where tasks run: in this process, or on Ray, which is either started here and ended with the work, or a cluster's."""

from __future__ import annotations

import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, Protocol

from common.errors import UnavailableError
from common.settings import PROJECT_ROOT, environment_with_prefix, settings, tell_library
from producers.replay.backfill.session import Done, Job, compute

LOOPBACK = "127.0.0.1"
ANSWER_S = 10.0
STORE_BYTES = 80 * 1024 * 1024
"""Ray's shared memory here: tasks pass a few numbers, rows go to files."""


class Workers(Protocol):
    """Runs tasks."""

    def results(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Done | Exception]]:
        """Each job with what became of it, as they come to their end."""
        ...


class InProcess:
    """One task after the other, here."""

    def results(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Done | Exception]]:
        """Each job in its order."""
        for job in jobs:
            try:
                yield job, compute(job)
            except Exception as error:
                yield job, error


class OnRay:
    """Tasks on Ray, which is up; see `ray_workers`."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def results(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Done | Exception]]:
        """Each job as soon as its task has ended."""
        # Retries are the caller's, who reports them; a task that Ray repeated silently would not be seen.
        task = self._ray.remote(num_cpus=1, max_retries=0)(compute)
        running = {task.remote(job): job for job in jobs}
        while running:
            ended, _ = self._ray.wait(list(running), num_returns=1)
            for reference in ended:
                job = running.pop(reference)
                try:
                    yield job, self._ray.get(reference)
                except Exception as error:
                    yield job, _cause(error)


@contextmanager
def ray_workers(workers: int, address: str | None) -> Iterator[OnRay]:
    """Ray for the time of the block: ``workers`` processes on this machine, or the cluster at ``address``.

    This machine belongs to that cluster. All its machines have this project in the same folder, with the libraries of
    its lock, and reach the same catalog and tables under the same names. Where those are goes with the tasks. What is
    started here listens on this machine only, shows no dashboard, tells nobody anything, and is gone afterwards. Raises
    UnavailableError when Ray does not start or the cluster does not answer.
    """
    # Ray takes these from the environment alone.
    tell_library(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
    if address is None:
        # A token of this process's own: nobody else on the machine gets in, and none is kept in a file.
        tell_library(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    given = {
        **{f"PYICEBERG_{name}": value for name, value in environment_with_prefix("PYICEBERG_").items()},
        "BREAKWATER_HOME": str(settings().home),
        "BREAKWATER_CATALOG": settings().catalog,
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    shared: dict[str, Any] = {
        "runtime_env": {"env_vars": given},
        "log_to_driver": False,
        "configure_logging": False,
        "logging_level": "ERROR",
    }
    folder = None if address is not None else tempfile.mkdtemp(prefix="bw-ray-")
    # Ray tells of machines that died on standard output, where a caller's report goes.
    with redirect_stdout(sys.stderr):
        try:
            try:
                if address is not None:
                    _call(address)
                    ray.init(address=address, **shared)
                else:
                    ray.init(
                        num_cpus=workers,
                        include_dashboard=False,
                        object_store_memory=STORE_BYTES,
                        _node_ip_address=LOOPBACK,
                        _temp_dir=folder,
                        **shared,
                    )
            except Exception as error:
                # Ray raises a plain one when a node does not come up in time.
                raise UnavailableError(
                    f"Ray {'at ' + address if address else 'on this machine'} is not to be had: {error}",
                    hint="Run it on a machine of the cluster, with its address (host:port) and RAY_AUTH_ variables,"
                    " or leave --ray-address out.",
                ) from error
            yield OnRay(ray)
        finally:
            ray.shutdown()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def _call(address: str) -> None:
    """Raises OSError when nothing listens there, ValueError for no address: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), ANSWER_S).close()


def _cause(error: Exception) -> Exception:
    """What went wrong in the task, not how Ray wraps it: with the traceback, as text."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error
