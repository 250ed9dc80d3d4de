"""An idle ledger costs its operator next to nothing: nodes bill by the call."""

import asyncio
from typing import Any

from indexer.main import running_indexer
from localnet import payments as pay
from tests.support.ledger_checks import eventually, fast_settings

SELDOM = {"INDEXER_AUDIT_SECONDS": 100, "INDEXER_SCAN_SECONDS": 100}


async def test_what_is_final_is_asked_only_while_something_is_not(market, net, pool, database_url):
    async def is_final():
        return not await pool.fetchval("SELECT count(*) FROM transfers WHERE finality = 'confirmed'")

    async def counted():
        return await market.rpc.call("localnet_countCalls", [], dict[str, Any])

    async def calls_stand_still():
        before = await counted()
        await asyncio.sleep(1.5)
        return await counted() == before

    settings = fast_settings(INDEXER_FINALIZE_SECONDS=0.1, **SELDOM)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        for amount in (1, 2):
            payer, recipient = market.payers[0], market.recipients[0].pubkey()
            await market.pay(pay.plain(payer.pubkey(), recipient, amount), payer)
            await eventually(lambda amount=amount: _transfers(pool, amount))
            await eventually(is_final)
            await eventually(lambda: indexer.heal_queue.is_idle)
            assert (await counted())["getSlot"] > 0
            await eventually(calls_stand_still)


async def _transfers(pool, count):
    return await pool.fetchval("SELECT count(*) FROM transfers WHERE kind LIKE 'transfer%'") >= count
