"""One question to the nodes for all payments of a moment, and none that was asked before a payment came."""

import asyncio
import json

import pytest
from aiohttp import web

from api.x402.shared_tip import SharedTip
from chain.lifetimes import Tip
from chain.rpc import RpcError, RpcPool
from tests.support.scripted_nodes import PATIENT, QUICK, Reply, pooled, serving, until


async def test_all_who_ask_at_once_share_one_question():
    async with pooled([Reply({"absoluteSlot": 20, "blockHeight": 10})]) as ((node,), rpc):
        tip = SharedTip(rpc)
        assert await asyncio.gather(*(tip.newest() for _ in range(100))) == [Tip(20, 10)] * 100
        assert len(node.asked) == 1
        assert await tip.newest() == Tip(20, 10)
        assert len(node.asked) == 2


async def test_whoever_comes_while_nodes_are_asked_is_served_by_the_next_question():
    slots, may_answer = [], asyncio.Event()

    async def answer(request):
        call, slot = json.loads(await request.read()), len(slots)
        slots.append(slot)
        await may_answer.wait()
        return web.json_response(
            {"jsonrpc": "2.0", "id": call["id"], "result": {"absoluteSlot": slot, "blockHeight": 0}}
        )

    async with serving(answer) as url, RpcPool([url], PATIENT) as rpc:
        tip = SharedTip(rpc)
        first = asyncio.create_task(tip.newest())
        await until(lambda: slots)
        later = [asyncio.create_task(tip.newest()) for _ in range(10)]
        later[0].cancel()
        may_answer.set()
        assert await first == Tip(0, 0)
        assert {await one for one in later[1:]} == {Tip(1, 0)}


async def test_where_no_node_answers_all_hear_so_and_the_next_is_asked_anew():
    async with pooled([Reply(status=503)], limits=QUICK) as (_, rpc):
        tip = SharedTip(rpc)
        for _ in range(2):
            said = await asyncio.gather(*(tip.newest() for _ in range(5)), return_exceptions=True)
            assert all(isinstance(one, RpcError) for one in said)
        with pytest.raises(RpcError):
            await tip.newest()
