"""A node that keeps a payout and says that its time is over does not make us pay it twice."""

import asyncio
import contextlib
import json

import aiohttp
from aiohttp import web

from chain.rpc import RpcError
from localnet.payments import USDC
from tests.support.dying_worker import approved_order, attempts
from tests.support.http_serving import serving
from tests.support.job_shop import PRICE, fast_settings, secret
from worker.context import open_worker_context
from worker.escrow import move_jobs_and_payouts


async def test_what_one_node_says_of_the_height_ends_no_attempt(shop, indexer, net, database_url):
    kept = []
    async with aiohttp.ClientSession() as http:

        async def pass_on(call):
            async with http.post(net.rpc_url, json=call) as response:
                return await response.json()

        async def lie(request):
            """A node that no localnet is: it takes a payout without spreading it, and is a billion blocks ahead."""
            call = json.loads(await request.read())
            if call["method"] == "sendTransaction":
                kept.append(call)
                return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": call["params"][0][:64]})
            answer = await pass_on(call)
            if call["method"] == "getEpochInfo":
                answer["result"]["blockHeight"] = 10**9
            return web.json_response(answer)

        async with (
            serving(lie) as liar,
            open_worker_context(
                fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet)), database_url, [liar, net.rpc_url]
            ) as context,
        ):
            # Other people's money, as a settlement wallet holds it.
            await shop.call("localnet_fundToken", str(shop.wallet.pubkey()), str(USDC), 10 * PRICE)
            order = await approved_order(shop, context)
            for _ in range(30):
                with contextlib.suppress(RpcError):
                    await move_jobs_and_payouts(context)
                await asyncio.sleep(0.1)
            assert kept
            assert len(await attempts(order)) == 1
            for call in {call["params"][0]: call for call in kept}.values():
                await pass_on(call)
            await asyncio.sleep(1)
            assert await shop.balance(shop.provider.pubkey()) <= PRICE
