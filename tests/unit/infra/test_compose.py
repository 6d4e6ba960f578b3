"""``infra/compose.yaml``: no engine runs here, so its structure is checked."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.settings import PROJECT_ROOT

COMPOSE = PROJECT_ROOT / "infra" / "compose.yaml"
PARSED: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = PARSED["services"]


def test_the_neighbours_are_all_there() -> None:
    assert {"redpanda", "minio", "iceberg-rest", "trino"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_pins_its_image_and_says_when_it_is_well(name: str) -> None:
    service = SERVICES[name]
    image = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", service["image"])
    _, _, tag = image.partition(":")
    assert re.search(r"\d", tag), f"{image} has no version"
    assert tag != "latest"
    health = service["healthcheck"]
    assert health["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries"} <= set(health)


@pytest.mark.parametrize("name", SERVICES)
def test_every_published_port_is_on_loopback_and_published_once(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port
    published = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(set(published))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_exists_and_is_waited_for_until_well(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert "healthcheck" in SERVICES[other]
        assert how == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_and_volumes_exist(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (COMPOSE.parent / source).is_file(), source
            assert mode == ["ro"]
        else:
            assert source in PARSED["volumes"]


def test_only_known_keys_are_used() -> None:
    known = {"image", "command", "entrypoint", "environment", "ports", "volumes", "depends_on", "healthcheck"}
    for service in SERVICES.values():
        assert set(service) <= known
    assert {key for key in PARSED if not key.startswith("x-")} == {"name", "services", "volumes"}


def test_trino_takes_its_credentials_from_variables_that_compose_sets() -> None:
    text = Path(COMPOSE.parent / "trino" / "catalog" / "iceberg.properties").read_text(encoding="utf-8")
    properties = dict(line.split("=", 1) for line in text.splitlines())
    assert properties["connector.name"] == "iceberg"
    assert properties["iceberg.rest-catalog.uri"] == "http://iceberg-rest:8181"
    used = set(re.findall(r"\$\{ENV:(\w+)\}", text))
    assert used == set(SERVICES["trino"]["environment"])


def test_docker_accepts_it_where_its_compose_client_is_installed() -> None:
    docker = shutil.which("docker")
    if docker is None or _run(docker, "compose", "version").returncode != 0:
        return
    done = _run(docker, "compose", "-f", str(COMPOSE), "config", "-q")
    assert done.returncode == 0, done.stderr


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
