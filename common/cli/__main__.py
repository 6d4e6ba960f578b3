"""``python -m common.cli``: the ``breakwater`` command."""

from __future__ import annotations

from common.cli.app import main

if __name__ == "__main__":
    main()
