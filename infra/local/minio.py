"""MinIO as one process on loopback, on one folder: the object store of the local lake.

There is no program of it to download: it is built once, of a pinned version, where Go is at hand. A program of one's
own (``BREAKWATER_MINIO``) is used instead where given.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from common.errors import UnavailableError
from common.settings import child_environment, settings
from infra.local.artifacts import exclusive
from infra.local.process import tail
from infra.local.progress import Reporter

MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
"""What ``@latest`` named when it was chosen; Go checks it against its checksum database."""

BUCKET = "lake"
USER = "breakwater"
PASSWORD = "breakwater-local"  # noqa: S105 - bound to loopback, it opens nothing to others
REGION = "us-east-1"


def prepare(home: Path, cache_dir: Path, ports: Mapping[str, int], report: Reporter) -> tuple[list[str], Path | None]:
    """Make ``home`` the store's folder, with the bucket in it. The command that starts it; there is no class archive.

    Raises UnavailableError when there is no program and none can be built.
    """
    program = settings().minio or built(cache_dir, report)
    # A folder beside the store's own ones is a bucket.
    (home / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
    environment = {
        "MINIO_ROOT_USER": USER,
        "MINIO_ROOT_PASSWORD": PASSWORD,
        # The console would listen on all interfaces, and the check for updates asks the vendor.
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_REGION": REGION,
    }
    return [
        "env",
        *(f"{name}={value}" for name, value in environment.items()),
        str(program),
        "server",
        str(home / "data"),
        "--address",
        f"127.0.0.1:{ports['minio']}",
        "--certs-dir",
        str(home / "certs"),
    ], None


def answers(port: int) -> bool:
    """True when the store on the loopback port takes reads and writes."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/minio/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def properties(port: int) -> dict[str, str]:
    """What PyIceberg is told of the store."""
    return {
        "s3.endpoint": f"http://127.0.0.1:{port}",
        "s3.access-key-id": USER,
        "s3.secret-access-key": PASSWORD,
        "s3.region": REGION,
    }


def program_path(cache_dir: Path) -> Path:
    """Where the built program lies."""
    return cache_dir / "minio" / VERSION / "minio"


def can_build() -> bool:
    """True when there is a Go to build it with."""
    return shutil.which("go") is not None


def built(cache_dir: Path, report: Reporter) -> Path:
    """The program, built into the cache if it is not there yet. Raises UnavailableError."""
    program = program_path(cache_dir)
    if program.is_file():
        return program
    if not can_build():
        raise UnavailableError(
            "there is no MinIO, and no Go to build it with",
            hint="Install Go, or set BREAKWATER_MINIO to MinIO's program, or use a catalog of your own"
            " (PYICEBERG_CATALOG__BREAKWATER__URI and so on).",
        )
    with exclusive(program.parent.parent / ".lock"):
        if program.is_file():
            return program
        report.step("building MinIO with Go, once: some minutes")
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=program.parent) as partial:
            log = program.parent / "build.log"
            with log.open("wb") as output:
                done = subprocess.run(
                    ["nice", "go", "install", "-trimpath", f"{MODULE}@{VERSION}"],
                    stdout=output,
                    stderr=output,
                    check=False,
                    env=child_environment(GOBIN=partial, CGO_ENABLED="0", GOFLAGS=""),
                )
            if done.returncode != 0:
                raise UnavailableError(f"MinIO could not be built:\n{tail(log)}", hint=f"Whole log: {log}")
            (Path(partial) / "minio").replace(program)
    return program
