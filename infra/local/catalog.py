"""Iceberg's REST catalog on loopback: the servlet of Iceberg's own tests over a SQLite file, its tables in MinIO.

Iceberg's fixture server binds all interfaces and cannot be told otherwise, so Jetty is put together here from an XML
file of Jetty's own kind, with the same servlet and a connector on loopback.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from common.endpoints import catalog_database
from infra.local import artifacts, java, minio
from infra.local.progress import Reporter

HEAP = "-Xmx256m"

SERVER = """\
<?xml version="1.0"?>
<!DOCTYPE Configure PUBLIC "-//Jetty//Configure//EN" "https://jetty.org/configure_10_0.dtd">
<Configure id="Server" class="org.eclipse.jetty.server.Server">
  <Call name="addConnector"><Arg>
    <New class="org.eclipse.jetty.server.ServerConnector">
      <Arg><Ref refid="Server"/></Arg>
      <Set name="host">127.0.0.1</Set>
      <Set name="port">{port}</Set>
    </New>
  </Arg></Call>
  <New id="Properties" class="java.util.HashMap">
{properties}
  </New>
  <Set name="handler">
    <New class="org.eclipse.jetty.ee10.servlet.ServletContextHandler">
      <Arg>/</Arg>
      <Call name="addServlet">
        <Arg><New class="org.eclipse.jetty.ee10.servlet.ServletHolder"><Arg>
          <New class="org.apache.iceberg.rest.RESTCatalogServlet"><Arg>
            <New class="org.apache.iceberg.rest.RESTCatalogAdapter"><Arg>
              <Call class="org.apache.iceberg.CatalogUtil" name="buildIcebergCatalog">
                <Arg>rest_backend</Arg><Arg><Ref refid="Properties"/></Arg><Arg/>
              </Call>
            </Arg></New>
          </Arg></New>
        </Arg></New></Arg>
        <Arg>/*</Arg>
      </Call>
    </New>
  </Set>
</Configure>
"""


def url(port: int) -> str:
    """Base address of the REST catalog."""
    return f"http://127.0.0.1:{port}"


def prepare(home: Path, cache_dir: Path, ports: Mapping[str, int], report: Reporter) -> tuple[list[str], Path | None]:
    """Make ``home`` (``<home>/catalog``) the catalog's folder: its command, and the class archive it will write.

    Raises UnavailableError when the parts cannot be fetched.
    """
    jars = artifacts.fetch("catalog", cache_dir, report)
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    store = minio.properties(ports["minio"])
    backend = {
        "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "uri": f"jdbc:sqlite:{catalog_database(home.parent)}?busy_timeout=60000",
        "jdbc.schema-version": "V1",
        # One file takes one writer at a time; more connections would only wait for each other.
        "clients": "1",
        "warehouse": f"s3://{minio.BUCKET}/",
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "s3.path-style-access": "true",
        "client.region": store.pop("s3.region"),
        **store,
    }
    puts = "\n".join(
        f'    <Call name="put"><Arg>{escape(key)}</Arg><Arg>{escape(value)}</Arg></Call>'
        for key, value in backend.items()
    )
    config = home / "server.xml"
    config.write_text(SERVER.format(port=ports["catalog"], properties=puts), encoding="utf-8")
    archive_flags, archive = java.Archive(cache_dir, "catalog", jars).flags()
    return [
        java.java(),
        HEAP,
        *java.COMMON_FLAGS,
        *java.QUIET_FLAGS,
        *archive_flags,
        "--enable-native-access=ALL-UNNAMED",
        f"-Djava.io.tmpdir={home / 'tmp'}",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        ":".join(map(str, jars)),
        "org.eclipse.jetty.xml.XmlConfiguration",
        str(config),
    ], archive


def answers(port: int) -> bool:
    """True when the catalog on the loopback port lists its namespaces."""
    try:
        with urllib.request.urlopen(f"{url(port)}/v1/namespaces", timeout=5) as answer:  # noqa: S310 - always http
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def properties(port: int, minio_port: int) -> dict[str, str]:
    """What PyIceberg is told of the catalog."""
    return {"type": "rest", "uri": url(port), **minio.properties(minio_port)}
