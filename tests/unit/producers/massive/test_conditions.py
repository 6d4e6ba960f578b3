"""What keeps a stock trade out of the last price."""

from __future__ import annotations

import pytest

from producers.massive.conditions import updates_last


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], True),
        ([0], True),
        ([14, 41], True),
        ([2], False),
        ([7], False),
        ([12, 37], False),
        ([14, 37, 41], False),
        ([15], False),
        ([53], False),
        ([9_999], None),
        ([14, 9_999], None),
        ([12, 9_999], False),
    ],
)
def test_one_condition_that_says_no_is_enough_and_an_unknown_one_leaves_it_open(
    conditions: list[int], expected: bool | None
) -> None:
    assert updates_last(conditions) is expected
