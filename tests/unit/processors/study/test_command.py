"""``breakwater study`` as a person types it, over a home of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from typer.testing import CliRunner

from common import iceberg, schemas, topics
from common.config import EngineConfig, load_config
from common.errors import BreakwaterError, ConfigError, InputError
from processors.study import command, controls, source
from processors.study.episodes import FEATURE_COLUMNS, OUTCOME_COLUMNS, SIGNAL_COLUMNS
from processors.study.source import Lake
from tests.support.study_sessions import NS, SNAP_NS, START_NS, Sessions, session

DATE = 20250603


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command.app, list(arguments), catch_exceptions=True)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Path]:
    """The command over made-up sessions instead of tables."""
    sessions = Sessions([session(n) for n in range(4)])
    monkeypatch.setattr(command, "Lake", lambda *_: sessions)
    yield home


def test_the_verdict_is_the_first_line_on_the_terminal(made_up: Path) -> None:
    shown = run()
    assert shown.exit_code == 0
    assert shown.stdout.startswith("This report claims nothing")


def test_json_is_one_object_and_files_go_where_they_are_told(made_up: Path, tmp_path: Path) -> None:
    shown = run("--json", "--html", str(tmp_path / "a" / "r.html"), "--out", str(tmp_path / "plots"))
    report = json.loads(shown.stdout)
    assert report["verdict"].startswith("This report claims nothing")
    assert report["config_hash"] == load_config().hash
    assert (tmp_path / "a" / "r.html").read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "auc.png", "excursions.png", "outcomes.png", "reliability.png",
    ]  # fmt: skip


def test_the_ledger_stands_in_the_home_and_counts_every_look(made_up: Path) -> None:
    run("--json")
    report = json.loads(run("--json", "--fee", "1").stdout)
    assert report["frozen"]["variants"] == 2
    assert len((made_up / "study" / "ledger.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("text", ["2025-03-05", "20250305"])
def test_test_days_begin_where_they_are_told(made_up: Path, text: str) -> None:
    assert json.loads(run("--json", "--test-from", text).stdout)["test_days"] == [20250305, 20250306]


@pytest.mark.parametrize("text", ["2025-13-01", "yesterday", "202503"])
def test_what_is_no_date_is_refused(made_up: Path, text: str) -> None:
    shown = run("--test-from", text)
    assert isinstance(shown.exception, ConfigError)
    assert text in str(shown.exception)


def test_help_says_what_is_measured_and_what_is_claimed() -> None:
    shown = run("--help").stdout
    for word in ("episode", "random prices", "claims nothing", "--test-from", "--truth", "--fee", "--html", "--out"):
        assert word in shown


def test_an_empty_home_says_where_outcomes_come_from(home: Path) -> None:
    shown = run()
    assert isinstance(shown.exception, InputError)
    assert "no outcomes" in str(shown.exception)


# The tables themselves


def rows(topic: str, columns: tuple[str, ...], *records: dict[str, Any]) -> pa.Table:
    """Records with the columns that the study reads, and a stand-in for whatever else the topic requires."""
    arrow = schemas.load(topic).arrow
    known = {*columns, "session_date", "config_hash", "ts_event_ns"}
    fields = [field for field in arrow if field.name in known]
    full = [{"session_date": DATE, "config_hash": EngineConfig().hash, **record} for record in records]
    return pa.Table.from_pylist(full, pa.schema(fields))


@pytest.fixture
def lake(home: Path) -> Catalog:
    """Gold tables of one short session: a touch of ROUND_600, and its outcome under the present configuration."""
    catalog = iceberg.open_catalog()
    catalog.create_namespace("gold")
    snaps = [{"ts_event_ns": START_NS + n * SNAP_NS, "level_id": "ROUND_600"} for n in range(2_000)]
    quotes = {"snap_row": 0, "bid": 599.99, "ask": 600.01, "ratio": 10.0, "ofi": 5}
    judged = {"distance": 0.01, "tape_velocity": 0.01, "break_score_raw": 70.0, "actionable": True}
    outcome = {
        "episode_id": "E1", "level_id": "ROUND_600", "level_price": 600.0, "direction": "RESISTANCE",
        "ts_touch_ns": START_NS + NS, "ts_event_ns": START_NS + 100 * NS,
        "outcome_120s": "BREAK", "outcome_240s": "BREAK", "outcome_480s": "BREAK",
    }  # fmt: skip
    signals = [
        {**s, **judged, "signal": "BREAK" if n == 8 else "NEUTRAL", "episode_id": "E1"} for n, s in enumerate(snaps)
    ]
    for topic, table in (
        (topics.FEATURES, rows(topics.FEATURES, FEATURE_COLUMNS, *({**s, **quotes} for s in snaps))),
        (topics.SIGNALS, rows(topics.SIGNALS, SIGNAL_COLUMNS, *signals)),
        (topics.OUTCOMES, rows(topics.OUTCOMES, OUTCOME_COLUMNS, outcome)),
    ):
        catalog.create_table(iceberg.TABLES[topic], table.schema).append(table)
    return catalog


def test_a_session_is_read_from_its_tables(lake: Catalog) -> None:
    found = Lake(EngineConfig(), 0.0)
    assert found.dates() == [DATE]
    loaded = found.load(DATE)
    (episode,) = loaded.episodes
    assert (episode["score"], episode["signal"], episode["ofi"]) == (70.0, 1, 5.0)
    assert loaded.trades["entry"].tolist() == pytest.approx([600.01, 600.01])
    assert len(loaded.samples) == 50
    assert loaded.feed is None
    assert len(loaded.random) == len(loaded.placebo) == 0


def test_controls_are_judged_from_stored_events_around_the_sessions_own_prices(
    lake: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.create_namespace("bronze")
    events = pa.table({"source": ["databento"], "ts_effective_ns": [START_NS]})
    lake.create_table(iceberg.TABLES[topics.FUTURES_MBP10], events.schema).append(events)
    asked: list[Any] = []

    def judge(_steps: Any, _config: Any, _sessions: Any, prices: controls.Prices) -> controls.Judged:
        asked.append(prices)
        moved = {
            "episode_id": "C1", "level_id": "HOTZONE_600.37", "level_price": 600.37, "direction": "SUPPORT",
            "ts_touch_ns": START_NS + 9 * NS,
            "outcome_120s": "REJECT", "outcome_240s": "REJECT", "outcome_480s": "REJECT",
        }  # fmt: skip
        empty = (
            rows(topic, columns)
            for topic, columns in ((topics.SIGNALS, SIGNAL_COLUMNS), (topics.FEATURES, FEATURE_COLUMNS))
        )
        return controls.Judged(rows(topics.OUTCOMES, OUTCOME_COLUMNS, moved), *empty)

    monkeypatch.setattr(controls, "judge", judge)
    loaded = Lake(EngineConfig(), 0.0).load(DATE)
    assert loaded.feed == "databento"
    assert asked[0].placebo == (600.37,)
    assert len(loaded.random) == 0
    (control,) = loaded.placebo
    assert (control["towards"], control["touch_ns"]) == (-1, START_NS + 9 * NS)
    assert control["volatility"] == pytest.approx(0.0)


def test_outcomes_of_another_configuration_are_refused_by_its_hash(lake: Catalog) -> None:
    with pytest.raises(ConfigError, match=EngineConfig().hash):
        Lake(EngineConfig(TOUCH_BAND=0.06), 0.0).dates()


def test_a_date_without_a_session_is_refused() -> None:
    with pytest.raises(BreakwaterError, match="20250601"):
        source._bounds(20250601)
