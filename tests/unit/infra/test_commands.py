"""What ``status`` shows on a terminal of eighty columns."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from infra.local.commands import show_status
from infra.local.stack import PartStatus


def test_status_shows_addresses_and_reasons_whole() -> None:
    address = "http://127.0.0.1:20417/apis/ccompat/v7"
    servers = [PartStatus("registry", "not answering", address, 123_456, None)]
    service = {"name": "features", "state": "not ready", "pid": 1, "address": address, "detail": "log: behind " * 20}
    out = io.StringIO()
    show_status(Path("/a-folder/" * 12), servers, [service], Console(file=out, width=80))
    text = out.getvalue()
    assert text.count(address) == 2 and "log: behind " * 20 in text and f"{Path('/a-folder/' * 12)}/logs\n" in text
    assert "…" not in text
