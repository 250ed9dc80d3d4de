"""Every endpoint is asked; one that is slow or away is waited for only as long as it has to be."""

import asyncio
import json

import pytest
from aiohttp import web

from chain.asking import ask_each
from chain.rpc import RpcPool
from tests.support.scripted_nodes import PATIENT, Reply, pooled, serving, until


def slot_at(rpc):
    async def ask(endpoint):
        return await rpc.call("getSlot", [], int, attempts=1, at=endpoint)

    return ask


STALLS = [Reply(stall=True)]


@pytest.mark.parametrize(("enough", "said"), [(1, [7]), (2, [7, 8])])
async def test_once_enough_have_answered_the_others_are_waited_for_a_little_longer(enough, said):
    scripts = [[Reply(result=7)], STALLS] if enough == 1 else [[Reply(result=7)], [Reply(result=8)], STALLS]
    async with pooled(*scripts) as (nodes, rpc):
        answers, errors = await ask_each(rpc, slot_at(rpc), enough=enough, grace_seconds=0.05)
        assert (sorted(answers), errors) == (said, [])
        assert all(len(node.asked) == 1 for node in nodes)


async def test_whoever_is_slow_is_waited_for_while_too_few_have_answered():
    may_answer = asyncio.Event()

    async def answer(request):
        call = json.loads(await request.read())
        await may_answer.wait()
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": 8})

    async with (
        serving(answer) as slow,
        pooled([Reply(result=7)]) as ((quick,), _),
        RpcPool([quick.url, slow], PATIENT) as rpc,
    ):
        asking = asyncio.create_task(ask_each(rpc, slot_at(rpc), enough=2, grace_seconds=0.05))
        await until(lambda: len(quick.asked) == 1)
        done, _ = await asyncio.wait({asking}, timeout=0.3)
        assert not done
        may_answer.set()
        assert sorted((await asking)[0]) == [7, 8]


async def test_an_endpoint_that_has_failed_is_asked_and_waited_for_again_once_it_has_answered():
    """It is away, then stalls, then answers a question that nobody waits for any more."""
    is_back = asyncio.Event()
    asked = []

    async def answer(request):
        call = json.loads(await request.read())
        asked.append(call)
        if len(asked) == 1:
            return web.Response(status=503)
        await is_back.wait()
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": 8})

    async with (
        serving(answer) as url,
        pooled([Reply(result=7)]) as ((well,), _),
        RpcPool([well.url, url], PATIENT) as rpc,
    ):
        answers, errors = await ask_each(rpc, slot_at(rpc), enough=2)
        assert (answers, len(errors)) == ([7], 1)
        for _ in range(5):
            assert await ask_each(rpc, slot_at(rpc), enough=2, grace_seconds=0.05) == ([7], [])
        # Once enough have answered it is not waited for at all, and one question to it is under way, not five.
        assert await ask_each(rpc, slot_at(rpc), enough=1, grace_seconds=600) == ([7], [])
        await until(lambda: len(asked) >= 2)
        is_back.set()
        await until(lambda: rpc.endpoints[1].failures == 0)
        answers, errors = await ask_each(rpc, slot_at(rpc), enough=2)
        assert (sorted(answers), errors) == ([7, 8], [])


async def test_where_all_have_failed_all_are_waited_for():
    async with pooled([Reply(status=503), Reply(result=7)], [Reply(status=503), Reply(result=8)]) as (_, rpc):
        answers, errors = await ask_each(rpc, slot_at(rpc))
        assert (answers, len(errors)) == ([], 2)
        answers, errors = await ask_each(rpc, slot_at(rpc), grace_seconds=60)
        assert (sorted(answers), errors) == ([7, 8], [])


async def test_a_pool_that_is_closed_leaves_no_question_behind():
    async with pooled([Reply(result=7)], [Reply(status=503), Reply(stall=True)]) as (_, rpc):
        await ask_each(rpc, slot_at(rpc))
        await ask_each(rpc, slot_at(rpc), grace_seconds=0.05)
        left = rpc.endpoints[1].being_asked
        assert left is not None
    assert left.done()
