"""`/health` of the indexer says which of its work does not get done, and that it gets done again."""

import aiohttp
import pytest

from indexer import liveness
from indexer.main import running_indexer
from localnet import payments as pay
from tests.support.ledger_checks import eventually, fast_settings


async def health(indexer):
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{indexer.metrics_port}/health") as answer,
    ):
        return answer.status, await answer.json()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(liveness, "_LEAST_SECONDS", 1.5)
    monkeypatch.setattr(liveness, "_LOOK_SECONDS", 0.05)
    intervals = ("AUDIT", "FINALIZE", "PATIENCE", "POLL", "SILENCE")
    return fast_settings(**{f"INDEXER_{name}_SECONDS": 0.3 for name in intervals})


async def until_unwell(indexer, loop):
    async def named():
        status, answer = await health(indexer)
        return status == 503 and any(reason.startswith(f"{loop} last succeeded") for reason in answer["reasons"])

    await eventually(named)


async def until_well(indexer):
    async def well():
        return await health(indexer) == (200, {"status": "ok"})

    await eventually(well)


async def test_an_indexer_that_works_is_well(market, net, database_url, impatient):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)


@pytest.mark.parametrize("loop", ["audit", "finalize"])
async def test_passes_that_fail_make_it_unwell_until_they_succeed(market, net, database_url, impatient, loop):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        await market.pay(pay.plain(market.payers[0].pubkey(), market.recipients[0].pubkey(), 5), market.payers[0])
        methods = {"audit": ["getMultipleAccounts"], "finalize": ["getSlot", "getSignatureStatuses"]}[loop]
        net.set_faults({"serverErrors": {"rate": 1, "methods": methods}})
        await until_unwell(indexer, loop)
        net.set_faults(None)
        await until_well(indexer)


async def test_sockets_that_fall_silent_again_and_again_make_it_unwell(market, net, database_url, impatient):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        net.set_faults({"socketsDeaf": {"rate": 1, "methods": ["slotNotification"]}})
        await until_unwell(indexer, "sockets")
        net.set_faults(None)
        await until_well(indexer)


async def test_payments_that_wait_to_be_recorded_in_vain_make_it_unwell(market, net, database_url, impatient, pool):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE transfers IN ACCESS EXCLUSIVE MODE")
            await market.pay(pay.plain(market.payers[0].pubkey(), market.recipients[0].pubkey(), 6), market.payers[0])
            await until_unwell(indexer, "record")
        await until_well(indexer)


async def test_recipients_that_cannot_be_read_make_it_unwell(market, net, database_url, impatient, pool):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE recipients IN ACCESS EXCLUSIVE MODE")
            await until_unwell(indexer, "discover")
        await until_well(indexer)
