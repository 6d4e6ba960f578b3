"""WS /ws/levels on a real server."""

from __future__ import annotations

import asyncio
import socket
from itertools import pairwise
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from api import models
from api.live import LiveSignals
from api.snaps import Snap
from api.websocket import Pace
from tests.support.signal_rows import signal_snaps, snap_ns
from tests.unit.api.served import frame, make_state, serving


def fed(*numbers: int, ring: int = 100, **fields: Any) -> LiveSignals:
    live = LiveSignals(ring)
    live.start(from_log_begin=True)
    live.append(signal_snaps(*numbers, **fields))
    return live


def more(*numbers: int, **fields: Any) -> list[Snap]:
    """The snaps of these numbers as the log goes on that has three rows a snap from number 0 on."""
    return signal_snaps(*numbers, first_offset=numbers[0] * 3, **fields)


async def test_a_snapshot_comes_first_and_updates_follow_without_a_seam() -> None:
    live = fed(0, 1)
    async with serving(make_state(live)) as address, connect(f"ws://{address}/ws/levels") as client:
        first = await frame(client)
        assert (first["type"], first["seq"], first["ts"]) == ("snapshot", 5, snap_ns(1) // 1_000_000)
        live.append(more(2))
        live.append(more(3, 4))
        seen = [await frame(client) for _ in range(3)]
    assert [(f["type"], f["prev_seq"], f["seq"], f["skipped"]) for f in seen] == [
        ("update", 5, 8, 0),
        ("update", 8, 11, 0),
        ("update", 11, 14, 0),
    ]


async def test_a_frame_is_the_payload_of_rest() -> None:
    live = fed(0)
    async with serving(make_state(live)) as address, connect(f"ws://{address}/ws/levels") as client:
        found = await frame(client)
    assert found.pop("type") == "snapshot"
    models.Levels.model_validate(found)
    latest = live.latest
    assert latest is not None
    assert found == orjson.loads(latest.body)


async def test_before_the_first_snap_a_heartbeat_says_that_the_connection_stands() -> None:
    live = LiveSignals()
    async with serving(make_state(live)) as address, connect(f"ws://{address}/ws/levels") as client:
        assert await frame(client) == {"type": "heartbeat", "seq": None, "ts": None}
        live.append(signal_snaps(0))
        assert (await frame(client))["type"] == "snapshot"


async def test_an_idle_stream_has_heartbeats() -> None:
    state = make_state(fed(0), pace=Pace(heartbeat_s=0.02))
    async with serving(state) as address, connect(f"ws://{address}/ws/levels") as client:
        assert (await frame(client))["type"] == "snapshot"
        for _ in range(3):
            assert await frame(client) == {"type": "heartbeat", "seq": 2, "ts": snap_ns(0) // 1_000_000}


async def test_a_client_goes_on_where_it_was() -> None:
    live = fed(*range(10))
    async with (
        serving(make_state(live, pace=Pace(backlog_snaps=2))) as address,
        connect(f"ws://{address}/ws/levels?since_seq=8") as client,
    ):
        seen = [await frame(client) for _ in range(7)]
        live.append(more(10))
        seen.append(await frame(client))
    assert [(f["type"], f["prev_seq"], f["seq"]) for f in seen] == [
        ("update", seq - 3, seq) for seq in range(11, 35, 3)
    ]
    assert all(f["skipped"] == 0 for f in seen)


async def test_a_client_that_has_everything_gets_what_comes_next() -> None:
    live = fed(0, 1)
    async with serving(make_state(live)) as address, connect(f"ws://{address}/ws/levels?since_seq=5") as client:
        live.append(more(2))
        found = await frame(client)
    assert (found["type"], found["prev_seq"], found["seq"]) == ("update", 5, 8)


@pytest.mark.parametrize(("since", "says"), [(3, "too old"), (999, "beyond the newest")])
async def test_a_client_that_cannot_go_on_is_reset(since: int, says: str) -> None:
    live = fed(*range(10), ring=3)
    async with (
        serving(make_state(live)) as address,
        connect(f"ws://{address}/ws/levels?since_seq={since}") as client,
    ):
        reset, snapshot = await frame(client), await frame(client)
    assert reset["type"] == "reset"
    assert says in reset["reason"]
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 29)


async def test_a_replaced_log_resets_its_readers() -> None:
    live = fed(*range(10))
    async with serving(make_state(live)) as address, connect(f"ws://{address}/ws/levels") as client:
        assert (await frame(client))["seq"] == 29
        live.start(from_log_begin=True)
        assert (await frame(client))["type"] == "reset"
        live.append(signal_snaps(0))
        snapshot = await frame(client)
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 2)


@pytest.mark.parametrize("since", ["abc", "-1", "1.5", "٣", "9" * 30])
async def test_a_sequence_number_that_is_none_is_named_and_the_client_closed(since: str) -> None:
    async with (
        serving(make_state(fed(0))) as address,
        connect(f"ws://{address}/ws/levels?since_seq={since}") as client,
    ):
        error = await frame(client)
        assert error["type"] == "error"
        assert f"since_seq={since}" in error["detail"]
        assert error["hint"]
        with pytest.raises(ConnectionClosedError) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


async def test_a_client_gets_the_levels_it_subscribes_to() -> None:
    live = fed(0)
    async with serving(make_state(live)) as address, connect(f"ws://{address}/ws/levels") as client:
        assert len((await frame(client))["levels"]) == 3
        await client.send('{"type":"subscribe","levels":["VWAP","NOT_YET"]}')
        assert await frame(client) == {"type": "subscribed", "levels": ["NOT_YET", "VWAP"], "unknown": ["NOT_YET"]}
        snapshot = await frame(client)
        assert (snapshot["type"], [level["id"] for level in snapshot["levels"]]) == ("snapshot", ["VWAP"])
        live.append(more(1))
        update = await frame(client)
        assert (update["type"], update["prev_seq"]) == ("update", 2)
        assert [level["id"] for level in update["levels"]] == ["VWAP"]
        await client.send('{"type":"subscribe","levels":null}')
        assert await frame(client) == {"type": "subscribed", "levels": None, "unknown": []}
        assert len((await frame(client))["levels"]) == 3


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ("{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("[]", "unknown frame 'list'"),
        ('{"type":"unsubscribe"}', "unknown frame 'unsubscribe'"),
        ('{"type":"subscribe"}', "levels must be"),
        ('{"type":"subscribe","levels":[]}', "levels must be"),
        ('{"type":"subscribe","levels":[1]}', "levels must be"),
        ('{"type":"subscribe","levels":"VWAP"}', "levels must be"),
        (orjson.dumps({"type": "subscribe", "levels": ["X"] * 501}), "levels must be"),
    ],
)
async def test_a_frame_that_cannot_be_understood_is_answered_and_the_stream_goes_on(
    sent: str | bytes, says: str
) -> None:
    live = fed(0)
    async with serving(make_state(live)) as address, connect(f"ws://{address}/ws/levels") as client:
        await frame(client)
        await client.send(sent)
        error = await frame(client)
        assert error["type"] == "error"
        assert says in error["detail"]
        live.append(more(1))
        assert (await frame(client))["type"] == "update"


async def slow_connection(address: str) -> socket.socket:
    """A connection whose kernel takes little for a client that does not read."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    host, port = address.split(":")
    await asyncio.get_running_loop().sock_connect(made, (host, int(port)))
    return made


HEAVY = "x" * 20_000
"""A note long enough that a few snaps fill every buffer."""


async def test_a_client_that_falls_behind_jumps_to_the_newest_snap_and_is_told_how_many_it_missed() -> None:
    live = fed(0)
    async with serving(make_state(live, pace=Pace(backlog_snaps=4, slow_close_s=60))) as address:
        own = await slow_connection(address)
        async with connect(f"ws://{address}/ws/levels", sock=own, max_queue=1, ping_interval=None) as client:
            assert (await frame(client))["seq"] == 2
            for number in range(1, 80):
                live.append(more(number, note=HEAVY))
                await asyncio.sleep(0.001)
            seen = [await frame(client, "update")]
            while seen[-1]["seq"] < 239:
                seen.append(await frame(client, "update"))
    skips = [f["skipped"] for f in seen]
    assert max(skips) > 4
    assert sum(skips) + len(seen) == 79
    for before, after in pairwise(seen):
        assert after["prev_seq"] == before["seq"]
        assert after["seq"] - after["prev_seq"] == 3 * (after["skipped"] + 1)


async def test_a_client_that_does_not_read_is_closed_with_1013_and_others_are_served() -> None:
    live = fed(0)
    async with serving(make_state(live, pace=Pace(backlog_snaps=4, slow_close_s=0.2))) as address:
        own = await slow_connection(address)
        async with (
            connect(f"ws://{address}/ws/levels", sock=own, max_queue=1, ping_interval=None) as stuck,
            connect(f"ws://{address}/ws/levels") as well,
        ):
            assert (await frame(stuck))["seq"] == 2
            assert (await frame(well))["seq"] == 2
            for number in range(1, 60):
                live.append(more(number, note=HEAVY))
                assert (await frame(well, "update"))["seq"] == number * 3 + 2
            await asyncio.sleep(0.4)
            live.append(more(60, note=HEAVY))
            assert (await frame(well, "update"))["seq"] == 182
            with pytest.raises(ConnectionClosedError) as closed:
                while True:
                    await stuck.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
    assert "since_seq" in closed.value.rcvd.reason


async def test_a_snap_is_encoded_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    live = fed(0)
    encoded: list[int] = []
    original = Snap.body.func  # type: ignore[attr-defined]
    monkeypatch.setattr(Snap.body, "func", lambda snap: encoded.append(snap.seq) or original(snap))
    async with serving(make_state(live)) as address:
        clients = [await connect(f"ws://{address}/ws/levels") for _ in range(5)]
        for client in clients:
            await frame(client)
        live.append(more(1))
        texts = [await client.recv() for client in clients]
        for client in clients:
            await client.close()
    assert len(set(texts)) == 1
    assert encoded == [2, 5]


async def test_clients_that_leave_are_forgotten() -> None:
    state = make_state(fed(0))
    async with serving(state) as address:
        async with connect(f"ws://{address}/ws/levels") as client:
            await frame(client)
            assert state.hub.clients == 1
        while state.hub.clients:
            await asyncio.sleep(0.01)


async def test_clients_are_told_when_the_server_ends() -> None:
    async with serving(make_state(fed(0))) as address:
        client = await connect(f"ws://{address}/ws/levels")
        await frame(client)
    with pytest.raises(ConnectionClosedError) as closed:
        await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
