"""The lake's servers as they are told to run, without running them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

from common.errors import UnavailableError
from infra.local import artifacts, catalog, java, minio, trino
from infra.local.progress import Silent
from tests.support.stack import environment

PORTS = {"minio": 20_001, "catalog": 20_002, "trino": 20_003}


@pytest.fixture(autouse=True)
def _parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The parts' files are at hand, and no class archive is looked for."""
    server = tmp_path / "unpacked"
    (server / "trino-server" / "lib").mkdir(parents=True)
    monkeypatch.setattr(artifacts, "fetch", lambda *_: [tmp_path / "one.jar"])
    monkeypatch.setattr(artifacts, "unpacked", lambda *_: server)
    monkeypatch.setattr(java.Archive, "__init__", lambda *_: None)
    monkeypatch.setattr(java.Archive, "flags", lambda _: ([], None))


def test_without_a_program_and_without_go_there_is_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(minio, "can_build", lambda: False)
    with pytest.raises(UnavailableError) as caught:
        minio.prepare(tmp_path / "minio", tmp_path / "cache", PORTS, Silent())
    assert "BREAKWATER_MINIO" in str(caught.value.hint)


def test_a_given_program_is_used_as_it_is(tmp_path: Path) -> None:
    with environment(BREAKWATER_MINIO="/opt/minio"):
        command, _ = minio.prepare(tmp_path / "minio", tmp_path / "cache", PORTS, Silent())
    assert "/opt/minio" in command and "127.0.0.1:20001" in command
    assert "MINIO_BROWSER=off" in command, "the console would listen on all interfaces"
    assert (tmp_path / "minio" / "data" / minio.BUCKET).is_dir()


def test_the_catalog_listens_on_loopback_and_keeps_its_tables_in_the_store(tmp_path: Path) -> None:
    home = tmp_path / "a & b" / "catalog"
    catalog.prepare(home, tmp_path / "cache", PORTS, Silent())
    server = ET.parse(home / "server.xml")
    told = {name.get("name"): name.text for name in server.iter("Set") if name.text and name.text.strip()}
    assert told == {"host": "127.0.0.1", "port": "20002"}
    puts = {call[0].text: call[1].text for call in server.iter("Call") if call.get("name") == "put"}
    assert puts["uri"] == f"jdbc:sqlite:{home}/catalog.db?busy_timeout=60000"
    assert puts["s3.endpoint"] == "http://127.0.0.1:20001"


def test_trino_listens_on_loopback_and_reads_that_catalog(tmp_path: Path) -> None:
    home = tmp_path / "trino"
    trino.prepare(home, tmp_path / "cache", PORTS, Silent())
    config = dict(line.split("=", 1) for line in (home / "etc" / "config.properties").read_text().splitlines())
    assert config["node.bind-ip"] == "127.0.0.1" and config["http-server.http.port"] == "20003"
    tables = (home / "etc" / "catalog" / "iceberg.properties").read_text().splitlines()
    assert "iceberg.rest-catalog.uri=http://127.0.0.1:20002" in tables


def test_a_zip_is_unpacked_as_a_tar_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "plugin.zip", "w") as packed:
        packed.writestr("plugin/one.jar", "jar")
    artifacts._unpack(tmp_path / "plugin.zip", tmp_path / "target")
    assert (tmp_path / "target" / "plugin" / "one.jar").read_text() == "jar"
