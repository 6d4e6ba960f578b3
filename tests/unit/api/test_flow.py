"""DESIGN §7: /ws/flow serves options.flow.v1 as /ws/levels serves signals."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect

from api import models
from api.feed import FLOW, SnapFeed
from api.live import LiveFlow, LiveSignals
from api.payload import columns_of, flow_payload, strike_id
from api.snaps import FlowSnap, SnapAssembler
from common import schemas, topics
from common.avro import Codec
from common.columns import Batch
from common.telemetry import Health
from tests.support.feature_rows import column
from tests.support.memory_log import MemoryLog
from tests.support.signal_rows import snap_ns
from tests.unit.api.served import frame, make_state, serving

SCHEMA = schemas.load(topics.OPTIONS_FLOW)
CONTRACTS = ((19_716, 546.0, "C"), (19_716, 542.5, "P"), (19_717, 540.0, "C"))
"""Expiration in days, strike, right: 2023-12-25 is day 19,716."""


def flow_rows(number: int) -> list[dict[str, Any]]:
    """The rows of one whole snap of three contracts."""
    return [
        {
            "ts_event_ns": snap_ns(number),
            "underlying": "SPY",
            "snap_row": row,
            "snap_rows": len(CONTRACTS),
            "exp_date": days,
            "strike": strike,
            "right": right,
            "volume": 10 * number + row,
            "premium": 125.5,
            "net_dealer_gamma": -40.0,
            "net_dealer_delta": 7.5,
        }
        for row, (days, strike, right) in enumerate(CONTRACTS)
    ]


def flow_batch(*numbers: int) -> Batch:
    rows = [row for number in numbers for row in flow_rows(number)]
    columns = {field.name: column(field, [row[field.name] for row in rows]) for field in SCHEMA.fields}
    return Batch(topics.OPTIONS_FLOW, len(rows), columns)


def flow_snaps(*numbers: int) -> list[FlowSnap]:
    first = numbers[0] * len(CONTRACTS)
    batch = flow_batch(*numbers)
    return SnapAssembler(FlowSnap).push(batch, np.arange(first, first + batch.length, dtype=np.int64))


def test_the_payload_names_each_strike_and_stands_in_order() -> None:
    payload = flow_payload(columns_of(flow_batch(3)))
    assert [strike["id"] for strike in payload["strikes"]] == ["P542.5", "C546", "C540"]
    assert (payload["ts"], payload["underlying"]) == (snap_ns(3) // 1_000_000, "SPY")
    assert payload["strikes"][0] == {
        "id": "P542.5",
        "expiration": "2023-12-25",
        "strike": 542.5,
        "right": "P",
        "volume": 31,
        "premium": 125.5,
        "net_dealer_gamma": -40.0,
        "net_dealer_delta": 7.5,
    }
    assert strike_id("C", 545.0) == "C545"


def test_every_field_of_the_record_is_served() -> None:
    read: set[str] = set()

    class Watched(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            read.add(name)
            return super().__getitem__(name)

    flow_payload(Watched(columns_of(flow_batch(0))))
    assert {field.name for field in SCHEMA.fields} - read == {"snap_row", "snap_rows"}


def test_the_payload_is_what_the_documents_say() -> None:
    (snap,) = flow_snaps(0)
    models.Flow.model_validate_json(snap.body)


def live_flow(*numbers: int) -> LiveFlow:
    live = LiveFlow(100)
    live.start(from_log_begin=True)
    live.append(flow_snaps(*numbers))
    return live


async def test_a_snapshot_comes_first_and_updates_follow_without_a_seam() -> None:
    flow = live_flow(0, 1)
    state = make_state(LiveSignals(), flow=flow)
    async with serving(state) as address, connect(f"ws://{address}/ws/flow") as client:
        first = await frame(client)
        flow.append(flow_snaps(2))
        flow.append(flow_snaps(3))
        seen = [await frame(client) for _ in range(2)]
    assert (first.pop("type"), first["seq"], first["ts"]) == ("snapshot", 5, snap_ns(1) // 1_000_000)
    models.Flow.model_validate(first)
    assert [(f["type"], f["prev_seq"], f["seq"], f["skipped"]) for f in seen] == [
        ("update", 5, 8, 0),
        ("update", 8, 11, 0),
    ]


async def test_a_client_gets_the_strikes_it_subscribes_to() -> None:
    state = make_state(LiveSignals(), flow=live_flow(0))
    async with serving(state) as address, connect(f"ws://{address}/ws/flow") as client:
        await frame(client, "snapshot")
        await client.send('{"type":"subscribe","strikes":["C546","C9000"]}')
        assert await frame(client) == {"type": "subscribed", "strikes": ["C546", "C9000"], "unknown": ["C9000"]}
        assert [strike["id"] for strike in (await frame(client, "snapshot"))["strikes"]] == ["C546"]
        await client.send('{"type":"subscribe","levels":["VWAP"]}')
        refused = await frame(client)
        assert refused["type"] == "error" and "strikes must be" in refused["detail"] and "C680" in refused["hint"]


async def test_a_client_goes_on_where_it_was() -> None:
    state = make_state(LiveSignals(), flow=live_flow(0, 1, 2))
    async with serving(state) as address, connect(f"ws://{address}/ws/flow?since_seq=2") as client:
        assert [(await frame(client))["seq"] for _ in range(2)] == [5, 8]


async def test_levels_and_flow_do_not_mix() -> None:
    state = make_state(LiveSignals(), flow=live_flow(0))
    async with serving(state) as address, connect(f"ws://{address}/ws/levels") as client:
        assert await frame(client) == {"type": "heartbeat", "seq": None, "ts": None}
        assert state.health_report().signals.ws_clients == 1


@pytest.mark.parametrize("exists", [True, False])
def test_the_flows_log_is_read_into_memory_and_need_not_exist(exists: bool) -> None:
    log = MemoryLog()
    if exists:
        log.create(FLOW.topic)
        for value in Codec(SCHEMA).encode(flow_batch(0, 1), 7).messages():
            log.append(FLOW.topic, value)
    live, health = LiveFlow(100), Health()
    feed = SnapFeed(log.consumer(), FLOW, lambda _id: SCHEMA, live, health, topic=FLOW.topic, partition=0)
    feed.start()
    pause = threading.Event()
    while health.report()["parts"]["flow"]["detail"] in ("not read yet", "no snap yet"):
        pause.wait(0.002)
    feed.stop()
    assert feed.failure is None
    assert health.ready
    assert [snap.seq for snap in live.all()[0]] == ([2, 5] if exists else [])
