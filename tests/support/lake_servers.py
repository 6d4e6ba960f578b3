"""One REST catalog on MinIO, and one Trino over it, for a whole test session.

MinIO is the native one (built with Go, or given by BREAKWATER_MINIO), else a container where a Docker engine answers.
Catalog and Trino run on the Java of the project's environment.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

from common import iceberg
from common.settings import settings
from infra.local import catalog, minio, stack, trino
from tests.support.stack import docker_answers, environment

MINIO_IMAGE = "minio/minio:RELEASE.2025-09-07T16-13-09Z"


@dataclass(frozen=True, slots=True)
class Lake:
    """A running REST catalog and its store: the home of the servers, and their ports."""

    home: Path
    catalog_port: int
    minio_port: int

    @property
    def properties(self) -> dict[str, str]:
        """What PyIceberg is told."""
        return catalog.properties(self.catalog_port, self.minio_port)


@dataclass(frozen=True, slots=True)
class Trino:
    """Where it answers."""

    host: str
    port: int

    def ask(self, sql: str) -> tuple[list[str], list[list[Any]]]:
        """The columns' names and the rows of the answer, the tables being ``bronze.futures_mbp10`` and so on."""
        from trino.dbapi import connect

        connection = connect(host=self.host, port=self.port, user="tests", catalog=trino.CATALOG, timezone="UTC")
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            rows = cursor.fetchall()
            return [column[0] for column in cursor.description or ()], [list(row) for row in rows]
        finally:
            connection.close()


@contextmanager
def lake(home: Path) -> Iterator[Lake]:
    """A REST catalog on MinIO that ends with the block."""
    try:
        if _native() or not docker_answers():
            stack.up(home, parts=stack.LAKE)
            yield Lake(home, _port(home, "catalog"), _port(home, "minio"))
        else:
            with _container() as store_port:
                stack.up(home, parts=("catalog",), ports={"minio": store_port})
                yield Lake(home, _port(home, "catalog"), store_port)
    finally:
        stack.down(home)


def start_trino(servers: Lake) -> Trino:
    """Trino over the lake; it ends with it."""
    stack.up(servers.home, parts=("trino",), ports={"minio": servers.minio_port, "catalog": servers.catalog_port})
    return Trino("127.0.0.1", _port(servers.home, "trino"))


@contextmanager
def catalog_environment(properties: Mapping[str, str]) -> Iterator[None]:
    """The environment says the PyIceberg way that the catalog is this one, for this process and its children.

    Its tables are gone afterwards.
    """
    prefix = f"PYICEBERG_CATALOG__{settings().catalog.upper()}__"
    named = {prefix + key.upper().replace(".", "__").replace("-", "_"): value for key, value in properties.items()}
    with environment(**named):
        try:
            yield
        finally:
            drop_tables()


def drop_tables() -> None:
    """Leave an empty catalog."""
    opened = iceberg.open_catalog()
    for name in iceberg.table_names():
        opened.drop_table(name)
    for namespace in opened.list_namespaces():
        opened.drop_namespace(namespace)


def _native() -> bool:
    return settings().minio is not None or minio.program_path(settings().cache).is_file() or minio.can_build()


def _port(home: Path, name: str) -> int:
    return next(int(str(part.address).rpartition(":")[2]) for part in stack.status(home) if part.name == name)


@contextmanager
def _container() -> Iterator[int]:
    with warnings.catch_warnings():
        # testcontainers moves its modules about and says so on import.
        warnings.simplefilter("ignore", DeprecationWarning)
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(MINIO_IMAGE).with_exposed_ports(9000).with_command("server /data")
        container.with_env("MINIO_ROOT_USER", minio.USER).with_env("MINIO_ROOT_PASSWORD", minio.PASSWORD)
        container.start()
    try:
        port = int(container.get_exposed_port(9000))
        store = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}",
            scheme="http",
            access_key=minio.USER,
            secret_key=minio.PASSWORD,
            region=minio.REGION,
            allow_bucket_creation=True,
        )
        store.create_dir(minio.BUCKET)
        yield port
    finally:
        container.stop()
