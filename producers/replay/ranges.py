"""Which part of the record: a range of effective time, given as times or as offsets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from common import topics
from common.errors import ConfigError
from common.recorded import END_NS
from common.sessions import cme_es_sessions
from common.times import parse_time, shown_time

WARM_SESSIONS = 1
"""Whole sessions applied before the one in which a range begins: they leave the prior high, low and close and the
ratio. Levels that people set outlive any number of sessions; requests are read from their beginning
(`common.topics.KEPT`).
"""


class Range(NamedTuple):
    """Snaps and records with from_ns <= time < until_ns."""

    from_ns: int
    until_ns: int

    @property
    def warm_ns(self) -> int:
        """Where a replay begins to read, so that its state at ``from_ns`` is that of a run from the beginning."""
        opens = cme_es_sessions().open_ns
        number = int(np.searchsorted(opens, self.from_ns, side="right")) - 1 - WARM_SESSIONS
        return 0 if self.from_ns <= 0 or number < 0 else int(opens[number])

    def within(self, other: Range) -> Range:
        """What both have. Raises ConfigError when that is nothing."""
        both = Range(max(self.from_ns, other.from_ns), min(self.until_ns, other.until_ns))
        if both.from_ns >= both.until_ns:
            raise ConfigError(
                f"the range ends at {shown_time(both.until_ns)}, not after it begins ({shown_time(both.from_ns)})",
                hint="Swap its ends.",
            )
        return both

    def __str__(self) -> str:
        """For messages."""
        if self.until_ns >= END_NS:
            return "at any time" if self.from_ns <= 0 else f"from {shown_time(self.from_ns)} UTC on"
        begin = f"from {shown_time(self.from_ns)} to" if self.from_ns > 0 else "before"
        return f"{begin} {shown_time(self.until_ns)} UTC"


ALL = Range(0, END_NS)


def parse_range(begin: str | None, end: str | None) -> Range:
    """``--from`` and ``--to``; None is open. Raises ConfigError for what is no time, and for a range without any."""
    from_ns = ALL.from_ns if begin is None else parse_time(begin)
    until_ns = ALL.until_ns if end is None else parse_time(end)
    for text, ts_ns in ((begin, from_ns), (end, until_ns)):
        if not 0 <= ts_ns <= END_NS:
            raise ConfigError(f"{text} is no time between 1970 and 2262", hint="Write it as 2023-12-25T23:30 (UTC).")
    if from_ns >= until_ns:
        raise ConfigError(f"--from {begin or 1970} is not before --to {end}", hint="Swap them.")
    return Range(from_ns, until_ns)


class Place(NamedTuple):
    """One offset of a topic-partition; ``topic`` without the namespace."""

    topic: str
    partition: int
    offset: int


def parse_places(texts: Iterable[str], namespace: str, partition: int) -> tuple[Place, ...]:
    """``TOPIC:PARTITION:OFFSET``, several separated by commas. Raises ConfigError that names what cannot be read."""
    out = []
    for text in (part.strip() for item in texts for part in item.split(",")):
        name, _, rest = text.partition(":")
        number, _, offset = rest.partition(":")
        topic = name.removeprefix(topics.full_name("", namespace))
        if not (number.isdecimal() and offset.isdecimal()):
            raise ConfigError(
                f"{text!r} is not TOPIC:PARTITION:OFFSET", hint=f"Write {topics.FUTURES_MBP10}:{partition}:1000."
            )
        if topic not in topics.ENGINE_INPUTS:
            known = ", ".join(topics.ENGINE_INPUTS)
            raise ConfigError(f"{name!r} is no input of the engine", hint=f"The inputs are: {known}")
        if int(number) != partition:
            raise ConfigError(
                f"{text}: the complex has partition {partition}, not {number}", hint="Name another one with --complex."
            )
        out.append(Place(topic, int(number), int(offset)))
    return tuple(out)
