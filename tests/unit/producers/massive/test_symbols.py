"""Option symbols, the vendor's own and all others."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RecordError
from producers.massive.symbols import CALL, PUT, OptionSymbol, parse_option_symbol


def test_the_example_of_the_plan_is_read() -> None:
    days = (dt.date(2025, 12, 16) - dt.date(1970, 1, 1)).days
    assert parse_option_symbol("O:SPY251216C00676000") == OptionSymbol("SPY", days, CALL, 676_000)


@given(
    underlying=st.from_regex(r"[A-Z][A-Z0-9.]{0,5}", fullmatch=True),
    day=st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31)),
    right=st.sampled_from([CALL, PUT]),
    strike_milli=st.integers(1, 99_999_999),
)
def test_a_contract_is_its_symbol_and_back(underlying: str, day: dt.date, right: int, strike_milli: int) -> None:
    symbol = OptionSymbol(underlying, (day - dt.date(1970, 1, 1)).days, right, strike_milli)
    assert parse_option_symbol(str(symbol)) == symbol


@given(st.text(max_size=30))
def test_any_other_text_is_refused_and_nothing_else_happens(text: str) -> None:
    try:
        assert str(parse_option_symbol(text)) == text
    except RecordError as error:
        assert "no option symbol" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "SPY251216C00676000",
        "O:SPY251316C00676000",
        "O:SPY250230C00676000",
        "O:SPY251216X00676000",
        "O:SPY251216C00000000",
        "O:SPY251216C0067600",
        "O:spy251216C00676000",
        "O:251216C00676000",
        "O:SPY251216C00676000 ",
        "O:SPY25121\N{SUPERSCRIPT TWO}C00676000",
    ],
)
def test_a_symbol_with_a_wrong_part_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        parse_option_symbol(text)
