"""Sessions are the calendars' (plan §4, DESIGN 4.2): bounds of ES, and the NYSE's regular hours within them."""

from __future__ import annotations

import csv
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from common.sessions import NYSE_TABLE, TABLE, cme_es_sessions, generate, nyse_closes

CHICAGO, NEW_YORK = ZoneInfo("America/Chicago"), ZoneInfo("America/New_York")


def stored(path: Path) -> list[tuple[int, ...]]:
    with path.open(encoding="ascii", newline="") as file:
        return [tuple(int(value) for value in row) for row in list(csv.reader(file))[1:]]


def local(ns: int, zone: ZoneInfo) -> str:
    assert ns % 10**9 == 0
    return datetime.fromtimestamp(int(ns) // 10**9, zone).strftime("%m-%d %H:%M")


def session(yyyymmdd: int) -> tuple[str, str, str, str]:
    """Open and close in Chicago, regular hours in New York."""
    table = cme_es_sessions()
    at = list(table.date).index(yyyymmdd)
    return (
        local(table.open_ns[at], CHICAGO),
        local(table.close_ns[at], CHICAGO),
        local(table.rth_open_ns[at], NEW_YORK) if table.rth_open_ns[at] else "",
        local(table.rth_close_ns[at], NEW_YORK) if table.rth_close_ns[at] else "",
    )


def test_the_tables_are_what_the_calendars_say() -> None:
    es, nyse = generate()
    assert stored(TABLE) == es, "run python -m common.sessions and review the difference"
    assert stored(NYSE_TABLE) == nyse, "run python -m common.sessions and review the difference"


def test_sessions_follow_one_another_and_christmas_has_none() -> None:
    sessions = cme_es_sessions()
    assert np.all(sessions.open_ns < sessions.close_ns)
    assert np.all(sessions.close_ns[:-1] <= sessions.open_ns[1:])
    assert 20231225 not in sessions.date
    assert session(20231226)[0] == "12-25 17:00"


def test_all_columns_are_int64_of_one_length() -> None:
    table = cme_es_sessions()
    columns = [table.date, table.open_ns, table.close_ns, table.rth_open_ns, table.rth_close_ns]
    assert {(column.dtype, column.shape) for column in columns} == {(np.dtype(np.int64), table.date.shape)}


def test_regular_hours_lie_within_the_session_or_are_absent() -> None:
    table = cme_es_sessions()
    regular = table.rth_open_ns > 0
    assert np.array_equal(regular, table.rth_close_ns > 0)
    assert np.all(table.open_ns[regular] < table.rth_open_ns[regular])
    assert np.all(table.rth_open_ns[regular] < table.rth_close_ns[regular])
    assert np.all(table.rth_close_ns[regular] < table.close_ns[regular])
    assert int(regular.sum()) == len(nyse_closes()[0]), "every day of the NYSE lies in a session of ES"


@pytest.mark.parametrize(
    ("day", "regular"),
    [
        (20250603, "06-03 09:30"),  # an ordinary Tuesday
        (20240311, "03-11 09:30"),  # clocks went forward the day before
        (20241104, "11-04 09:30"),  # and back
    ],
)
def test_a_whole_day_ends_at_16_in_chicago_and_in_new_york(day: int, regular: str) -> None:
    opened, closed, rth_open, rth_close = session(day)
    stem = regular[:5]
    assert opened.endswith(" 17:00")
    assert opened[:5] < stem
    assert (closed, rth_open, rth_close) == (f"{stem} 16:00", regular, f"{stem} 16:00")


@pytest.mark.parametrize("day", [20231124, 20240703, 20241224, 20130703, 20251128])
def test_es_outlives_the_nyse_s_half_day_by_a_quarter_of_an_hour(day: int) -> None:
    stem = f"{day // 100 % 100:02}-{day % 100:02}"
    assert session(day)[1:] == (f"{stem} 12:15", f"{stem} 09:30", f"{stem} 13:00")


@pytest.mark.parametrize("day", [20240115, 20241128, 20230619, 20250704])
def test_on_the_nyse_s_holidays_es_stops_at_noon_and_has_no_regular_hours(day: int) -> None:
    assert session(day)[1:] == (f"{day // 100 % 100:02}-{day % 100:02} 12:00", "", "")


def test_a_weekend_lies_between_friday_s_close_and_monday_s_session() -> None:
    assert session(20250606)[1] == "06-06 16:00"
    assert session(20250609)[0] == "06-08 17:00"


def test_an_option_s_expiry_date_finds_the_nyse_s_close() -> None:
    days, closes = nyse_closes()
    assert [(days.dtype, len(days))] == [(closes.dtype, len(closes))] == [(np.dtype(np.int64), 5028)]
    assert np.all(np.diff(days) > 0)

    def close(day: date) -> str:
        at = int(np.searchsorted(days, (day - date(1970, 1, 1)).days))
        assert days[at] == (day - date(1970, 1, 1)).days
        return local(closes[at], NEW_YORK)

    assert close(date(2010, 1, 4)) == "01-04 16:00"
    assert close(date(2023, 11, 24)) == "11-24 13:00"
    assert close(date(2024, 2, 29)) == "02-29 16:00"
    assert close(date(2029, 12, 31)) == "12-31 16:00"
    assert (date(2024, 12, 25) - date(1970, 1, 1)).days not in days
