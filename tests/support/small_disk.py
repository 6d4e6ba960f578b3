"""A disk that can be full: a small file system of a process of ours, where the system lets anybody have one.

Linux gives every user a mount table of his own (``unshare``), and shows it to others below ``/proc/<pid>/root``: so a
write gets the real ENOSPC, without root and without a trace afterwards. Where that is not allowed, the writer's files
are limited in size instead, which fails in the same place with EFBIG.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = "32m"
BLOCK = bytes(4096)
FEW_BYTES = 512
"""Less than any file of a commit."""
MOUNT = 'mount -t tmpfs -o size="$2" none "$1" && echo ready && exec cat'


@dataclass(frozen=True)
class Disk:
    """``folder``: where to write. ``error``: what a writer is told while it is full. ``real``: it is a file system."""

    folder: Path
    error: str
    real: bool

    def fill(self, pid: int) -> None:
        """Leave no byte to the process that writes there."""
        if not self.real:
            _limit(pid, FEW_BYTES)
            return
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(BLOCK)
            except OSError as error:
                assert error.errno == errno.ENOSPC

    def free(self, pid: int) -> None:
        """Give the room back."""
        if self.real:
            (self.folder / "ballast").unlink()
        else:
            _limit(pid, resource.RLIM_INFINITY)


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A disk at ``folder`` that goes, with what is on it, at the end of the block."""
    folder.mkdir()
    if shutil.which("unshare") is None:
        yield Disk(folder, os.strerror(errno.EFBIG), real=False)
        return
    holder = subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", MOUNT, "sh", str(folder), SIZE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        if holder.stdout.readline() == b"ready\n":
            yield Disk(Path(f"/proc/{holder.pid}/root{folder}"), os.strerror(errno.ENOSPC), real=True)
        else:
            yield Disk(folder, os.strerror(errno.EFBIG), real=False)


def _limit(pid: int, size_bytes: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, hard))
