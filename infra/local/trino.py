"""Trino as one process on loopback, coordinator and worker in one, over the local REST catalog."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from infra.local import artifacts, catalog, java, minio
from infra.local.progress import Reporter

HEAP = "-Xmx1g"

CATALOG = "iceberg"
"""The tables are ``iceberg.bronze.futures_mbp10`` and so on, as in the compose file's Trino."""


def configuration(home: Path, plugins: Path, port: int) -> dict[str, str]:
    """The server's properties."""
    return {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "http-server.http.port": str(port),
        "discovery.uri": f"http://127.0.0.1:{port}",
        "node.environment": "breakwater",
        "node.id": "local",
        "node.internal-address": "127.0.0.1",
        "node.bind-ip": "127.0.0.1",
        "plugin.dir": str(plugins),
        "catalog.config-dir": str(home / "etc" / "catalog"),
        "query.max-memory": "512MB",
        "query.max-memory-per-node": "512MB",
        "memory.heap-headroom-per-node": "256MB",
    }


def connector(ports: Mapping[str, int]) -> dict[str, str]:
    """The Iceberg catalog's properties."""
    store = minio.properties(ports["minio"])
    return {
        "connector.name": "iceberg",
        "iceberg.catalog.type": "rest",
        "iceberg.rest-catalog.uri": catalog.url(ports["catalog"]),
        "iceberg.rest-catalog.warehouse": f"s3://{minio.BUCKET}/",
        "fs.native-s3.enabled": "true",
        "s3.endpoint": store["s3.endpoint"],
        "s3.region": store["s3.region"],
        "s3.path-style-access": "true",
        "s3.aws-access-key": store["s3.access-key-id"],
        "s3.aws-secret-key": store["s3.secret-access-key"],
    }


def prepare(home: Path, cache_dir: Path, ports: Mapping[str, int], report: Reporter) -> tuple[list[str], Path | None]:
    """Make ``home`` the server's folder. The command that starts it, and the class archive it will write.

    Raises UnavailableError when the parts cannot be fetched.
    """
    (server,) = artifacts.unpacked("trino", cache_dir, report).iterdir()
    plugins = artifacts.unpacked("trino-iceberg", cache_dir, report)
    for folder in (home / "tmp", home / "etc" / "catalog"):
        folder.mkdir(parents=True, exist_ok=True)
    config = home / "etc" / "config.properties"
    config.write_text(_lines(configuration(home, plugins, ports["trino"])), encoding="utf-8")
    (home / "etc" / "catalog" / f"{CATALOG}.properties").write_text(_lines(connector(ports)), encoding="utf-8")
    jars = sorted((server / "lib").glob("*.jar"))
    archive_flags, archive = java.Archive(cache_dir, "trino", jars).flags()
    return [
        java.java(),
        HEAP,
        *java.COMMON_FLAGS,
        *java.QUIET_FLAGS,
        *archive_flags,
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:+EnableDynamicAgentLoading",
        "-Djdk.attach.allowAttachSelf=true",
        "-Djol.skipHotspotSAAttach=true",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        f"-Djava.io.tmpdir={home / 'tmp'}",
        f"-Dconfig={config}",
        "-cp",
        ":".join(map(str, jars)),
        "io.trino.server.TrinoServer",
    ], archive


def _lines(properties: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in properties.items())


def answers(port: int) -> bool:
    """True when the server on the loopback port has started and takes queries."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/info", timeout=5) as answer:
            return json.loads(answer.read()).get("starting") is False
    except (urllib.error.URLError, OSError, ValueError):
        return False
