"""Fetching the Java parts, with Maven Central replaced by a folder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UnavailableError
from infra.local import artifacts
from infra.local.progress import Silent

CONTENTS = {f"org.example:part{number}:1.0:jar": f"jar {number}".encode() for number in range(3)}


def _locked(contents: dict[str, bytes]) -> tuple[artifacts.Artifact, ...]:
    return tuple(
        artifacts.Artifact(coordinate, hashlib.sha256(data).hexdigest(), len(data))
        for coordinate, data in contents.items()
    )


class Central:
    """Hands out files; ``broken`` maps a coordinate to what happens to its next fetches."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.broken: dict[str, list[bytes | Exception]] = {}

    def download(self, coordinate: str, repository: Path, arrived: Callable[[int], None]) -> Path:
        self.fetched.append(coordinate)
        fault = self.broken.get(coordinate, [])
        data: bytes | Exception = fault.pop(0) if fault else CONTENTS[coordinate]
        if isinstance(data, Exception):
            raise data
        arrived(len(data))
        path = repository / "file"
        path.write_bytes(data)
        return path


@pytest.fixture
def central(monkeypatch: pytest.MonkeyPatch) -> Central:
    fake = Central()
    monkeypatch.setattr(artifacts, "download", fake.download)
    monkeypatch.setattr(artifacts, "locked", lambda _part: _locked(CONTENTS))
    return fake


def test_what_is_in_the_cache_is_not_fetched_again(central: Central, tmp_path: Path) -> None:
    first = artifacts.fetch("kafka", tmp_path, Silent())
    assert [path.read_bytes() for path in first] == list(CONTENTS.values())
    assert artifacts.fetch("kafka", tmp_path, Silent()) == first
    assert len(central.fetched) == 3


def test_an_interrupted_fetch_goes_on_where_it_stopped(central: Central, tmp_path: Path) -> None:
    last = list(CONTENTS)[-1]
    central.broken[last] = [OSError("connection lost")] * artifacts.ATTEMPTS
    with pytest.raises(UnavailableError, match=r"part2:1\.0:jar could not be fetched.*connection lost") as caught:
        artifacts.fetch("kafka", tmp_path, Silent())
    assert caught.value.hint is not None
    central.fetched.clear()
    artifacts.fetch("kafka", tmp_path, Silent())
    assert central.fetched == [last]


def test_a_file_with_another_checksum_never_reaches_the_cache(central: Central, tmp_path: Path) -> None:
    first = next(iter(CONTENTS))
    central.broken[first] = [b"evil "] * artifacts.ATTEMPTS
    with pytest.raises(UnavailableError, match="its SHA-256 is"):
        artifacts.fetch("kafka", tmp_path, Silent())
    assert not list(tmp_path.rglob("*.jar"))
    central.broken[first] = [b"torn"]
    assert artifacts.fetch("kafka", tmp_path, Silent())[0].read_bytes() == CONTENTS[first], (
        "one torn answer is repeated"
    )


def test_two_that_fetch_at_once_fetch_each_file_once(central: Central, tmp_path: Path) -> None:
    threads = [threading.Thread(target=artifacts.fetch, args=("kafka", tmp_path, Silent())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(central.fetched) == sorted(CONTENTS)
    assert not list((tmp_path / "maven").glob(".partial-*"))


def test_the_committed_lock_names_each_file_once_by_coordinate_and_no_address() -> None:
    everything = [artifact for part in artifacts.ROOTS for artifact in artifacts.locked(part)]
    assert len({artifact.coordinate for artifact in everything}) == len(set(everything)), "one file, two checksums"
    for artifact in everything:
        assert len(artifact.sha256) == 64
        assert artifact.size_bytes > 0
        assert "/" not in artifact.coordinate
    for part, roots in artifacts.ROOTS.items():
        names = [artifact.coordinate for artifact in artifacts.locked(part)]
        assert names[0] == roots[0][0], "the lock is older than the versions: python -m infra.local.relock"
        assert {root for root, _ in roots} <= set(names)
        assert len(set(names)) == len(names)


def test_a_coordinate_leads_to_its_maven_path() -> None:
    app = artifacts.Artifact("io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all", "", 1)
    folder = "io/apicurio/apicurio-registry-app/3.3.3"
    assert app.path == Path(f"{folder}/apicurio-registry-app-3.3.3-all.tar.gz")
