"""A record of every service's run, beside the tables: which code, configuration and schemas, when, and how it ended.

``_meta/runs/<run_id>/`` holds ``manifest.json``, ``config_snapshot.json`` and ``schemas/versions.json`` (common.md 4).
A run never waits for its record and never fails because of it: what cannot be written is logged.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from prometheus_client import REGISTRY
from pydantic import SecretStr

from common import iceberg, meta, schemas
from common.config import load_config
from common.errors import ConfigError, InputError
from common.settings import settings
from common.version import code

FOLDER = "runs"

PATIENCE_S = 10.0
"""How long the end of a service waits for the store that its record goes to."""

_PREFIX = "breakwater_"


class RunStatus(StrEnum):
    """How a run stands. STARTED is one that runs, or whose end nobody could write (see `Run.standing`)."""

    STARTED = "started"
    COMPLETED = "completed"
    CRASHED = "crashed"
    STOPPED = "stopped"


class RunMode(StrEnum):
    """What a run worked on: the live topics, or those of a replay."""

    LIVE = "live"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Run:
    """The manifest of one run. Times are ISO 8601, UTC.

    ``event_counts``: what the service counted, by metric and labels. ``tables``: the snapshot at the end of each table
    that it wrote; its files are those of the snapshots up to there. ``facts``: what the service says of itself.
    """

    run_id: str
    service: str
    start_time: str
    mode: str
    code_commit: str | None
    code_branch: str | None
    code_dirty: bool
    config_hash: str
    host: str
    pid: int
    facts: Mapping[str, Any]
    end_time: str | None = None
    status: str = RunStatus.STARTED
    event_counts: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)
    error_message: str | None = None

    @property
    def standing(self) -> RunStatus:
        """Its status, and CRASHED for a started run whose process is gone from this machine."""
        if self.status == RunStatus.STARTED and self.host == socket.gethostname() and not _alive(self.pid):
            return RunStatus.CRASHED
        return RunStatus(self.status)


@contextmanager
def run(service: str, facts: Mapping[str, Any], stopped: Callable[[], bool]) -> Iterator[str]:
    """Record a run while the block runs; yields its id. ``stopped``: whether somebody asked the service to end."""
    started = _started(service, facts)
    beginning = _apart(lambda: _write_beginning(started))
    status, message = RunStatus.COMPLETED, None
    try:
        yield started.run_id
    except (KeyboardInterrupt, SystemExit):
        status = RunStatus.STOPPED
        raise
    except BaseException as error:
        status, message = RunStatus.CRASHED, repr(error)
        raise
    finally:
        if status is RunStatus.COMPLETED and stopped():
            status = RunStatus.STOPPED
        beginning.join(PATIENCE_S)
        ended = replace(started, end_time=_now().isoformat(), status=str(status), error_message=message)
        _apart(lambda: _write_end(ended)).join(PATIENCE_S)


def listed(last: int, service: str | None = None) -> list[Run]:
    """The newest runs, the newest first."""
    out: list[Run] = []
    folder = meta.shared()
    for run_id in sorted(folder.names(FOLDER), reverse=True):
        if len(out) == last:
            break
        found = folder.read(f"{FOLDER}/{run_id}/manifest.json")
        if found is not None and service in (None, found["service"]):
            out.append(Run(**found))
    return out


def find(run_id: str) -> Run:
    """The run of that id. Raises InputError."""
    found = meta.shared().read(f"{FOLDER}/{run_id}/manifest.json")
    if found is None:
        raise InputError(f"there is no run {run_id!r}", hint="./breakwater runs list shows the ids.")
    return Run(**found)


def files_of(run_id: str) -> dict[str, Any]:
    """The configuration and the schemas of the run, as they were recorded."""
    folder = meta.shared()
    return {
        name: folder.read(f"{FOLDER}/{run_id}/{name}") for name in ("config_snapshot.json", "schemas/versions.json")
    }


def _started(service: str, facts: Mapping[str, Any]) -> Run:
    now, made = _now(), code()
    mode = RunMode.REPLAY if settings().namespace.startswith("replay") else RunMode.LIVE
    return Run(
        run_id=f"{now:%Y-%m-%d_%H%M%S_%f}_{mode}_{secrets.token_hex(3)}",
        service=service,
        start_time=now.isoformat(),
        mode=str(mode),
        code_commit=made.commit,
        code_branch=made.branch,
        code_dirty=made.dirty,
        config_hash=_config_hash(),
        host=socket.gethostname(),
        pid=os.getpid(),
        facts=dict(facts),
    )


def _config_hash() -> str:
    """Empty where the configuration cannot be used: a service that needs none runs all the same."""
    try:
        return load_config().hash
    except ConfigError:
        return ""


def _write_beginning(started: Run) -> None:
    folder, path = meta.shared(), f"{FOLDER}/{started.run_id}"
    folder.write(f"{path}/config_snapshot.json", {"engine": load_config().model_dump(mode="json"), "settings": _open()})
    folder.write(f"{path}/schemas/versions.json", {name: _version(name) for name in schemas.names()})
    folder.write(f"{path}/manifest.json", asdict(started))


def _write_end(ended: Run) -> None:
    counts = _counts()
    written = {key.partition(" ")[2] for key in counts}
    tables = {}
    for name in sorted(name for name in written if name.partition(".")[0] in ("bronze", "silver", "gold")):
        table = iceberg.load_table(name)
        snapshot = None if table is None else table.current_snapshot()
        if snapshot is not None:
            tables[name] = snapshot.snapshot_id
    done = replace(ended, event_counts=counts, tables=tables)
    meta.shared().write(f"{FOLDER}/{ended.run_id}/manifest.json", asdict(done))


def _counts() -> dict[str, int]:
    """This process's own counters that are not zero: ``sink_rows bronze.futures_trades``."""
    out = {}
    for metric in REGISTRY.collect():
        if metric.type == "counter" and metric.name.startswith(_PREFIX):
            for sample in metric.samples:
                if sample.name.endswith("_total") and sample.value:
                    labels = " ".join(value for _, value in sorted(sample.labels.items()))
                    out[f"{metric.name.removeprefix(_PREFIX)} {labels}".strip()] = int(sample.value)
    return dict(sorted(out.items()))


def _open() -> dict[str, Any]:
    """The settings without secrets, and without what may hold some."""
    named = settings().model_dump(mode="python", exclude={"kafka_security"})
    return {key: str(value) for key, value in named.items() if value is not None and not isinstance(value, SecretStr)}


def _version(name: str) -> str:
    return hashlib.sha256(schemas.load(name).avro_json.encode()).hexdigest()[:16]


def _apart(action: Callable[[], None]) -> threading.Thread:
    """Do it in a thread of its own: a store that does not answer holds nobody up."""
    # Imported here: telemetry starts runs, and is imported by everything.
    from common.telemetry import get_logger

    def careful() -> None:
        try:
            action()
        except Exception as error:
            get_logger("common.manifests").warning("run_not_recorded", error=repr(error))

    thread = threading.Thread(target=careful, name="manifest", daemon=True)
    thread.start()
    return thread


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now() -> datetime:
    return datetime.now(UTC)
