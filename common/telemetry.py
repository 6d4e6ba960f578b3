"""What a service tells about itself: structured logs, health, metrics, and its end on a signal.

Every service serves ``/health/live``, ``/health/ready`` and ``/metrics`` and writes ``<home>/run/<service>.json``, by
which ``status`` and ``demo`` find it.
"""

from __future__ import annotations

import _thread
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from common.settings import settings

_stop = threading.Event()


def configure_logging(service: str) -> None:
    """Structured logs on stderr: JSON lines, or readable ones when ``log_json`` is off. Standard-library logs join
    them.
    """
    level = logging.getLevelNamesMapping().get(settings().log_level.upper(), logging.INFO)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings().log_json else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # its one line per request would drown the service's own
    logging.getLogger("httpx").setLevel(max(level, logging.WARNING))
    structlog.contextvars.bind_contextvars(service=service)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger; call it with an event name and key=value facts."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


class Health:
    """The parts of a service and whether each is well. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[bool, str]] = {}

    def set(self, name: str, ok: bool, detail: str = "") -> None:
        """Say how the part ``name`` is."""
        with self._lock:
            self._parts[name] = (ok, detail)

    @property
    def ready(self) -> bool:
        """True when there are parts and all of them are well."""
        with self._lock:
            return bool(self._parts) and all(ok for ok, _ in self._parts.values())

    def report(self) -> dict[str, Any]:
        """The parts as JSON-ready data."""
        with self._lock:
            parts = {name: {"ok": ok, "detail": detail} for name, (ok, detail) in sorted(self._parts.items())}
        return {"ready": bool(parts) and all(part["ok"] for part in parts.values()), "parts": parts}


def run_file(service: str) -> Path:
    """Where the service of that name says where it listens."""
    return settings().home / "run" / f"{service}.json"


def write_run_file(service: str, **facts: Any) -> None:
    """Write ``<home>/run/<service>.json`` in one step: readers see the old facts or the new."""
    path = run_file(service)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps({"service": service, "pid": os.getpid(), **facts}), encoding="utf-8")
    partial.replace(path)


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/health/live":
                self._answer(200, b'{"live":true}', "application/json")
            elif self.path == "/health/ready":
                report = health.report()
                self._answer(200 if report["ready"] else 503, json.dumps(report).encode(), "application/json")
            else:
                self._answer(404, b'{"error":"try /health/live, /health/ready or /metrics"}', "application/json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            # Who asked may have gone away meanwhile.
            with suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Probes are not worth a log line."""

    return Handler


@contextmanager
def serve_health(service: str, health: Health, **facts: Any) -> Iterator[str]:
    """Serve health and metrics and keep the run's record while the block runs; yields the base address.

    Extra ``facts`` go into the run file and the record.
    """
    # Imported here: it reads schemas and the catalog's configuration, which whoever only logs does not need.
    from common import manifests

    server = ThreadingHTTPServer((settings().health_host, settings().health_port), _handler(health))
    server.daemon_threads = True
    url = f"http://{settings().health_host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    write_run_file(service, health_url=url, **facts)
    try:
        with manifests.run(service, facts, _stop.is_set):
            yield url
    finally:
        server.shutdown()
        server.server_close()
        path = run_file(service)
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("pid") == os.getpid():
            path.unlink()


def stop_requested() -> threading.Event:
    """The event that SIGTERM and SIGINT set; the first call installs the handlers (main thread only)."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _on_signal)
        signal.signal(signal.SIGINT, _on_signal)
    return _stop


def _on_signal(_number: int, _frame: object) -> None:
    # Not set here: the main thread may be inside the event, holding its lock, and would wait for itself for ever.
    # Nor by threading.Thread, whose start takes a lock of its own.
    _thread.start_new_thread(_stop.set, ())
