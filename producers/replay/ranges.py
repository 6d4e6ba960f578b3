"""Which part of the record: a range of effective time, given as times or as offsets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from common import topics
from common.errors import ConfigError
from common.recorded import END_NS
from common.sessions import cme_es_sessions

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


ALL = Range(0, END_NS)


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
