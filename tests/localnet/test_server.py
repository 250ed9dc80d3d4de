"""The server: ports, pace, start and stop."""

import asyncio
import contextlib
import socket

import aiohttp
import pytest
from websockets.asyncio.client import connect as open_socket
from websockets.frames import CloseCode

from localnet import Localnet, serve
from localnet.server import HOST
from tests.localnet.conftest import feeding, until, wired


async def test_ports_are_free_consecutive_and_on_loopback_only():
    async with Localnet.start(slot_seconds=None) as one, Localnet.start(slot_seconds=None) as two:
        assert one.ws_url == f"ws://127.0.0.1:{one.port + 1}"
        assert not {one.port, one.port + 1} & {two.port, two.port + 1}
        for net in (one, two):
            async with wired(net) as call:
                assert await call("getGenesisHash") == str(net.chain.blocks[0].hash)


async def test_a_port_that_is_taken_is_an_error_and_nothing_stays_bound():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            async with Localnet.start(port=port - 1):
                pass
        async with Localnet.start(slot_seconds=None):
            with socket.socket() as free:
                free.bind((HOST, port - 1))


async def test_slots_tick_by_themselves_at_the_pace_asked_for():
    async with Localnet.start(slot_seconds=0.01) as net:
        loop = asyncio.get_running_loop()
        begun, first = loop.time(), net.chain.open.slot
        await until(lambda: net.chain.open.slot >= first + 10)
        assert loop.time() - begun >= 0.08
    stopped = net.chain.open.slot
    await asyncio.sleep(0.03)
    assert net.chain.open.slot == stopped


async def test_a_node_counts_what_it_alone_is_asked():
    async with (
        Localnet.start(slot_seconds=None) as one,
        Localnet.start(chain=one.chain) as other,
        wired(one) as ask_one,
        wired(other) as ask_other,
    ):
        await ask_one("getSlot")
        await ask_one("getSlot")
        await ask_other("getHealth")
        assert await ask_one("localnet_countCalls") == {"getSlot": 2}
        assert await ask_other("localnet_countCalls") == {"getHealth": 1}


async def test_stopping_ends_hanging_answers_and_open_sockets():
    async with aiohttp.ClientSession() as session:
        async with Localnet.start(slot_seconds=0.01) as net:
            net.set_faults({"timeouts": 1})
            body = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
            hanging = asyncio.create_task(session.post(net.rpc_url, json=body))
            async with feeding(net.ws_url) as connect:
                listener = await connect()
                await listener.ask("slotSubscribe")
                await listener.next()
                loop = asyncio.get_running_loop()
                begun = loop.time()
        assert loop.time() - begun < 3
        with pytest.raises(aiohttp.ClientError):
            (await hanging).raise_for_status()
        with pytest.raises(aiohttp.ClientError):
            await session.post(net.rpc_url, json=body)


async def test_a_socket_is_notified_that_the_node_goes_away():
    async with Localnet.start(slot_seconds=None) as net:
        listener = await open_socket(net.ws_url)
    await asyncio.wait_for(listener.wait_closed(), 5)
    assert listener.close_code == CloseCode.GOING_AWAY


async def test_serve_says_when_it_is_ready_and_runs_until_cancelled():
    ready = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(ready.set_result, slot_seconds=0.01, finalize_slots=2))
    net = await asyncio.wait_for(ready, 5)
    async with wired(net) as call:
        assert await call("getHealth") == "ok"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(net.rpc_url)


async def test_health_can_be_asked_with_a_plain_get(net):
    async with aiohttp.ClientSession() as session, session.get(f"{net.rpc_url}/health") as response:
        assert await response.text() == "ok"


async def test_a_body_too_large_is_refused(net):
    async with aiohttp.ClientSession() as session, session.post(net.rpc_url, data=b"[" * 60_000) as response:
        assert response.status == 413


async def test_connections_that_ask_for_nothing_end_with_the_node():
    async with Localnet.start(slot_seconds=None) as net:
        silent = [await asyncio.open_connection(HOST, port) for port in (net.port, net.port + 1)]
        half = await asyncio.open_connection(HOST, net.port)
        half[1].write(b"GET / HTTP/1.1\r\nUpgrade: web")
        await half[1].drain()
    for reader, writer in (*silent, half):
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
