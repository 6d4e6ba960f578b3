"""The local stack of one home folder: a Kafka broker and a schema registry, and where asked for a lake of its own
(MinIO, Iceberg's REST catalog, Trino); started, found again, and ended.

``<home>/stack.json`` holds the addresses and the processes; each process is known by pid and start time, so what a
crash or a reboot left behind in the file is noticed. ``<home>/kafka`` and so on hold their data and survive ``down``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from common.endpoints import Endpoints, catalog_database, stack_file
from common.errors import ConfigError, UnavailableError
from common.settings import child_environment, settings
from infra.local import catalog, java, kafka, minio, registry, trino
from infra.local.artifacts import exclusive
from infra.local.process import POLL_S, Patience, Process, free_port, port_is_free, spawn, stop, tail
from infra.local.progress import Reporter, Silent

START_LIMIT_S = 120.0
ANSWER_LIMIT_S = 15.0
"""How long a process that was found running may take to answer before it is started anew."""
RELEASE_LIMIT_S = 2.0
"""How long the threads of a server that was killed may still hold its port."""
BIND_ATTEMPTS = 3
PORT_TAKEN = ("BindException", "Address already in use", "already bound", "already in use")
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""All that a server sees of our environment: QUARKUS_, KAFKA_ and JAVA_ variables meant for others would change it."""


class _Part(Protocol):
    def prepare(
        self, home: Path, cache_dir: Path, ports: Mapping[str, int], report: Reporter
    ) -> tuple[list[str], Path | None]:
        """The command that starts the server, and the class archive that it will write at its end.

        ``ports``: its own and those of the servers that it needs, by name.
        """

    def answers(self, port: int) -> bool:
        """True when it serves."""


PARTS: dict[str, _Part] = {
    "kafka": kafka,
    "registry": registry,
    "minio": minio,
    "catalog": catalog,
    "trino": trino,
}
"""Each after those that it needs."""
LOG = ("kafka", "registry")
LAKE = ("minio", "catalog")
NEEDS = {"catalog": ("minio",), "trino": LAKE}
"""The servers whose addresses a server is started with."""


@dataclass(frozen=True, slots=True)
class Running:
    """One server as ``stack.json`` knows it."""

    port: int
    process: Process
    archive: Path | None

    @property
    def well(self) -> bool:
        """True when its process lives; it may still be starting."""
        return self.process.alive


@dataclass(frozen=True, slots=True)
class PartStatus:
    """How one server is.

    ``stopped`` was never started or ended by ``down``; ``died`` is in stack.json but runs no more.
    """

    name: str
    state: Literal["up", "not answering", "died", "stopped", "external"]
    address: str | None = None
    pid: int | None = None
    log: Path | None = None


def local_parts() -> tuple[str, ...]:
    """The servers that the settings do not give an address for, and the local stack therefore runs.

    Those of the lake belong to it in a home whose tables they hold.
    """
    given = _given()
    log = tuple(name for name in LOG if given[name] is None)
    return log + (LAKE if catalog_database(settings().home).exists() else ())


def lake_parts(*, with_trino: bool) -> tuple[str, ...]:
    """The servers of a lake in this home. Raises ConfigError when its tables are elsewhere already."""
    # Slow to import, and only a lake needs it.
    from common.iceberg import configured

    if configured() is not None:
        raise ConfigError(
            f"the Iceberg catalog {settings().catalog!r} is configured already",
            hint="A home has one catalog: take PYICEBERG_CATALOG__* out of the environment, or use that one.",
        )
    embedded = settings().lake / "catalog.db"
    if embedded.exists():
        raise ConfigError(
            f"this home's tables are in the embedded catalog {embedded}",
            hint="Use another folder with --home; its sink fills the tables from the topics.",
        )
    return (*LAKE, "trino") if with_trino else LAKE


def address(name: str, port: int) -> str:
    """The server's address as clients are given it."""
    if name == "registry":
        return registry.url(port)
    return f"127.0.0.1:{port}" if name == "kafka" else f"http://127.0.0.1:{port}"


def _given() -> dict[str, str | None]:
    return {"kafka": settings().kafka_bootstrap, "registry": settings().registry_url}


def up(
    home: Path,
    *,
    progress: Reporter | None = None,
    parts: Sequence[str] = LOG,
    ports: dict[str, int] | None = None,
) -> Endpoints:
    """Start what does not run yet of ``parts`` and wait until each answers.

    ``ports`` fixes loopback ports by part, also of one that runs elsewhere and is needed here; else each part keeps
    its last port while that is free. Addresses of parts that are not started here come from the settings. Raises
    ConfigError for a fixed port in use, UnavailableError when a server dies or does not answer (with the tail of its
    log); what this call had started is ended then.
    """
    report = progress or Silent()
    home = home.resolve()
    with exclusive(home / "stack.lock"):
        running = _read(home)
        try:
            for attempt in range(BIND_ATTEMPTS):
                if _start(home, parts, running, ports or {}, report, last=attempt == BIND_ATTEMPTS - 1):
                    break
        except BaseException:
            _end([running.pop(name) for name in parts if name in running])
            _write(home, running)
            raise
    return Endpoints(
        address("kafka", running["kafka"].port) if "kafka" in running else settings().kafka_bootstrap or "",
        address("registry", running["registry"].port) if "registry" in running else settings().registry_url or "",
    )


def _start(
    home: Path,
    parts: Sequence[str],
    running: dict[str, Running],
    fixed: dict[str, int],
    report: Reporter,
    *,
    last: bool,
) -> bool:
    """Start the missing parts side by side. False when a port was lost to another program and a new try makes sense."""
    commands: dict[str, tuple[int, list[str], Path | None]] = {}
    for name in parts:
        # A server that needs one which gets a new port has to be told of it.
        outdated = any(need in commands for need in NEEDS.get(name, ()))
        if name in running and not outdated and running[name].well and _answers_soon(name, running[name]):
            continue
        if name in running:
            _end([running.pop(name)])
        ports = {**fixed, **{other: part.port for other, part in running.items()}}
        ports |= {other: port for other, (port, _, _) in commands.items()}
        ports[name] = _port(home, name, fixed)
        commands[name] = ports[name], *PARTS[name].prepare(home / name, settings().cache, ports, report)
    started_s = time.monotonic()
    for name, (port, command, archive) in commands.items():
        log = home / "logs" / f"{name}.log"
        report.step(f"starting {name} on 127.0.0.1:{port}")
        environment = {key: value for key, value in child_environment().items() if key in KEPT_VARIABLES}
        process = spawn(command, log=log, cwd=home, environment=environment)
        running[name] = Running(port, process, archive)
        _write(home, running)
    patience = Patience(START_LIMIT_S, lambda: [running[name].process for name in commands])
    for name in commands:
        part = running[name]
        while not PARTS[name].answers(part.port):
            if not part.process.alive:
                text = tail(part.process.log)
                if not last and name not in fixed and any(mark in text for mark in PORT_TAKEN):
                    _ports_file(home).unlink(missing_ok=True)
                    _end([running.pop(name)])
                    return False
                raise UnavailableError(f"{name} ended while it started:\n{text}", hint=f"Whole log: {part.process.log}")
            if patience.is_over:
                late = f"{name} does not answer on port {part.port} after {START_LIMIT_S:.0f} s"
                raise UnavailableError(
                    f"{late}:\n{tail(part.process.log)}",
                    hint=f"Whole log: {part.process.log}",
                )
            time.sleep(POLL_S)
    if commands:
        _ports_file(home).write_text(json.dumps({name: part.port for name, part in running.items()}), encoding="utf-8")
        report.step(f"{', '.join(commands)} up after {time.monotonic() - started_s:.1f} s")
    return True


def _answers_soon(name: str, part: Running) -> bool:
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while part.well and time.monotonic() < deadline:
        if PARTS[name].answers(part.port):
            return True
        time.sleep(POLL_S)
    return False


def _port(home: Path, name: str, fixed: dict[str, int]) -> int:
    if name in fixed:
        if not port_is_free(fixed[name]):
            raise ConfigError(
                f"port {fixed[name]} for {name} is in use",
                hint="Choose another port, or none to have a free one found, or end the program that holds it.",
            )
        return fixed[name]
    try:
        last = int(json.loads(_ports_file(home).read_text(encoding="utf-8"))[name])
    except (OSError, ValueError, KeyError, TypeError):
        return free_port()
    deadline = time.monotonic() + RELEASE_LIMIT_S
    while not port_is_free(last):
        if time.monotonic() > deadline:
            return free_port()
        time.sleep(POLL_S)
    return last


def _ports_file(home: Path) -> Path:
    return home / "ports.json"


def down(home: Path, *, progress: Reporter | None = None) -> list[str]:
    """End the servers of this home, by SIGTERM and after a while SIGKILL. The names of those that were running."""
    report = progress or Silent()
    home = home.resolve()
    if not stack_file(home).exists():
        return []
    with exclusive(home / "stack.lock"):
        running = _read(home)
        ended = [name for name, part in running.items() if part.process.alive]
        for name in ended:
            report.step(f"stopping {name}")
        _end(list(running.values()))
        stack_file(home).unlink(missing_ok=True)
    return ended


def _end(parts: list[Running]) -> None:
    if not parts:
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: stop(part.process), parts))
    for part in parts:
        if part.archive is not None:
            java.keep_archive(part.archive)


def status(home: Path) -> list[PartStatus]:
    """How each server of this home is; those whose address the settings give are ``external``."""
    running = _read(home.resolve())
    given = _given()
    out = []
    for name, server in PARTS.items():
        part = running.get(name)
        if part is None:
            if name not in LOG and not (home / name).is_dir():
                continue
            external = given.get(name)
            out.append(PartStatus(name, "external", external) if external else PartStatus(name, "stopped"))
            continue
        state: Literal["up", "not answering", "died"] = "died"
        if part.process.alive:
            state = "up" if server.answers(part.port) else "not answering"
        out.append(PartStatus(name, state, address(name, part.port), part.process.pid, part.process.log))
    return out


def _read(home: Path) -> dict[str, Running]:
    """What stack.json says; nothing when it is missing or damaged."""
    try:
        stored: dict[str, dict[str, Any]] = json.loads(stack_file(home).read_text(encoding="utf-8"))["processes"]
        return {
            name: Running(
                part["port"],
                Process(part["pid"], part["started"], Path(part["log"])),
                Path(part["archive"]) if part["archive"] else None,
            )
            for name, part in stored.items()
            if name in PARTS
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(home: Path, running: dict[str, Running]) -> None:
    path = stack_file(home)
    if not running:
        path.unlink(missing_ok=True)
        return
    facts: dict[str, Any] = {}
    if "kafka" in running:
        facts["kafka_bootstrap"] = address("kafka", running["kafka"].port)
    if "registry" in running:
        facts["registry_url"] = address("registry", running["registry"].port)
    if all(name in running for name in LAKE):
        facts["catalog"] = catalog.properties(running["catalog"].port, running["minio"].port)
    facts["processes"] = {
        name: {"port": part.port, **asdict(part.process), "archive": part.archive} for name, part in running.items()
    }
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")
    partial.replace(path)
