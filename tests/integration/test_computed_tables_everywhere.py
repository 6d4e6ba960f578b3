"""Silver, training sets, certificates and run records behave alike on the embedded catalog and on REST with MinIO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyarrow import fs

from common import iceberg, manifests, meta, topics
from common.config import NS_PER_S
from lakehouse import datasets
from lakehouse.certificates.certificate import certify
from tests.support.silver_lake import BEGIN_NS, SinkTables, compact, computed, content, finish, record
from tests.support.stack import environment

TRADES, TRAINING = "silver.options_trades", "gold.training_es_pipeline"
TABLES = (TRADES, "silver.options_greeks_snapshots", "silver.options_trades_enriched", "silver.features_es_pipeline")
UNTIL_NS = BEGIN_NS + 3600 * NS_PER_S
SESSION = 20231218


def fill() -> SinkTables:
    """Option trades with greeks, and an episode with its outcome, in one hour."""
    lake = SinkTables(iceberg.open_catalog())
    contract = {"option_symbol": "O:SPY231218C00470000"}
    greeks = record(topics.OPTIONS_GREEKS, event_id=9, ts_event_ns=BEGIN_NS, snapshot_id="s", delta=0.5, **contract)
    trades = [
        record(topics.OPTIONS_TRADES, event_id=number % 3, ts_event_ns=BEGIN_NS + number % 3, size=1, **contract)
        for number in range(5)
    ]
    lake.append(topics.OPTIONS_GREEKS, greeks)
    lake.append(topics.OPTIONS_TRADES, *trades)
    common: dict[str, Any] = {"level_id": "ROUND_470", "episode_id": "e", "snap_rows": 1, "session_date": SESSION}
    times = [BEGIN_NS + number * 60 * NS_PER_S for number in range(3)]
    lake.append(topics.FEATURES, *(record(topics.FEATURES, ts_event_ns=ts, **common) for ts in times))
    lake.append(topics.SIGNALS, *(record(topics.SIGNALS, ts_event_ns=ts, config_hash="c", **common) for ts in times))
    known_ns = BEGIN_NS + 480 * NS_PER_S
    lake.append(topics.OUTCOMES, record(topics.OUTCOMES, ts_event_ns=known_ns, episode_id="e", ts_touch_ns=BEGIN_NS))
    for topic in (topics.OPTIONS_TRADES, topics.OPTIONS_GREEKS, topics.FUTURES_MBP10):
        lake.promise(topic, UNTIL_NS)
    lake.promise(topics.FUTURES_MBP10, UNTIL_NS, "ENDED")
    return lake


def test_tables_sets_certificates_and_records_are_kept_beside_the_tables(any_catalog: str) -> None:
    fill()
    finish(*computed(iceberg.open_catalog(), *TABLES, TRAINING))
    assert content(TRADES)["event_id"].to_pylist() == [0, 1, 2]
    assert content("silver.options_trades_enriched")["greeks_snapshot_id"].to_pylist() == ["s"] * 3
    assert content(TRAINING).num_rows == 3

    name = f"set-{any_catalog}"
    made = datasets.create(name, BEGIN_NS, UNTIL_NS, ("spot", "break_score_raw"), "outcome_240s")
    compact(iceberg.open_catalog(), TRAINING)
    assert datasets.rows(datasets.find(name)).num_rows == made.rows == 3

    assert certify(SESSION, None).topics[topics.OPTIONS_TRADES].silver_rows == 3
    with manifests.run("example", {}, lambda: False) as run_id:
        pass
    assert manifests.find(run_id).status == "completed"
    assert run_id in [run.run_id for run in manifests.listed(10)]
    on_disk = isinstance(meta.shared().files, fs.LocalFileSystem)
    assert on_disk == (any_catalog == "embedded")


def test_two_machines_with_one_catalog_see_the_same_runs_before_there_is_any_table(
    rest_lake: dict[str, str], tmp_path: Path
) -> None:
    with manifests.run("example", {}, lambda: False) as run_id:
        pass
    with environment(BREAKWATER_HOME=str(tmp_path / "another")):
        assert run_id in [run.run_id for run in manifests.listed(10)]
    assert iceberg.table_names() == []
