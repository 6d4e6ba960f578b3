"""Times in requests."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clock import iso, parse_time_ns
from common.errors import InputError


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1703545200000000000", 1703545200000000000),
        ("0", 0),
        ("2023-12-25T23:00:00Z", 1703545200000000000),
        ("2023-12-25T23:00:00", 1703545200000000000),
        ("2023-12-25 23:00", 1703545200000000000),
        ("2023-12-25T17:00:00-06:00", 1703545200000000000),
        ("2023-12-26T00:00:00+01:00", 1703545200000000000),
        ("2023-12-26T00:00:00 01:00", 1703545200000000000),
        ("2023-12-25T23:00:00.25Z", 1703545200250000000),
        ("2023-12-25T23:00:00.000000001Z", 1703545200000000001),
        ("2023-12-25", 1703462400000000000),
    ],
)
def test_a_time_is_read_to_the_ns(text: str, ns: int) -> None:
    assert parse_time_ns("from", text) == ns


@pytest.mark.parametrize(
    "text",
    ["yesterday", "", "2023-13-01T00:00:00Z", "2023-12-25T25:00:00Z", "1703545200", "1703545200000", "-5", "1e18",
     "99999999999999999999", "9223372036854775808", "1969-12-31T23:59:59Z", "2262-12-31", "2023-12-25T23:00:00Zjunk"],
)  # fmt: skip
def test_what_is_no_time_is_refused_by_name_and_value(text: str) -> None:
    with pytest.raises(InputError, match="from=") as caught:
        parse_time_ns("from", text)
    assert f"from={text}" in str(caught.value)
    assert caught.value.hint


# The bounds are naive because hypothesis wants them so.
@given(st.datetimes(min_value=datetime(1970, 1, 13), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_iso_and_ns_agree(moment: datetime) -> None:
    ns = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (moment.resolution) * 1_000
    assert parse_time_ns("to", moment.isoformat()) == ns
    assert parse_time_ns("to", str(ns)) == ns
    assert parse_time_ns("to", iso(ns)) == ns // 1_000_000 * 1_000_000


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        assert 0 <= parse_time_ns("from", text) < 2**63
