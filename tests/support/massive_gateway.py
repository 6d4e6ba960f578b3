"""A stand-in for Massive on one port of this machine: WebSockets for stocks and options, REST for the option chain.

Plays a capture (``*.massive.jsonl``, ``.zst``) in event time, from the first subscription to stocks on, to clients
that authenticate and subscribe as with the vendor. ``python -m tests.support.massive_gateway --file X.massive.jsonl``
runs it (``--help`` tells the rest); the first line it prints is a JSON object with its key and addresses. Started
again with the ledger of an earlier run it goes on where the market would be by now.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.massive_play import Chain, Channel, Fault, Ledger, Played, faults_of, status, tape

TURN_S = 0.01
KEY = "a-key-for-tests"
CHANNELS = ("stocks", "options")


class Gateway:
    """The server, in a thread of its own while the block runs. ``ledger`` is what it did, ``done`` the tape's end.

    ``held``: the tape begins no sooner than `release` is called.
    """

    def __init__(
        self,
        file: Path,
        *,
        speed: float = 1.0,
        faults: Sequence[Fault] = (),
        key: str = KEY,
        page_size: int = 250,
        ledger_path: Path | None = None,
        port: int = 0,
        held: bool = False,
    ) -> None:
        self._held = held
        self._wanted = False
        self._tape = tape(file)
        self._speed = speed
        self._port = port
        self._key = key
        earlier = _earlier(ledger_path)
        self._file = None if ledger_path is None else ledger_path.open("a", encoding="utf-8")
        self.ledger = Ledger(self._file)
        self.channels = {
            name: Channel(name, key, self.ledger, deque(f for f in faults if f.channel == name)) for name in CHANNELS
        }
        self._chain = Chain(page_size)
        self._chain_faults = deque(f for f in faults if f.channel == "chain")
        self._chain_requests = 0
        self._tokens: dict[str, dict[str, str]] = {}
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._transports: dict[str, asyncio.Transport] = {}
        self._begun_s: float | None = earlier.get("begun_s")
        self._known = frozenset(earlier.get("keys", ()))
        self._last_number = int(earlier.get("number", -1))
        self.done = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="massive-gateway", daemon=True)

    def __enter__(self) -> Gateway:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if self._file is not None:
            self._file.close()

    @property
    def urls(self) -> dict[str, str]:
        """The settings under which a feed finds this server."""
        return {
            "massive_stocks_url": f"ws://127.0.0.1:{self._port}/stocks",
            "massive_options_url": f"ws://127.0.0.1:{self._port}/options",
            "massive_rest_url": f"http://127.0.0.1:{self._port}",
        }

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        app = web.Application()
        app.add_routes(
            [
                web.get("/{channel:stocks|options}", self._socket),
                web.get("/v3/snapshot/options/{underlying}", self._snapshot),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = runner.addresses[0][1]
        playing = asyncio.create_task(self._play())
        self._ready.set()
        await self._stopping.wait()
        await playing
        # closed in order behind everything that was sent
        for socket in self._sockets.values():
            await socket.close()
        await runner.cleanup()

    # WebSockets

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        name = request.match_info["channel"]
        channel = self.channels[name]
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if channel.connected:
            await socket.send_bytes(status("max_connections", "Maximum number of websocket connections exceeded."))
            await socket.close(code=1008)
            return socket
        self._sockets[name] = socket
        assert isinstance(request.transport, asyncio.Transport)
        self._transports[name] = request.transport
        await self._send(socket, channel.connect())
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    for answer in channel.control(message.data):
                        await self._send(socket, answer)
                    self._begin_playing()
        finally:
            if self._sockets.get(name) is socket:
                channel.disconnect()
        return socket

    def _begin_playing(self) -> None:
        if self._begun_s is not None or not self.channels["stocks"].subscribed:
            return
        if not self._wanted:
            self._wanted = True
            self._note({"event": "start"})
        if not self._held:
            self._begun_s = time.time()
            self._note({"begun_s": self._begun_s})

    def release(self) -> None:
        """A tape that was held may begin; from any thread."""
        self._held = False
        self._loop.call_soon_threadsafe(self._begin_playing)

    def _note(self, line: dict[str, Any]) -> None:
        """A line of the ledger that is no message."""
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    @staticmethod
    async def _send(socket: web.WebSocketResponse, frame: bytes) -> None:
        try:
            text = frame.decode()
        except UnicodeDecodeError:
            await socket.send_bytes(frame)
        else:
            await socket.send_str(text)

    async def _do(self, name: str, action: str, frame: bytes) -> None:
        socket = self._sockets[name]
        if action == "drop":
            self.channels[name].disconnect()
            self._transports[name].abort()
            return
        # a client that goes away while it is written to has its gap; the channel hears of it in its own handler
        with suppress(ConnectionError):
            await self._send(socket, frame)

    async def _play(self) -> None:
        while self._begun_s is None:
            if self._stopping.is_set():
                return
            await asyncio.sleep(TURN_S)
        first_ns = self._tape[0].at_ns
        for frame in self._tape:
            if frame.messages[-1].number <= self._last_number:
                if frame.channel == "chain":
                    self._chain.take(frame)
                continue
            due_s = self._begun_s + (frame.at_ns - first_ns) / 1e9 / self._speed
            while (wait_s := due_s - time.time()) > 0 and not self._stopping.is_set():
                await asyncio.sleep(min(wait_s, TURN_S))
                await self._resume()
            await self._resume()
            if self._stopping.is_set():
                break
            if frame.channel == "chain":
                self._chain.take(frame)
                continue
            if self._known and not self.channels[frame.channel].connected:
                # before the first client after a restart
                for message in frame.messages:
                    self.ledger.add("missed" if message.key in self._known else "unsubscribed", frame.channel, message)
                continue
            for action, data in self.channels[frame.channel].play(frame, time.monotonic()):
                await self._do(frame.channel, action, data)
        for name, channel in self.channels.items():
            for action, data in channel.finish():
                await self._do(name, action, data)
        if not self._stopping.is_set():
            self._note({"event": "end"})
        self.done.set()

    async def _resume(self) -> None:
        for name, channel in self.channels.items():
            for action, data in channel.resume(time.monotonic()):
                await self._do(name, action, data)

    # REST

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self._key}":
            return web.json_response({"status": "ERROR", "error": "Unknown API Key"}, status=401)
        self._chain_requests += 1
        if self._chain_faults and self._chain_faults[0].after <= self._chain_requests:
            fault = self._chain_faults[0]
            fault.count -= 1
            if fault.count <= 0:
                self._chain_faults.popleft()
            answer = await self._fault(request, fault)
            if answer is not None:
                return answer
        query = dict(request.query)
        query = {**self._tokens.get(query.get("cursor", ""), query)}
        entries, cursor = self._chain.page(query)
        body: dict[str, Any] = {"status": "OK", "request_id": "1", "results": [entry.body for entry in entries]}
        if cursor is not None:
            token = f"c{len(self._tokens)}"
            self._tokens[token] = {**query, "cursor": cursor}
            body["next_url"] = f"https://api.massive.com{request.path}?cursor={token}"
        self._wrote(entries)
        return web.json_response(body)

    def _wrote(self, entries: Sequence[Played]) -> None:
        for entry in entries:
            self.ledger.add("sent", "chain", entry)

    async def _fault(self, request: web.Request, fault: Fault) -> web.StreamResponse | None:
        """The answer instead of a page; None when there is only something before it."""
        if fault.do == "rate_limit":
            return web.json_response({"status": "ERROR"}, status=429, headers={"Retry-After": f"{fault.for_s:.0f}"})
        if fault.do == "error":
            return web.json_response({"status": "ERROR"}, status=503)
        if fault.do == "refuse":
            return web.json_response({"status": "NOT_AUTHORIZED", "message": "not entitled to this data"}, status=403)
        if fault.do == "garbage":
            self.ledger.add("garbage", "chain", None)
            return web.Response(body=b'{"status":"OK","results":[{"details"', content_type="application/json")
        if fault.do == "cut":
            cut = web.StreamResponse(headers={"Content-Length": "100000"})
            await cut.prepare(request)
            await cut.write(b'{"status":"OK","results":[')
            assert isinstance(request.transport, asyncio.Transport)
            request.transport.abort()
            return cut
        if fault.do == "slow":
            await asyncio.sleep(fault.for_s)
            return None
        raise ValueError(f"chain: no fault {fault.do!r}")


def _earlier(path: Path | None) -> dict[str, Any]:
    """What the ledger of an earlier run says: when the tape began, how far it was, which keys were listened to."""
    if path is None or not path.is_file():
        return {}
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    begun = [entry["begun_s"] for entry in entries if "begun_s" in entry]
    numbered = [entry for entry in entries if "number" in entry and entry["channel"] != "chain"]
    if not begun:
        return {}
    return {
        "begun_s": begun[0],
        "number": max((entry["number"] for entry in numbered), default=-1),
        "keys": sorted({entry["key"] for entry in numbered if entry["fate"] != "unsubscribed"}),
    }


def main(arguments: Sequence[str]) -> None:
    """Serve until stdin ends or the process is told to stop."""
    parser = argparse.ArgumentParser(prog="massive_gateway", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="capture to play")
    parser.add_argument("--port", type=int, default=0, help="port; 0 picks a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="multiple of real time")
    parser.add_argument("--faults", type=Path, help="JSON list of faults (massive_play.Fault)")
    parser.add_argument("--ledger", type=Path, help="file for what was sent, a JSON line each; gone on with if there")
    parser.add_argument("--page-size", type=int, default=250, help="contracts on a page of the chain at most")
    parser.add_argument("--hold", action="store_true", help="the tape begins when a line comes on stdin")
    chosen = parser.parse_args(arguments)
    faults = faults_of(json.loads(chosen.faults.read_text(encoding="utf-8"))) if chosen.faults else []
    gateway = Gateway(
        chosen.file,
        speed=chosen.speed,
        faults=faults,
        page_size=chosen.page_size,
        ledger_path=chosen.ledger,
        port=chosen.port,
        held=chosen.hold,
    )
    with gateway:
        print(json.dumps({"key": KEY, **gateway.urls}), flush=True)  # noqa: T201
        if chosen.hold:
            sys.stdin.readline()
            gateway.release()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
