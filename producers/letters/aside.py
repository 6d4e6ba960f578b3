"""What a reader of files does with a message that cannot be used."""

from __future__ import annotations

from collections.abc import Callable

from common.telemetry import get_logger
from producers.live.arrivals import Bad

SetAside = Callable[[str, Bad], None]
"""Told the source's name and the message."""

log = get_logger("producers.letters")


def log_only(source: str, bad: Bad) -> None:
    """For readers without a log to write letters to: say it, and go on."""
    log.warning("message_set_aside", source=source, topic=bad.topic, place=bad.place, error=bad.error)
