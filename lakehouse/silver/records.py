"""The columns of the computed tables, put together from the ``.avsc`` of the topics that they come from."""

from __future__ import annotations

from collections.abc import Sequence

from pyiceberg.schema import Schema
from pyiceberg.types import NestedField, TimestamptzType

from common import schemas, topics
from common.schemas import Field, Kind, RecordSchema

HORIZONS_S = (120, 240, 480)
"""The horizons of the outcomes."""

_TIME = "ns since the Unix epoch, UTC"


def computed_schema(record: RecordSchema) -> Schema:
    """The record's fields in order, then ``ts_event``, by whose hour the table is partitioned."""
    fields = list(record.iceberg().fields)
    number = max([field.field_id for field in fields] + [_item(field) for field in fields])
    doc = "ts_event_ns cut to microseconds; the table is partitioned by its hour."
    return Schema(*fields, NestedField(number + 1, "ts_event", TimestamptzType(), required=True, doc=doc))


def _item(field: NestedField) -> int:
    return int(getattr(field.field_type, "element_id", 0))


def _made(name: str, kind: Kind, doc: str, unit: str, *, nullable: bool = True) -> Field:
    return Field(name, kind, nullable, doc, unit)


def enriched() -> RecordSchema:
    """``silver.options_trades_enriched``: trades with the greeks that were known and their notionals (plan 2.4)."""
    added = (
        _made("greeks_snapshot_id", "string", "The snapshot joined; null when none is within the tolerance.", "hash"),
        _made("ts_greeks_ns", "long", "Time of that snapshot, never after the trade.", _TIME),
        _made("greeks_age_ns", "long", "How long before the trade that was.", "ns"),
        _made("greeks_tolerance_ns", "long", "Age up to which a snapshot was joined.", "ns", nullable=False),
        _made("delta", "double", "Delta of the snapshot.", "USD per USD"),
        _made("gamma", "double", "Gamma of the snapshot.", "per USD"),
        _made("implied_volatility", "double", "Implied volatility of the snapshot.", "fraction per year"),
        _made("contract_multiplier", "int", "Shares behind one contract.", "shares", nullable=False),
        _made("premium_notional", "double", "price x size x multiplier.", "USD", nullable=False),
        _made("delta_notional", "double", "delta x size x multiplier.", "shares"),
        _made("gamma_notional", "double", "gamma x size x multiplier.", "shares per USD"),
    )
    doc = "Option trades, each with the newest greeks snapshot of its contract that is not after it."
    return _record("silver.options_trades_enriched", doc, (*schemas.load(topics.OPTIONS_TRADES).fields, *added))


def features() -> RecordSchema:
    """``silver.features_es_pipeline``: one row per level and snap, what was measured and how it was judged."""
    measured = schemas.load(topics.FEATURES).fields
    names = {field.name for field in measured}
    judged = [
        Field(f.name, f.kind, True, f.doc, f.unit, f.symbols, f.enum_default, f.item)
        for f in schemas.load(topics.SIGNALS).fields
        if f.name not in names
    ]
    doc = "Level features with their judgement, one row per level and snap; judgement columns are null until judged."
    return _record("silver.features_es_pipeline", doc, (*measured, *judged))


def training() -> RecordSchema:
    """``gold.training_es_pipeline``: rows of episodes with the outcomes, each null from when it was known."""
    added = [
        _made("ts_touch_ns", "long", "First touch of the row's episode.", _TIME, nullable=False),
        _made("ts_known_ns", "long", "Time at which the whole outcome was known; rows are before it.", _TIME),
    ]
    for horizon_s in HORIZONS_S:
        name = f"outcome_{horizon_s}s"
        added += [
            _made(name, "string", f"First passage within {horizon_s} s; null when known at the row.", "symbol"),
            _made(f"{name}_known_ns", "long", f"Time at which {name} was known.", _TIME, nullable=False),
        ]
    doc = "Rows of episodes with what became of them: a label stands only in rows before the time it was known."
    return _record("gold.training_es_pipeline", doc, (*features().fields, *added))


def _record(name: str, doc: str, fields: Sequence[Field]) -> RecordSchema:
    return RecordSchema(name, doc, tuple(fields), {})
