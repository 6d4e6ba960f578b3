"""Which stock trades update the last price, by the vendor's condition ids.

The vendor answers this per id at ``GET /v3/reference/conditions``, as ``update_rules.consolidated.updates_open_close``;
its knowledge base adds that of a trade's conditions one that says no is enough. The table was put together from
published copies of those rules, which agree on this wherever they overlap: the expected answers in the tests of the
vendor's own Python client (ids 1 to 10), ``ConditionToUpdateInfo`` in marketstore's bar model, which names the vendor's
glossary as its source, and for 6, 12, 17 to 19, 24, 31, 32, 35, 41 and 55 a listing of the endpoint alone. The rules
are the SIPs' (CTA and UTP output specifications, sale condition matrices).
"""

from __future__ import annotations

from collections.abc import Sequence

UPDATES_LAST: dict[int, bool] = {
    0: True,  # regular sale
    1: True,  # acquisition
    2: False,  # average price trade
    3: True,  # automatic execution
    4: True,  # bunched trade
    5: False,  # bunched sold trade
    6: True,  # CAP election
    7: False,  # cash sale
    8: True,  # closing prints
    9: True,  # cross trade
    10: False,  # derivatively priced
    11: True,  # distribution
    12: False,  # form T, extended hours
    13: False,  # extended hours, sold out of sequence
    14: True,  # intermarket sweep
    15: False,  # market center official close
    16: False,  # market center official open
    17: True,  # market center opening trade
    18: True,  # market center reopening trade
    19: True,  # market center closing trade
    20: False,  # next day
    21: False,  # price variation trade
    22: False,  # prior reference price
    23: True,  # rule 155 trade
    24: True,  # rule 127
    25: True,  # opening prints
    27: True,  # stopped stock
    28: True,  # re-opening prints
    29: False,  # seller
    30: True,  # sold last
    31: True,  # sold last and stopped stock
    32: False,  # sold, out of sequence
    33: False,  # sold, out of sequence, and stopped stock
    34: True,  # split trade
    35: True,  # stock option
    36: True,  # yellow flag regular trade
    37: False,  # odd lot trade
    38: True,  # corrected consolidated close
    41: True,  # trade-through exempt
    52: False,  # contingent trade
    53: False,  # qualified contingent trade
    55: True,  # opening or reopening trade detail
}
"""By condition id; what is not here is not known."""


def updates_last(conditions: Sequence[int]) -> bool | None:
    """Whether a stock trade with these conditions updates the last price: no when any of them says no, else None when
    any of them is unknown, else yes (also without conditions: a regular sale).
    """
    rules = [UPDATES_LAST.get(condition) for condition in conditions]
    if False in rules:
        return False
    return None if None in rules else True
