"""``python -m processors.signals``: run the signals worker until it is told to stop."""

from __future__ import annotations

import typer

from processors.signals.worker import main

typer.run(main)
