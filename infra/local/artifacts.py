"""The local stack's Java parts: which files of Maven Central they are, and fetching them once into the shared cache.

``artifacts.lock.json`` pins every file by its Maven coordinate, SHA-256 and size; nothing is resolved at run time. A
file appears in the cache in one step, after its checksum was found right, so an interrupted fetch goes on where it
stopped and two processes may fetch at the same time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from common.errors import ConfigError, InvariantError, UnavailableError
from infra.local.progress import Reporter

LOCK_FILE = Path(__file__).with_name("artifacts.lock.json")

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.4"
"""The log4j that Kafka's own dependencies resolve to."""
REGISTRY_VERSION = "3.3.3"
ICEBERG_VERSION = "1.11.0"
JETTY_VERSION = "12.1.14"
SQLITE_VERSION = "3.54.1.0"
TRINO_VERSION = "476"

_JETTY = ("server", "http", "io", "util", "security", "session", "xml")

ROOTS: dict[str, tuple[tuple[str, bool], ...]] = {
    # The binding of slf4j to log4j is what makes the broker log at all.
    "kafka": (
        (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}:jar", True),
        (f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J_VERSION}:jar", True),
    ),
    "registry": ((f"io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:tar.gz:all", False),),
    # The REST catalog of Iceberg's own tests: its servlet, a JDBC catalog behind it, and what reads and writes S3.
    "catalog": (
        (f"org.apache.iceberg:iceberg-core:{ICEBERG_VERSION}:jar:tests", False),
        (f"org.apache.iceberg:iceberg-core:{ICEBERG_VERSION}:jar", True),
        (f"org.apache.iceberg:iceberg-aws:{ICEBERG_VERSION}:jar", False),
        (f"org.apache.iceberg:iceberg-aws-bundle:{ICEBERG_VERSION}:jar", False),
        ("dev.failsafe:failsafe:3.3.2:jar", False),
        (f"org.xerial:sqlite-jdbc:{SQLITE_VERSION}:jar", False),
        ("org.slf4j:slf4j-simple:2.0.17:jar", False),
        (f"org.eclipse.jetty.ee10:jetty-ee10-servlet:{JETTY_VERSION}:jar", False),
        ("jakarta.servlet:jakarta.servlet-api:6.0.0:jar", False),
        *((f"org.eclipse.jetty:jetty-{name}:{JETTY_VERSION}:jar", False) for name in _JETTY),
    ),
    "trino": ((f"io.trino:trino-server-core:{TRINO_VERSION}:tar.gz", False),),
    "trino-iceberg": ((f"io.trino:trino-iceberg:{TRINO_VERSION}:zip", False),),
}
"""For each part the coordinates it starts from, and whether their dependencies belong to it."""

TIMEOUT_S = 60
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a Maven repository.

    ``coordinate``: ``group:artifact:version:extension[:classifier]``.
    """

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def path(self) -> Path:
        """Where the file lies in a Maven repository."""
        group, name, version, extension, classifier = split(self.coordinate)
        tail = f"-{classifier}" if classifier else ""
        return Path(*group.split("."), name, version, f"{name}-{version}{tail}.{extension}")


def split(coordinate: str) -> tuple[str, str, str, str, str]:
    """Group, artifact, version, extension and classifier (empty when there is none)."""
    parts = coordinate.split(":")
    if len(parts) not in (4, 5):
        raise InvariantError(f"not a Maven coordinate: {coordinate!r}")
    return parts[0], parts[1], parts[2], parts[3], parts[4] if len(parts) == 5 else ""


@cache
def locked(part: str) -> tuple[Artifact, ...]:
    """The files of a part (a key of `ROOTS`), in the lock's order, which is the class path's."""
    entries = json.loads(LOCK_FILE.read_text(encoding="utf-8"))[part]
    return tuple(Artifact(e["coordinate"], e["sha256"], e["size_bytes"]) for e in entries)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file: one process at a time runs the block. Raises ConfigError where it cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise ConfigError(
            f"{path.parent} cannot be written to: {error.strerror}", hint="Give another folder with --home."
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fetch(part: str, cache_dir: Path, report: Reporter) -> list[Path]:
    """The part's files on disk, fetched if they are not there yet.

    Raises UnavailableError when Maven Central does not answer, InvariantError when a file is not the one that was
    locked.
    """
    repository = cache_dir / "maven"
    wanted = locked(part)
    if any(not _present(repository, artifact) for artifact in wanted):
        with exclusive(repository / ".lock"):
            missing = [artifact for artifact in wanted if not _present(repository, artifact)]
            size_bytes = sum(artifact.size_bytes for artifact in missing)
            report.step(f"fetching {part} from Maven Central, once: {len(missing)} files, {size_bytes / 1e6:.0f} MB")
            with report.download(part, size_bytes) as arrived:
                for artifact in missing:
                    _fetch_one(artifact, repository, arrived)
    return [repository / artifact.path for artifact in wanted]


def _present(repository: Path, artifact: Artifact) -> bool:
    path = repository / artifact.path
    return path.is_file() and path.stat().st_size == artifact.size_bytes


def _fetch_one(artifact: Artifact, repository: Path, arrived_bytes: Callable[[int], None]) -> None:
    problem = ""
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=repository) as partial:
            try:
                arrived = download(artifact.coordinate, Path(partial), arrived_bytes)
            except (OSError, RuntimeError) as error:
                # requests' errors are OSErrors; jgo raises RuntimeError for a file that is nowhere.
                problem = str(error)
                continue
            digest = sha256_of(arrived)
            if digest != artifact.sha256:
                problem = f"its SHA-256 is {digest}, the lock says {artifact.sha256}"
                continue
            target = repository / artifact.path
            target.parent.mkdir(parents=True, exist_ok=True)
            arrived.replace(target)
            return
    raise UnavailableError(
        f"{artifact.coordinate} could not be fetched from Maven Central: {problem}",
        hint="Check the network and repeat: what has arrived is kept. Or use existing servers: set"
        " BREAKWATER_KAFKA_BOOTSTRAP and BREAKWATER_REGISTRY_URL.",
    )


def context(repository: Path, arrived_bytes: Callable[[int], None]) -> Any:
    """jgo's view of Maven Central with ``repository`` as its folder; told of each number of bytes that arrives."""
    # Slow to import (HTTP, XML) and needed only when something is missing.
    from jgo.maven import MavenContext, PythonResolver

    resolver = PythonResolver(progress_callback=lambda _name, _size: nullcontext(arrived_bytes))
    return MavenContext(repo_cache=repository, resolver=resolver, timeout=TIMEOUT_S)


def download(coordinate: str, repository: Path, arrived_bytes: Callable[[int], None]) -> Path:
    """Fetch one file into a repository folder, unchecked. Raises OSError or RuntimeError."""
    group, name, version, extension, classifier = split(coordinate)
    component = context(repository, arrived_bytes).project(group, name).at_version(version)
    return Path(component.artifact(classifier, extension).resolve())


def unpacked(part: str, cache_dir: Path, report: Reporter) -> Path:
    """The folder of a part that is one archive, unpacked if it is not there yet."""
    (archive,) = fetch(part, cache_dir, report)
    (artifact,) = locked(part)
    target = cache_dir / part / artifact.sha256[:16]
    if target.is_dir():
        return target
    with exclusive(target.parent / ".lock"):
        if not target.is_dir():
            report.step(f"unpacking {part}")
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
            try:
                _unpack(archive, partial)
                partial.rename(target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    return target


def _unpack(archive: Path, target: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(target)  # noqa: S202 - its bytes are those that the lock names
        return
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
