"""``python -m lakehouse.maintenance``: care of the tables."""

from __future__ import annotations

from common.cli.entry import run
from lakehouse.maintenance.command import app

if __name__ == "__main__":
    run(app, "python -m lakehouse.maintenance")
