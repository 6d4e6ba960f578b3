"""A session of Massive's and the stand-in for the vendor, joined without sockets in simulated time.

Frames are `FLIGHT_MS` under way; those that are when a connection drops are lost, as with a reset of TCP. The client
connects again after a while of its own. Our own clock is another than
the market's.
"""

from __future__ import annotations

import random
from bisect import insort
from collections import deque
from collections.abc import Sequence

import orjson

from producers.live.arrivals import Arrival, Resume
from producers.massive.session import Frame, Session
from producers.massive.strikes import StrikeWindow
from tests.support.massive_gateway import KEY
from tests.support.massive_play import Channel, Fault, Ledger, PlayedFrame

FLIGHT_MS = 15
AWAY_MS = (20, 900)
"""How long it takes until a client is back, at least and at most."""

ANSWER_MS = (0, 60)
"""How much later than a subscription begins the vendor says so: records come before that."""

BUSY = 0.6

MS = 1_000_000
TURN_NS = 5 * MS
REST_TURNS, FINISH_TURNS = 400, 100
OURS_NS = 33 * 86_400_000_000_000
"""How much later our clock is than the vendor's."""


class SimulatedLink:
    """Runs a tape to its end; `arrivals` is what the session said, `landed` the frames that came, by channel, in their
    order, and `lost` those that never did.
    """

    def __init__(self, tape: Sequence[PlayedFrame], faults: Sequence[Fault], seed: int) -> None:
        self._tape = deque(tape)
        self._random = random.Random(seed)
        self.ledger = Ledger()
        self.session = Session("SPY", StrikeWindow("SPY", 5.0), 1_000 * MS, Resume())
        self.arrivals: list[Arrival] = []
        self.landed: list[tuple[str, bytes]] = []
        self.lost: list[bytes] = []
        self._channels = {
            name: Channel(name, KEY, self.ledger, deque(f for f in faults if f.channel == name))
            for name in ("stocks", "options")
        }
        self._flying: dict[str, deque[tuple[int, bytes]]] = {name: deque() for name in self._channels}
        self._back_ns = dict.fromkeys(self._channels, 0)
        self._asked: dict[str, set[str]] = {name: set() for name in self._channels}
        self._now_ns = tape[0].at_ns

    def run(self) -> None:
        """To the end of the tape, and until everything that flies has landed."""
        rest = REST_TURNS
        while self._tape or rest:
            rest -= not self._tape
            for name in self._channels:
                self._client(name)
            while self._tape and self._tape[0].at_ns <= self._now_ns:
                frame = self._tape.popleft()
                if frame.channel in self._channels:
                    self._act(frame.channel, frame)
            if not self._tape and rest == FINISH_TURNS:
                for name in self._channels:
                    self._send(name, [data for _, data in self._channels[name].finish()])
            for name, channel in self._channels.items():
                self._send(name, [data for _, data in channel.resume(self._now_ns / 1e9)])
                self._land(name)
            self.arrivals += self.session.tick(self._now_ns + OURS_NS)
            self._now_ns += TURN_NS

    def _act(self, name: str, frame: PlayedFrame) -> None:
        for action, data in self._channels[name].play(frame, self._now_ns / 1e9):
            if action == "send":
                self._send(name, [data])
                continue
            self.lost += self._channels[name].disconnect()
            self.lost += [lost for _, lost in self._flying[name]]
            self._flying[name].clear()
            self.arrivals += self.session.lost(name, self._now_ns + OURS_NS)  # type: ignore[arg-type]
            self._back_ns[name] = self._now_ns + self._random.randint(*AWAY_MS) * MS

    def _client(self, name: str) -> None:
        """What the vendor's client does: connect, authenticate, subscribe, and follow what is desired."""
        channel = self._channels[name]
        desired = self.session.desired(name)  # type: ignore[arg-type]
        if not channel.connected:
            if not desired or self._now_ns < self._back_ns[name]:
                return
            channel.connect()
            channel.control(orjson.dumps({"action": "auth", "params": KEY}))
            self.arrivals += self.session.opened(name, self._now_ns + OURS_NS)  # type: ignore[arg-type]
            self._asked[name] = set()
        asked = self._asked[name]
        for action, params in (("subscribe", desired - asked), ("unsubscribe", asked - desired)):
            if params:
                request = orjson.dumps({"action": action, "params": ",".join(sorted(params))})
                for answer in channel.control(request):
                    self._send(name, [answer], self._random.randint(*ANSWER_MS) * MS)
        self._asked[name] = set(desired)

    def _send(self, name: str, frames: Sequence[bytes], later_ns: int = 0) -> None:
        for frame in frames:
            due_ns = self._now_ns + FLIGHT_MS * MS + later_ns
            insort(self._flying[name], (due_ns, frame), key=lambda flying: flying[0])

    def _land(self, name: str) -> None:
        # A reader that is busy finds several frames at once.
        if self._random.random() < BUSY:
            return
        landed = []
        while self._flying[name] and self._flying[name][0][0] <= self._now_ns:
            landed.append(Frame(name, self._flying[name].popleft()[1], self._now_ns + OURS_NS))  # type: ignore[arg-type]
        self.landed += [(name, frame.data) for frame in landed]
        self.arrivals += self.session.received(landed, self._now_ns + OURS_NS)
