"""Databento's historical service over TLS, as the vendor's ``Historical`` client insists: prices, sizes, and DBN."""

from __future__ import annotations

import base64
import datetime as dt
import json
import ssl
import subprocess
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlparse

import databento_dbn as d
import zstandard

from tests.support.databento_broadcast import Broadcast, Entry
from tests.support.databento_gateway import TEST_KEY

USD_PER_GB = 10.0
NS_PER_S = 1_000_000_000


class HistoryGateway:
    """Serves the records of DBN files; a context manager. ``url`` is its address and ``certificate`` what to trust.

    ``breaks``: so many of the next downloads end in their middle. ``errors``: so many of the next requests fail.
    ``served``: the schema and day of every download that was sent whole, which is what costs.
    """

    def __init__(self, paths: Sequence[Path], folder: Path, key: str = TEST_KEY) -> None:
        self.broadcast = Broadcast.of(paths)
        self.key = key
        self.breaks = 0
        self.errors = 0
        self.served: list[tuple[str, str]] = []
        self.certificate, private = _certificate(folder)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, private)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> HistoryGateway:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def entries(self, asked: dict[str, str]) -> list[Entry]:
        """The records that a request is about, by the time of capture."""
        begin_ns, end_ns = _ns(asked["start"]), _ns(asked["end"])
        mine = set(self.broadcast.instruments(asked["stype_in"], asked["symbols"], len(self.broadcast.entries)))
        return [
            entry
            for entry in self.broadcast.entries
            if entry.schema == asked["schema"] and entry.instrument_id in mine and begin_ns <= entry.at_ns < end_ns
        ]

    def content(self, asked: dict[str, str]) -> bytes:
        """The DBN file that a request is answered with."""
        entries = self.entries(asked)
        day = dt.date.fromisoformat(asked["start"][:10])
        end = dt.date.fromisoformat(asked["end"][:10])
        intervals = [
            SimpleNamespace(start_date=day, end_date=end, symbol=str(number))
            for number in sorted({entry.instrument_id for entry in entries})
        ]
        metadata = d.Metadata(
            dataset=asked["dataset"],
            start=_ns(asked["start"]),
            end=_ns(asked["end"]),
            stype_in=d.SType.from_str(asked["stype_in"]),
            stype_out=d.SType.from_str("instrument_id"),
            schema=d.Schema.from_str(asked["schema"]),
            symbols=[asked["symbols"]],
            mappings=[SimpleNamespace(raw_symbol=asked["symbols"], intervals=intervals)],
            version=3,
        )
        return zstandard.compress(bytes(metadata) + b"".join(entry.raw for entry in entries))


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine's own address, and its private key."""
    certificate, private = folder / "gateway.pem", folder / "gateway.key"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(certificate), "-keyout", str(private)]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(request, check=True, capture_output=True)
    return certificate, private


def _ns(text: str) -> int:
    moment = dt.datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp()) * NS_PER_S


def _handler(gateway: HistoryGateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve({key: values[0] for key, values in parse_qs(urlparse(self.path).query).items()})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._serve({key: values[0] for key, values in parse_qs(body).items()})

        def _serve(self, asked: dict[str, str]) -> None:
            said = self.headers.get("Authorization", "").removeprefix("Basic ")
            if base64.b64decode(said).decode() != f"{gateway.key}:":
                self._answer(401, {"detail": "Invalid API key."})
            elif gateway.errors > 0:
                gateway.errors -= 1
                self._answer(503, {"detail": "Try again later."})
            else:
                self._about(urlparse(self.path).path.rpartition("/")[2], asked)

        def _about(self, what: str, asked: dict[str, str]) -> None:
            times = [entry.at_ns for entry in gateway.broadcast.entries]
            if what == "metadata.get_dataset_range":
                bounds = (dt.datetime.fromtimestamp(ns / NS_PER_S, dt.UTC).isoformat() for ns in (times[0], times[-1]))
                self._answer(200, dict(zip(("start", "end"), bounds, strict=True)))
            elif what == "metadata.get_dataset_condition":
                first, last = (dt.date.fromisoformat(asked[name]) for name in ("start_date", "end_date"))
                there = {dt.datetime.fromtimestamp(ns // NS_PER_S, dt.UTC).date() for ns in times}
                days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
                conditions = [("available" if day in there else "missing", day.isoformat()) for day in days]
                self._answer(200, [{"date": day, "condition": condition} for condition, day in conditions])
            elif not gateway.broadcast.instruments(asked["stype_in"], asked["symbols"], len(times)):
                self._answer(422, {"detail": f"No symbol {asked['symbols']} was found."})
            elif what == "timeseries.get_range":
                self._stream(gateway.content(asked), (asked["schema"], asked["start"][:10]))
            else:
                size = sum(len(entry.raw) for entry in gateway.entries(asked))
                answers: dict[str, float] = {
                    "metadata.get_cost": size / 1e9 * USD_PER_GB,
                    "metadata.get_billable_size": size,
                    "metadata.get_record_count": len(gateway.entries(asked)),
                }
                self._answer(200, answers[what])

        def _answer(self, status: int, content: Any) -> None:
            raw = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def _stream(self, raw: bytes, what: tuple[str, str]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.end_headers()
            if gateway.breaks > 0:
                gateway.breaks -= 1
                self.wfile.write(raw[: len(raw) // 2])
                return
            self.wfile.write(raw)
            gateway.served.append(what)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not worth a line."""

    return Handler
