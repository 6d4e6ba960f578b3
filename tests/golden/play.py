"""Scenes through the engine, as text that can be reviewed: one line per level and second, changes only.

``python -m tests.golden.play`` writes the files anew; what changed shows in their diff.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.config import EngineConfig, make_config
from processors.engine import features, signals
from tests.golden.scenes import SCENES, Scene
from tests.support.market import NS, OPEN_NS, run, to_rows

FOLDER = Path(__file__).parent
LEFT_OUT = frozenset({"ts_event_ns", "underlying", "snap_row", "snap_rows", "session_date", "config_hash", "level_id"})


def output_of(scene: Scene, overrides: Mapping[str, Any] | None = None) -> tuple[features.Output, list[dict[str, Any]]]:
    """What the engine says of a scene: all of the feature stage, and the judged rows."""
    config: EngineConfig = make_config({**scene.overrides, **(overrides or {})})
    output, _ = run(scene.market.batches(), round(scene.until_s * NS), config)
    return output, to_rows(signals.step(config, signals.initial_state(), output.features))


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: float(f"{value:.9g}") if isinstance(value, float) else value
        for name, value in row.items()
        if name not in LEFT_OUT
    }


def lines_of(scene: Scene) -> list[str]:
    """The scene's golden text: per level, what its row says at whole seconds beyond what it said before."""
    output, judged = output_of(scene)
    lines = []
    before: dict[str, dict[str, Any]] = {}
    for row in judged:
        since_ns = row["ts_event_ns"] - OPEN_NS
        if since_ns % NS:
            continue
        said = _said(row)
        last = before.get(row["level_id"], {})
        changed = {name: value for name, value in said.items() if last.get(name, ...) != value}
        before[row["level_id"]] = said
        lines.append(json.dumps({"s": since_ns // NS, "level": row["level_id"], **changed}))
    for name, batch in (("outcome", output.outcomes), ("flow", output.flow)):
        for row in to_rows(batch):
            lines.append(json.dumps({name: (row["ts_event_ns"] - OPEN_NS) / NS, **_said(row)}))
    return lines


def path_of(name: str) -> Path:
    """Where a scene's golden text is."""
    return FOLDER / f"{name}.jsonl"


def main() -> None:
    """Write every scene's golden text anew."""
    for name, scene in SCENES.items():
        lines = lines_of(scene())
        path_of(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        sys.stdout.write(f"{name}: {len(lines)} lines\n")


if __name__ == "__main__":
    main()
