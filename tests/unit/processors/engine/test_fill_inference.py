"""Cancel versus fill against the truth of the order-by-order feed (DESIGN 4.5).

Spec: plan 5.1.1.
"""

from __future__ import annotations

from common.columns import concat
from common.config import EngineConfig
from common.sessions import cme_es_sessions
from common.settings import settings
from processors.study import fills
from producers.stream import stamped_batches
from tests.support.market import merged

SESSION = 20231226
END_NS = 2**62


def test_fills_are_inferred_with_precision_0_999_and_recall_0_96() -> None:
    folder = settings().sample_data / "es"
    config = EngineConfig()
    paths = [folder / "esh4-20231225.mbp-10.dbn.zst", folder / "esh4-20231225.trades.dbn.zst"]
    parts = [batch for step in stamped_batches(paths, config) for batch in step.batches]
    batches = [concat([part for part in parts if part.name == name]) for name in fills.INPUTS]
    sessions = cme_es_sessions()
    found = fills.inferred([merged(batches, END_NS)], config, sessions)
    open_ns = int(sessions.open_ns[list(sessions.date).index(SESSION)])
    true = fills.truth(fills.read_truth(folder / "esh4-20231225.removals.parquet"), open_ns, END_NS)
    compared = fills.compare(found, true)
    assert compared.precision >= 0.999, f"precision {compared.precision:.4f}"
    assert compared.recall >= 0.96, f"recall {compared.recall:.4f} of {compared.true} contracts"
