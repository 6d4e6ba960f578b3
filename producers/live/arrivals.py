"""What a live feed says, whatever its vendor: the border between vendors' code and everything common.

A feed turns what its vendor sends into arrivals, in the order of receipt; stamping, promises, the spool, the log and
the dead letters are the same for all. What a vendor sent is then exactly what is stored, dead, dropped as a duplicate,
or lost inside a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from common.columns import Batch

ConnectionState = Literal["CONNECTED", "DISCONNECTED", "CATCHING_UP"]


class Stopped(Exception):  # noqa: N818 - it is no error
    """The service ends: the feed leaves :meth:`Feed.run`. No error, so not one of `common.errors`."""


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one topic in the order of receipt.

    ``batch`` has every field of its topic; ids, effective times, lateness and ``gap_begin_ns`` are the stamper's to
    fill. ``hashes``: uint64[batch.length], the content hash of each record (:mod:`producers.event_ids`).
    ``received_s``: when the oldest of them left the socket, by ``time.monotonic()``; 0 when that is not known.
    """

    batch: Batch
    hashes: NDArray[np.uint64]
    received_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval that the topics do not cover: ``begin_ns`` the last time certainly received, ``end_ns`` the first
    that is covered again (ns since the epoch). Comes before the first record after it.
    """

    topics: tuple[str, ...]
    begin_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Connection:
    """The state of the topics' connection from here on, by the source's clock at ``ts_ns``.

    DISCONNECTED and CATCHING_UP (a replay of what was missed) allow no promises, CONNECTED does.
    """

    topics: tuple[str, ...]
    state: ConnectionState
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Clock:
    """The source's own clock, ns since the epoch (a vendor's heartbeat, a time of receipt): allows promises while idle.

    It says that every record of these topics up to that time came before it. Say it several times a second while
    connected, also while records flow: a quiet topic beside a busy one needs it.
    """

    topics: tuple[str, ...]
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Bad:
    """A message that cannot be used: to the dead letters.

    ``topic``: the topic it was meant for, or the channel (``massive.stocks``) where that is not known. ``place``
    identifies it within its source and is the same when the same message is met again (in a replay after a reconnect,
    in a second run of a file).
    """

    topic: str
    value: bytes
    error: str
    place: str


Arrival = Records | Gap | Connection | Clock | Bad


@dataclass(frozen=True, slots=True)
class Resume:
    """Where the log stands. ``last_event_ns``: newest ``ts_event_ns`` of each topic of the feed, 0 where it is empty.

    A feed that can replay starts at the first record of that time; one that cannot says `Gap` from there on.
    """

    last_event_ns: Mapping[str, int] = field(default_factory=dict)


class Inbox(Protocol):
    """Where a feed puts what it has to say."""

    def put(self, arrival: Arrival) -> None:
        """Hand over the next arrival. Waits while the service is behind (back-pressure: the vendor then sees a slow
        reader). Raises `Stopped` when the service ends.
        """


class Feed(Protocol):
    """A vendor's live connection, reconnecting by itself.

    ``source``: its name in records and heartbeats. ``topics``: those it feeds, disjoint from other feeds'.
    ``repeats_are_events``: identical records are different events, told apart by their ordinals, and a reconnect
    replays from the first record of the last ``ts_event`` on (Databento). False: an identical message is the same
    event, dropped and counted (Massive).
    """

    source: str
    topics: tuple[str, ...]
    repeats_are_events: bool

    def run(self, inbox: Inbox, resume: Resume) -> None:
        """Feed the inbox until `stop`, in one thread; reconnect with backoff, saying `Connection` and `Gap`.

        Raises BreakwaterError when it is hopeless (the key is refused).
        """

    def stop(self) -> None:
        """Ask `run` to return soon; from any thread, more than once."""
