"""Which part of the record: times, offsets, and where the warm-up begins."""

from __future__ import annotations

import pytest

from common import topics
from common.errors import ConfigError
from common.sessions import cme_es_sessions
from common.times import parse_time, shown_time
from producers.replay.ranges import ALL, Place, Range, parse_places, parse_range


@pytest.mark.parametrize(
    ("text", "ts_ns"),
    [
        ("1970-01-01", 0),
        ("2023-12-25T23:30", 1_703_547_000_000_000_000),
        ("2023-12-25T23:30:00.000001Z", 1_703_547_000_000_001_000),
        ("2023-12-26 00:30+01:00", 1_703_547_000_000_000_000),
        ("1703547000000000123", 1_703_547_000_000_000_123),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, ts_ns: int) -> None:
    assert parse_time(text) == ts_ns


@pytest.mark.parametrize("text", ["", "noon", "2023-13-01", "12:30"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a time") as refused:
        parse_time(text)
    assert "2023" in str(refused.value.hint)


def test_a_time_is_shown_to_the_millisecond() -> None:
    assert shown_time(1_703_547_000_250_999_999) == "2023-12-25 23:30:00.250"


def test_offsets_may_be_given_one_by_one_or_with_commas_with_or_without_the_namespace() -> None:
    texts = ["futures.mbp10.v1:0:5,futures.trades.v1:0:7", "test.x.options.trades.v1:0:9"]
    assert parse_places(texts, "test.x", 0) == (
        Place(topics.FUTURES_MBP10, 0, 5),
        Place(topics.FUTURES_TRADES, 0, 7),
        Place(topics.OPTIONS_TRADES, 0, 9),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("futures.mbp10.v1", "is not TOPIC:PARTITION:OFFSET"),
        ("futures.mbp10.v1:0:-1", "is not TOPIC:PARTITION:OFFSET"),
        ("levels.signals.v1:0:1", "is no input of the engine"),
        ("futures.mbp10.v1:1:5", "has partition 0, not 1"),
    ],
)
def test_what_is_no_place_of_an_input_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        parse_places([text], "", 0)
    assert refused.value.hint


def test_a_warm_up_begins_with_the_open_of_the_session_before() -> None:
    sessions = cme_es_sessions()
    number = 1_000
    begin_ns = int(sessions.open_ns[number])
    for from_ns in (begin_ns, begin_ns + 1, int(sessions.close_ns[number])):
        assert Range(from_ns, from_ns + 1).warm_ns == sessions.open_ns[number - 1]
    assert Range(begin_ns - 1, begin_ns).warm_ns == sessions.open_ns[number - 2]
    assert ALL.warm_ns == 0
    assert Range(int(sessions.open_ns[0]) + 5, 10**19).warm_ns == 0


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        ("2024-01-02", "2024-01-01", "--from 2024-01-02 is not before --to 2024-01-01"),
        ("99999999999999999999", None, "99999999999999999999 is no time between"),
        ("yesterday", None, "'yesterday' is not a time"),
    ],
)
def test_a_range_that_is_none_is_refused(begin: str | None, end: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        parse_range(begin, end)
    assert refused.value.hint


def test_ranges_without_anything_in_common_are_refused() -> None:
    with pytest.raises(ConfigError, match="not after it begins"):
        Range(0, 10).within(Range(10, 20))
    assert Range(0, 15).within(Range(10, 20)) == Range(10, 15)


def test_a_range_is_said_as_people_say_it() -> None:
    day = parse_time("2024-01-01")
    assert str(Range(day, ALL.until_ns)) == "from 2024-01-01 00:00:00.000 UTC on"
    assert str(Range(0, day)) == "before 2024-01-01 00:00:00.000 UTC"
