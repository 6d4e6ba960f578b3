"""WS /ws/levels and /ws/flow: the newest snap first, then every snap that follows.

Frames from here (JSON texts): ``snapshot`` {seq, ...payload}; ``update`` {seq, prev_seq, skipped, ...payload};
``heartbeat`` {seq, ts} when idle; ``reset`` {reason} before a snapshot that does not continue what was sent;
``subscribed`` {levels, unknown}, with those that the newest snap does not have: they come once a snap has them;
``error`` {detail, hint}. Frames from the client: ``{"type": "subscribe", "levels":
["ROUND_680"]}``, with null for all levels; on /ws/flow ``"strikes": ["C680"]``.

Every update carries the whole snap, so ``prev_seq`` only tells whether something was left out. ``?since_seq=n`` goes
on after snap n. No client has a queue of its own: each has a place in the shared ring, and a snap's JSON is made once
for all. Slow clients: one that is more than CLIENT_BACKLOG_SNAPS behind jumps to the newest snap (``skipped`` says how
many it missed); one that takes nothing for SLOW_CLOSE_S is closed with 1013 (try again later).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Generic, Literal

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import metrics
from api.live import LiveSnaps, Mark
from api.payload import to_json
from api.snaps import AnySnap
from common.telemetry import get_logger

CLIENT_BACKLOG_SNAPS = 64
HEARTBEAT_S = 5.0
SLOW_CLOSE_S = 10.0
CONTROL_FRAMES_MAX = 16
"""Answers to subscribe frames that may wait; a client that asks faster is closed."""
SUBSCRIBE_IDS_MAX = 500

CLOSE_POLICY = 1008
CLOSE_TRY_AGAIN = 1013

log = get_logger("api.websocket")


@dataclass(frozen=True, slots=True)
class Pace:
    """The policy for clients, in snaps and seconds."""

    backlog_snaps: int = CLIENT_BACKLOG_SNAPS
    heartbeat_s: float = HEARTBEAT_S
    slow_close_s: float = SLOW_CLOSE_S


Key = Literal["levels", "strikes"]
"""What clients of a stream subscribe to, as the frames name it."""
_EXAMPLES: dict[Key, str] = {"levels": "ROUND_680", "strikes": "C680"}


class Hub(Generic[AnySnap]):
    """Wakes the clients of one event loop when there are new snaps of a stream."""

    def __init__(self, live: LiveSnaps[AnySnap], pace: Pace | None = None, key: Key = "levels") -> None:
        self.live = live
        self.key = key
        self.pace = pace or Pace()
        self._wakes: set[asyncio.Event] = set()
        self._pending = False

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._wakes)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the live snaps while the block runs, on the event loop that enters it."""
        loop = asyncio.get_running_loop()

        def changed() -> None:
            # From the feed's thread. One call in flight is enough: clients look at the ring, not at the call.
            if not self._pending:
                self._pending = True
                with contextlib.suppress(RuntimeError):  # the loop is closing
                    loop.call_soon_threadsafe(self._wake_all)

        end = self.live.listen(changed)
        try:
            yield
        finally:
            end()

    def _wake_all(self) -> None:
        self._pending = False
        for wake in self._wakes:
            wake.set()

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one client until it leaves or is closed."""
        await websocket.accept()
        client = Client(websocket, self.live, self.pace, self.key)
        self._wakes.add(client.wake)
        metrics.WS_CLIENTS.inc()
        receiving = asyncio.create_task(client.receive())
        sending = asyncio.create_task(client.send())
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._wakes.discard(client.wake)
            metrics.WS_CLIENTS.dec()
            for task in (receiving, sending):
                task.cancel()
            outcomes = await asyncio.gather(receiving, sending, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
                raise outcome


class _TooSlowError(Exception):
    """The client takes nothing."""


class Client(Generic[AnySnap]):
    """One connection. ``receive`` and ``send`` run side by side; only ``send`` writes."""

    def __init__(self, websocket: WebSocket, live: LiveSnaps[AnySnap], pace: Pace, key: Key) -> None:
        self._websocket = websocket
        self._key = key
        self._live = live
        self._pace = pace
        self._only: frozenset[str] | None = None
        self._control: deque[dict[str, Any]] = deque()
        self._snapshot_due = True
        self._closing: tuple[int, str] | None = None
        self._mark = Mark(-1, -1)
        self._resume_until = -1
        """Index up to which the client is owed every snap."""
        self._seq: int | None = None
        self.wake = asyncio.Event()

    async def receive(self) -> None:
        """Take the client's frames until it leaves."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if len(self._control) >= CONTROL_FRAMES_MAX:
                self._closing = (CLOSE_POLICY, "too many frames: wait for the answers")
            else:
                raw = message.get("text")
                self._control.append(self._understand(raw if raw is not None else message.get("bytes") or b""))
            self.wake.set()

    def _understand(self, raw: str | bytes) -> dict[str, Any]:
        """Apply a frame from the client; returns the answer."""
        key = self._key
        hint = f'Send {{"type": "subscribe", "{key}": ["{_EXAMPLES[key]}"]}}, or null for all {key}.'
        try:
            frame = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            return {"type": "error", "detail": f"the frame is not JSON: {error}", "hint": hint}
        if not isinstance(frame, dict) or frame.get("type") != "subscribe":
            kind = frame.get("type") if isinstance(frame, dict) else type(frame).__name__
            return {"type": "error", "detail": f"unknown frame {str(kind)[:50]!r}", "hint": hint}
        ids = frame.get(key, ())
        if ids is None:
            self._only = None
        elif isinstance(ids, list) and 0 < len(ids) <= SUBSCRIBE_IDS_MAX and all(isinstance(one, str) for one in ids):
            self._only = frozenset(ids)
        else:
            detail = f"{key} must be null or a list of 1 to {SUBSCRIBE_IDS_MAX} ids"
            return {"type": "error", "detail": detail, "hint": hint}
        self._snapshot_due = True
        latest = self._live.latest
        unknown = frozenset() if self._only is None or latest is None else self._only - latest.ids
        wanted = None if self._only is None else sorted(self._only)
        return {"type": "subscribed", key: wanted, "unknown": sorted(unknown)}

    async def send(self) -> None:
        """Send what is due until the client is closed."""
        try:
            await self._begin()
            while self._closing is None:
                self.wake.clear()
                if await self._send_due():
                    continue
                try:
                    await asyncio.wait_for(self.wake.wait(), self._pace.heartbeat_s)
                except TimeoutError:
                    await self._heartbeat()
            code, reason = self._closing
        except _TooSlowError:
            metrics.WS_SLOW_CLOSED.inc()
            log.info("ws_client_too_slow", client=str(self._websocket.client), seq=self._seq)
            code, reason = CLOSE_TRY_AGAIN, "the client does not read; connect again with since_seq"
        # Waits until the client reads or the connection is lost; holds nothing but its place.
        await self._websocket.close(code, reason)

    async def _begin(self) -> None:
        text = self._websocket.query_params.get("since_seq")
        if text is None:
            if self._live.latest is None:
                await self._heartbeat()
            return
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            detail = f"since_seq={text[:50]} is not a sequence number"
            await self._frame(
                {"type": "error", "detail": detail, "hint": "Give the seq of the last frame, or nothing."}
            )
            self._closing = (CLOSE_POLICY, detail)
            return
        mark, reason = self._live.mark_after(int(text))
        if mark is None:
            await self._frame({"type": "reset", "reason": reason})
            return
        self._mark, self._seq, self._snapshot_due = mark, int(text), False
        self._resume_until = self._live.ahead(mark).newest_mark.index

    async def _send_due(self) -> bool:
        """Send the next thing that is due; False when nothing is."""
        if self._control:
            await self._frame(self._control.popleft())
            return True
        ahead = self._live.ahead(self._mark)
        newest = ahead.newest
        if self._snapshot_due:
            if newest is None:
                return False
            self._snapshot_due = False
            self._mark = ahead.newest_mark
            await self._snap("snapshot", newest, '{"type":"snapshot",')
            return True
        if ahead.lost and (ahead.newest_mark.epoch != self._mark.epoch or self._mark.index < self._resume_until):
            self._snapshot_due = True
            self._resume_until = -1
            await self._frame({"type": "reset", "reason": "snaps after the last one sent are no longer in memory"})
            return True
        if ahead.behind == 0 or newest is None:
            return False
        skipped = 0
        snap, mark = ahead.next, Mark(self._mark.epoch, self._mark.index + 1)
        in_resume = self._mark.index < self._resume_until
        if snap is None or (ahead.behind > self._pace.backlog_snaps and not in_resume):
            snap, mark, skipped = newest, ahead.newest_mark, ahead.behind - 1
            metrics.WS_SKIPPED.inc(skipped)
        self._mark = mark
        previous = "null" if self._seq is None else str(self._seq)
        await self._snap("update", snap, f'{{"type":"update","prev_seq":{previous},"skipped":{skipped},')
        return True

    async def _snap(self, kind: str, snap: AnySnap, head: str) -> None:
        """A snap's frame: its shared JSON with the head in place of its brace."""
        self._seq = snap.seq
        body = snap.text if self._only is None else snap.body_of(self._only).decode()
        await self._text(kind, head + body[1:])

    async def _heartbeat(self) -> None:
        latest = self._live.latest
        await self._frame({"type": "heartbeat", "seq": self._seq, "ts": None if latest is None else latest.ts_ms})

    async def _frame(self, frame: dict[str, Any]) -> None:
        await self._text(frame["type"], to_json(frame).decode())

    async def _text(self, kind: str, text: str) -> None:
        try:
            await asyncio.wait_for(self._websocket.send_text(text), self._pace.slow_close_s)
        except TimeoutError:
            raise _TooSlowError from None
        metrics.WS_FRAMES.labels(kind).inc()
