"""Small DBN files for tests, made record by record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import databento_dbn as d
import numpy as np
import zstandard

from producers.dbn.file import LAYOUTS

BASE_NS = 1_748_961_000_000_000_000
"""2025-06-03 14:30 UTC."""


def records(schema: str, times_ns: Sequence[int], **fields: object) -> np.ndarray:
    """Records of one instrument (17077) at BASE_NS plus ``times_ns``; ``fields`` are columns or constants."""
    layout = LAYOUTS[schema]
    out = np.zeros(len(times_ns), layout.dtype)
    out["length"] = layout.dtype.itemsize // 4
    out["rtype"] = layout.rtype
    out["publisher_id"] = 1
    out["instrument_id"] = 17077
    out["ts_event"] = BASE_NS + np.array(times_ns, np.int64)
    out["ts_recv"] = out["ts_event"] + 1_000_000
    if schema in ("mbp-10", "trades"):
        out["sequence"] = np.arange(len(times_ns))
        out["action"], out["side"] = b"T" if schema == "trades" else b"A", b"B"
        out["price"], out["size"] = 6_000_000_000_000, 3
    elif schema == "definition":
        out["raw_symbol"], out["asset"], out["security_update_action"] = b"ESM5", b"ES", b"A"
        out["min_price_increment"], out["unit_of_measure_qty"] = 250_000_000, 50_000_000_000
        out["expiration"], out["contract_multiplier"] = d.UNDEF_TIMESTAMP, 2**31 - 1
    elif schema == "status":
        out["action"], out["is_trading"], out["is_quoting"] = 7, b"Y", b"~"
    for name in out.dtype.names or ():
        if name[3:6] == "_px":
            out[name] = d.UNDEF_PRICE
    for name, value in fields.items():
        out[name] = value
    return out


def content(schema: str, rows: np.ndarray, version: int = 3, **metadata: object) -> bytes:
    """The bytes of a plain DBN file."""
    options: dict[str, object] = {
        "dataset": "GLBX.MDP3",
        "start": BASE_NS,
        "stype_in": d.SType.RAW_SYMBOL,
        "stype_out": d.SType.INSTRUMENT_ID,
        "schema": d.Schema.from_str(schema),
        "symbols": ["ESM5"],
        "mappings": [],
        "version": version,
        **metadata,
    }
    return bytes(d.Metadata(**options)) + rows.tobytes()  # type: ignore[arg-type]


def write(path: Path, schema: str, rows: np.ndarray, version: int = 3, **metadata: object) -> Path:
    """Write a DBN file, compressed when its name ends in .zst."""
    raw = content(schema, rows, version, **metadata)
    path.write_bytes(zstandard.compress(raw) if path.suffix == ".zst" else raw)
    return path
