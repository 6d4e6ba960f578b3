"""Option symbols as OCC writes them and the vendor prefixes them: ``O:SPY251216C00676000`` (plan §11.1)."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache

from common.errors import RecordError

CALL, PUT = 0, 1
"""Rights, as in the schemas' ``option_right``."""

_LETTERS = "CP"
_EPOCH = dt.date(1970, 1, 1)
_PATTERN = re.compile(r"O:([A-Z][A-Z0-9.]{0,5}?)(\d{2})(\d{2})(\d{2})([CP])(\d{8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class OptionSymbol:
    """A contract. ``exp_date``: days since 1970-01-01; ``right``: CALL or PUT; ``strike_milli``: 0.001 USD."""

    underlying: str
    exp_date: int
    right: int
    strike_milli: int

    def __str__(self) -> str:
        day = _EPOCH + dt.timedelta(days=self.exp_date)
        return f"O:{self.underlying}{day:%y%m%d}{_LETTERS[self.right]}{self.strike_milli:08d}"


@lru_cache(maxsize=100_000)
def parse_option_symbol(text: str) -> OptionSymbol:
    """The contract that the symbol names. Raises RecordError."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise RecordError(f"{text!r} is no option symbol (O:, underlying, YYMMDD, C or P, eight digits of strike)")
    underlying, year, month, day, letter, strike = match.groups()
    try:
        expiry = dt.date(2000 + int(year), int(month), int(day))
    except ValueError as error:
        raise RecordError(f"{text!r} is no option symbol: {error}") from None
    if int(strike) == 0:
        raise RecordError(f"{text!r} is no option symbol: its strike is 0")
    return OptionSymbol(underlying, (expiry - _EPOCH).days, _LETTERS.index(letter), int(strike))
