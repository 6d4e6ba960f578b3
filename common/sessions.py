"""Trading sessions as data: when the engine's day opens and closes.

``cme_es_sessions.csv`` is generated from exchange-calendars (``python -m common.sessions`` writes it, a test keeps it
fresh), so that a session's bounds never change with the machine's libraries. ES trades from 17:00 to 16:00 Chicago; a
shortened day ends when the calendar says.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TABLE = Path(__file__).with_name("cme_es_sessions.csv")
FIRST_DATE, LAST_DATE = "2010-01-04", "2029-12-31"


@dataclass(frozen=True)
class Sessions:
    """Sessions in time order. ``date`` yyyymmdd, ``open_ns`` and ``close_ns`` ns since the epoch; all int64 of one
    length.
    """

    date: NDArray[np.int64]
    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]


@cache
def cme_es_sessions() -> Sessions:
    """The sessions of ES from 2010 on."""
    with TABLE.open(encoding="ascii", newline="") as file:
        rows = [(int(r["date"]), int(r["open_s"]), int(r["close_s"])) for r in csv.DictReader(file)]
    table = np.array(rows, np.int64)
    return Sessions(table[:, 0].copy(), table[:, 1] * 1_000_000_000, table[:, 2] * 1_000_000_000)


def generate() -> list[tuple[int, int, int]]:
    """Date, open and close (seconds since the epoch) of every session, from exchange-calendars."""
    import warnings

    import exchange_calendars
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calendar = exchange_calendars.get_calendar("CMES", start=FIRST_DATE, end=LAST_DATE)
        schedule = calendar.schedule
        out = []
        for date, row in schedule.iterrows():
            day_end = pd.Timestamp(date).tz_localize("America/Chicago") + pd.Timedelta(hours=16)
            close = min(row["close"].timestamp(), day_end.timestamp())
            out.append((int(date.strftime("%Y%m%d")), int(row["open"].timestamp()), int(close)))
    return out


def main() -> None:
    """Write the table anew."""
    with TABLE.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["date", "open_s", "close_s"])
        writer.writerows(generate())


if __name__ == "__main__":
    main()
