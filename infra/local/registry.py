"""Apicurio Registry as one process on loopback, its records in an H2 file; it speaks Confluent's API."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from infra.local import artifacts, java
from infra.local.progress import Reporter

HEAP = "-Xmx384m"
API_PATH = "/apis/ccompat/v7"


def url(port: int) -> str:
    """Base address of the Confluent API."""
    return f"http://127.0.0.1:{port}{API_PATH}"


def prepare(home: Path, cache_dir: Path, ports: Mapping[str, int], report: Reporter) -> tuple[list[str], Path | None]:
    """Make ``home`` the registry's folder. The command that starts it, and the class archive it will write.

    Raises UnavailableError when the parts cannot be fetched.
    """
    app = artifacts.unpacked("registry", cache_dir, report)
    home.mkdir(parents=True, exist_ok=True)
    runner = app / "quarkus-run.jar"
    archive_flags, archive = java.Archive(cache_dir, "registry", [runner]).flags()
    properties = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": str(ports["registry"]),
        # It has a management server too, by default on all interfaces.
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": "0",
        "quarkus.http.test-port": "0",
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        "apicurio.datasource.url": f"jdbc:h2:file:{home / 'registry'}",
        "apicurio.ccompat.max-subjects": "100000",
    }
    flags = [f"-D{key}={value}" for key, value in properties.items()]
    return [
        java.java(),
        HEAP,
        *java.COMMON_FLAGS,
        *java.QUIET_FLAGS,
        *archive_flags,
        *flags,
        "-jar",
        str(runner),
    ], archive


def answers(port: int) -> bool:
    """True when the registry on the loopback port lists its subjects."""
    try:
        with urllib.request.urlopen(f"{url(port)}/subjects", timeout=5) as answer:  # noqa: S310 - always http
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
