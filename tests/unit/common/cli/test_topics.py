"""The list of topics on a terminal of eighty columns."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from common.cli.topics import TopicState, shown_topics


def _text(*states: TopicState) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(shown_topics(states))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "end", "shown"),
    [
        ("options.greeks_snapshots.v1", 1_000_999_999, "1,000,999,999"),
        ("breakwater-signals-levels-changelog", 9_999_999, "9,999,999"),
    ],
)
def test_topics_of_a_long_day_are_shown_whole(name: str, end: int, shown: str) -> None:
    text = _text(TopicState(name, 1, "compact", 999_999, end, end - 999_999, 12))
    assert name in text and shown in text and "…" not in text


def test_a_topic_whose_name_needs_more_goes_on_in_the_next_line() -> None:
    name = "replay.a-rather-long-name-of-a-replay.options.greeks_snapshots.v1"
    lines = _text(TopicState(name, 1, "delete", 0, 10, 10, 12)).splitlines()
    assert "".join(line.split(" ")[0] for line in lines[1:]) == name


def test_topics_claim_no_records() -> None:
    assert "records" not in _text()
