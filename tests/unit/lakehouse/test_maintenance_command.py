"""What ``maintain`` shows on a terminal of eighty columns."""

from __future__ import annotations

import io

from rich.console import Console

from lakehouse.maintenance.command import shown_rounds
from lakehouse.maintenance.upkeep import Round


def test_a_round_of_maintenance_is_shown_whole() -> None:
    one = Round("bronze.options_greeks_snapshots", 1234, 12, 0, 100, 1, 0, 0, 0)
    out = io.StringIO()
    Console(file=out, width=80).print(shown_rounds([one], dry_run=True))
    text = out.getvalue()
    assert one.table in text and "…" not in text
    for heading in ("files", "packed", "expired", "removed", "waiting"):
        assert heading in text
