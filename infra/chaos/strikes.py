"""What can happen to sinks, maintenance and their servers, and a plan of it from a seed."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from infra.chaos.world import MEMBERS, World
from infra.local.process import Process

CALM_S = (0.2, 3.0)
"""How long it is quiet before the next strike."""
PAUSE_S = (1.0, 16.0)
"""A paused sink is taken for dead after ten seconds, so some wake up as zombies."""
FULL_S = 3.0
FULL_BYTES = 16_384
"""While its disk is full no file of a process grows beyond this."""


@dataclass(frozen=True, slots=True)
class Later:
    """Something to be done at a time of the monotonic clock."""

    at_s: float
    action: Callable[[], None]


Strike = Callable[[World, np.random.Generator], Later | None]


def _member(random: np.random.Generator) -> str:
    return str(random.choice(MEMBERS))


def kill_sink(world: World, random: np.random.Generator) -> None:
    """SIGKILL of a sink."""
    world.kill(world.sink(_member(random)))


def fight(world: World, random: np.random.Generator) -> None:
    """A second sink of a running one's name: both want its partitions."""
    world.replace(_member(random))


def pause_sink(world: World, random: np.random.Generator) -> Later:
    """SIGSTOP of a sink, which wakes up late."""
    process = world.sink(_member(random))
    world.pause(process)
    return Later(time.monotonic() + random.uniform(*PAUSE_S), partial(world.wake, process))


def kill_maintenance(world: World, _: np.random.Generator) -> None:
    """SIGKILL of maintenance, wherever it is in its work."""
    world.kill(world.maintenance)


def pause_maintenance(world: World, random: np.random.Generator) -> Later:
    """SIGSTOP of maintenance, which goes on with what it knew of the tables."""
    process = world.maintenance
    world.pause(process)
    return Later(time.monotonic() + random.uniform(*PAUSE_S), partial(world.wake, process))


def fill_disk(world: World, random: np.random.Generator) -> Later:
    """A sink (with a lake: the object store) can write no file beyond a few bytes for a while."""
    process = world.server("minio") if "minio" in world.proxies else world.sink(_member(random))
    _limit(process, FULL_BYTES)
    return Later(time.monotonic() + FULL_S, partial(_limit, process, resource.RLIM_INFINITY))


def _limit(process: Process, size_bytes: int) -> None:
    if process.alive:
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_soft(size_bytes, hard), hard))


def _soft(wanted: int, hard: int) -> int:
    """The soft limit as wanted, but not above the hard one."""
    return wanted if hard == resource.RLIM_INFINITY else hard if wanted == resource.RLIM_INFINITY else min(wanted, hard)


def kill_server(name: str, world: World, _: np.random.Generator) -> None:
    """SIGKILL of a server."""
    world.kill(world.server(name))


def lose_answers(name: str, world: World, random: np.random.Generator) -> None:
    """The next answers of a server to writes are lost after it did what it was asked to."""
    world.proxies[name].lose(int(random.integers(1, 4)))


EMBEDDED: dict[str, Strike] = {
    "sink killed": kill_sink,
    "sink paused": pause_sink,
    "maintenance killed": kill_maintenance,
    "two sinks of one name": fight,
    "broker killed": partial(kill_server, "kafka"),
    "disk full": fill_disk,
    "maintenance paused": pause_maintenance,
    "registry killed": partial(kill_server, "registry"),
}
WITH_LAKE: dict[str, Strike] = {
    "catalog's answer lost": partial(lose_answers, "catalog"),
    "store killed": partial(kill_server, "minio"),
    "sink killed": kill_sink,
    "maintenance killed": kill_maintenance,
    "catalog killed": partial(kill_server, "catalog"),
    "store's answer lost": partial(lose_answers, "minio"),
    "sink paused": pause_sink,
    "broker killed": partial(kill_server, "kafka"),
    "two sinks of one name": fight,
    "disk full": fill_disk,
    "maintenance paused": pause_maintenance,
    "registry killed": partial(kill_server, "registry"),
}


def plan(strikes: dict[str, Strike], kills: int, random: np.random.Generator) -> Iterator[tuple[float, str]]:
    """(seconds of calm, strike): each kind once in its order, then at random, sinks as often as all others."""
    names = list(strikes)
    weights = np.array([len(names) if name == "sink killed" else 1.0 for name in names])
    for number in range(kills):
        name = names[number] if number < len(names) else str(random.choice(names, p=weights / weights.sum()))
        yield float(random.uniform(*CALM_S)), name
