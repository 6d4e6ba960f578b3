"""Consumer groups of :mod:`tests.support.memory_log`: who reads which partition, with static members.

As with the real ones, a member hears of a change only when it polls: until then it believes what it was told last, so
two members may hold a partition at once. A member of a dead process, or one that was taken to be dead (`expire`), is
noticed late. Worse than the real ones, a seeded group sometimes gives a partition to two members.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition

if TYPE_CHECKING:
    from tests.support.memory_log import Process

LIES = 0.3
"""How often a seeded group gives a member another one's partition."""

LATE = 0.5
"""How often a seeded group tells what is gone in one poll, and what is given in the next."""

Callback = Callable[[list[TopicPartition]], Any]


@dataclass(eq=False)
class Member:
    """One consumer in a group; ``fenced`` when another of the same instance id has joined."""

    group: Group
    process: Process
    instance: str | None
    topics: Mapping[str, int]
    callbacks: Sequence[Callback]
    fenced: bool = False
    told: int = -1
    held: list[TopicPartition] = field(default_factory=list)

    def rebalance(self) -> None:
        """Tell the member what is its now, if that changed since it polled last."""
        if self not in self.group.members:
            self.group.members.append(self)
            self.group.generation += 1
            self.callbacks[2](self.held)
            self.told = -1
        elif self.told != self.group.generation and self.told >= 0:
            self.callbacks[1](self.held)
            self.told = -1
            # The real ones never tell both in one poll: the others must have given theirs up before.
            if self.group.lies is not None and self.group.lies.random() < LATE:
                return
        if self.told != self.group.generation:
            self.told = self.group.generation
            self.held = self.group.share(self)
            self.callbacks[0](self.held)


class Group:
    """The members in the order in which they came, and the number of their last change. With ``lies`` it is wrong."""

    def __init__(self, lies: random.Random | None = None) -> None:
        self.lies = lies
        self.members: list[Member] = []
        self.generation = 0

    def join(
        self, process: Process, instance: str | None, topics: Mapping[str, int], callbacks: Sequence[Callback]
    ) -> Member:
        """A new member; one of a known instance id takes the old one's place, which is fenced, without a rebalance."""
        made = Member(self, process, instance, topics, callbacks)
        for index, member in enumerate(self.members):
            if instance is not None and member.instance == instance:
                member.fenced = True
                self.members[index] = made
                return made
        self.members.append(made)
        self.generation += 1
        return made

    def leave(self, member: Member) -> None:
        """The member is gone; the others hear of it."""
        if member in self.members:
            self.members.remove(member)
            self.generation += 1

    def expire(self) -> None:
        """Session timeouts: members of dead processes are taken out."""
        for member in [member for member in self.members if not member.process.alive]:
            self.leave(member)

    def share(self, member: Member) -> list[TopicPartition]:
        """Partition n of each topic goes to the member that is n-th, around and around."""
        place, count = self.members.index(member), len(self.members)
        return [
            TopicPartition(topic, number)
            for topic, partitions in member.topics.items()
            for number in range(partitions)
            if number % count == place or (self.lies is not None and self.lies.random() < LIES)
        ]
