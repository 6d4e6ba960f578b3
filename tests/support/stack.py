"""One broker and one registry for a whole test session."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.endpoints import Endpoints
from common.settings import settings
from infra.local import stack

REDPANDA_IMAGE = "redpandadata/redpanda:v24.3.1"
KEPT = ("CACHE", "MINIO", "KAFKA_BOOTSTRAP", "KAFKA_SECURITY", "KAFKA_SASL_PASSWORD", "REGISTRY_URL", "SAMPLE_DATA")
"""Settings that a test session takes from the environment it is started in; all others would change what tests see."""


@contextmanager
def environment(**changes: str | None) -> Iterator[None]:
    """Environment variables changed while the block runs (None removes one), and the settings read anew."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    settings.cache_clear()


@contextmanager
def session_environment(home: Path) -> Iterator[None]:
    """A home of the session's own, and none of the user's settings beyond those that say where servers and data are."""
    foreign = [n for n in os.environ if n.startswith("BREAKWATER_") and n.removeprefix("BREAKWATER_") not in KEPT]
    with environment(**dict.fromkeys(foreign), BREAKWATER_HOME=str(home)):
        yield


@contextmanager
def session_stack(home: Path) -> Iterator[Endpoints]:
    """Servers given by the environment; else Redpanda where a Docker engine answers; else the native stack in ``home``.

    While the block runs the environment names them, so that child processes meet the same ones.
    """
    with _servers(home) as endpoints:
        named = {
            "BREAKWATER_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
            "BREAKWATER_REGISTRY_URL": endpoints.registry_url,
        }
        with environment(**named):
            yield endpoints


@contextmanager
def _servers(home: Path) -> Iterator[Endpoints]:
    missing = stack.local_parts()
    if missing == stack.LOG and docker_answers():
        with _redpanda() as endpoints:
            yield endpoints
        return
    try:
        yield stack.up(home, parts=missing)
    finally:
        stack.down(home)


def docker_answers() -> bool:
    """True when a Docker engine can be asked to run containers."""
    import docker
    from docker.errors import DockerException

    with warnings.catch_warnings():
        # A client that finds no engine leaves its socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=3)
            answers = bool(client.ping())
            client.close()
        except (DockerException, OSError):
            answers = False
        gc.collect()
    return answers


@contextmanager
def _redpanda() -> Iterator[Endpoints]:
    with warnings.catch_warnings():
        # testcontainers moves its modules about and says so on import.
        warnings.simplefilter("ignore", DeprecationWarning)
        from testcontainers.community.kafka import RedpandaContainer

        container = RedpandaContainer(REDPANDA_IMAGE)
        container.start(timeout=120)
    try:
        yield Endpoints(container.get_bootstrap_server(), container.get_schema_registry_address())
    finally:
        container.stop()
