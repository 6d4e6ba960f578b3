"""Trading sessions as data: when the engine's day opens and closes, and when the stock exchange is open within it.

``cme_es_sessions.csv`` and ``nyse_sessions.csv`` are generated from exchange-calendars (``python -m common.sessions``
writes both, a test keeps them fresh), so that a session's bounds never change with the machine's libraries. ES trades
from 17:00 to 16:00 Chicago, to 12:15 when the NYSE closes at 13:00 New York, to 12:00 on the NYSE's holidays.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TABLE = Path(__file__).with_name("cme_es_sessions.csv")
NYSE_TABLE = Path(__file__).with_name("nyse_sessions.csv")
FIRST_DATE, LAST_DATE = "2010-01-04", "2029-12-31"

Row = tuple[int, int, int]
"""Date (yyyymmdd), open and close (seconds since the epoch)."""

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Sessions:
    """Sessions in time order. ``date`` yyyymmdd, the rest ns since the epoch; all int64 of one length.

    ``rth_open_ns`` and ``rth_close_ns`` are the regular hours of the NYSE on that date, 0 when it is closed.
    """

    date: NDArray[np.int64]
    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]
    rth_open_ns: NDArray[np.int64]
    rth_close_ns: NDArray[np.int64]


def _read(path: Path) -> NDArray[np.int64]:
    """[n, 3] of a table: date, open and close in seconds."""
    with path.open(encoding="ascii", newline="") as file:
        rows = [(int(r["date"]), int(r["open_s"]), int(r["close_s"])) for r in csv.DictReader(file)]
    return np.array(rows, np.int64)


@cache
def cme_es_sessions() -> Sessions:
    """The sessions of ES from 2010 on."""
    cme = _read(TABLE)
    nyse = _read(NYSE_TABLE)
    regular = np.zeros((len(cme), 2), np.int64)
    regular[np.searchsorted(cme[:, 0], nyse[:, 0])] = nyse[:, 1:] * _NS_PER_S
    return Sessions(
        date=cme[:, 0].copy(),
        open_ns=cme[:, 1] * _NS_PER_S,
        close_ns=cme[:, 2] * _NS_PER_S,
        rth_open_ns=regular[:, 0].copy(),
        rth_close_ns=regular[:, 1].copy(),
    )


@cache
def nyse_closes() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dates on which the NYSE opens, as days since the epoch, and when it closes, in ns since the epoch; both ascending
    int64. An option that expires on such a date does so at that close.
    """
    nyse = _read(NYSE_TABLE)
    year, month_day = np.divmod(nyse[:, 0], 10_000)
    months = (year - 1970) * 12 + month_day // 100 - 1
    first_days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first_days + month_day % 100 - 1, nyse[:, 2] * _NS_PER_S


def generate() -> tuple[list[Row], list[Row]]:
    """Every session of ES and of the NYSE, from exchange-calendars.

    Its CME calendar is that of all products; ES keeps the hours of the stock market, which the NYSE's calendar tells.
    """
    import warnings

    import exchange_calendars
    import pandas as pd

    def at(date: pd.Timestamp, hour: int, minute: int) -> int:
        return int((date + pd.Timedelta(hours=hour, minutes=minute)).tz_localize("America/Chicago").timestamp())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cme = exchange_calendars.get_calendar("CMES", start=FIRST_DATE, end=LAST_DATE).schedule
        stocks = exchange_calendars.get_calendar("XNYS", start=FIRST_DATE, end=LAST_DATE).schedule
    nyse = {
        date: (int(date.strftime("%Y%m%d")), int(row["open"].timestamp()), int(row["close"].timestamp()))
        for date, row in stocks.iterrows()
    }
    es = []
    for date, row in cme.iterrows():
        if date not in nyse:
            close = min(int(row["close"].timestamp()), at(date, 12, 0))
        elif nyse[date][2] < at(date, 15, 0):
            close = at(date, 12, 15)
        else:
            close = at(date, 16, 0)
        es.append((int(date.strftime("%Y%m%d")), int(row["open"].timestamp()), close))
    return es, list(nyse.values())


def main() -> None:
    """Write the tables anew."""
    for path, rows in zip((TABLE, NYSE_TABLE), generate(), strict=True):
        with path.open("w", encoding="ascii", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["date", "open_s", "close_s"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
