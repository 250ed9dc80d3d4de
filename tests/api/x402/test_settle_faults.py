"""A node that lies, lags, drops and refuses: pending, and then the truth; never a wrong yes, never a wrong no."""

import asyncio

import pytest

from indexer.main import running_indexer
from ledger.invariants import check_invariants
from localnet import Localnet
from tests.support.api_client import key_for, running_api
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.ledger_checks import fast_settings as fast_indexer
from tests.support.wallets import USDC, token_account
from worker.context import open_worker_context
from worker.settlements import move_settlements

LIES = {
    "drops what it takes": {"transactionsLost": 1},
    "drops and forgets": {"transactionsLost": {"rate": 0.7}, "nullTransactions": 0.5},
    "answers 429": {"tooManyRequests": {"rate": 0.3, "amount": 0.1}},
    "fails": {"rpcErrors": {"rate": 0.3}, "serverErrors": {"rate": 0.2}},
    "answers nonsense": {"malformedAnswers": {"rate": 0.3}},
    "is late": {"timeouts": {"rate": 0.3, "amount": 0.3}},
    "lags": {"nodeBehindSlots": 6},
}


@pytest.fixture
async def following(parties, net, database_url):
    """The indexer's node tells the truth."""
    settings = fast_indexer(INDEXER_FINALIZE_SECONDS=0.2)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as running:
        await eventually(lambda: running.feed.watching >= 2)
        yield running


@pytest.mark.parametrize("lie", LIES)
async def test_pending_and_then_the_truth(lie, following, parties, net, pool, database_url, redis_url):
    settings = {**parties.settings, "X402_WAIT_SECONDS": 1}
    async with (
        Localnet.start(chain=net.chain, seed=402) as liar,
        running_api(database_url, redis_url, [liar.rpc_url], **settings) as api,
        open_worker_context(fast_settings(), database_url, [net.rpc_url]) as worker,
    ):
        client = api.holding(await key_for(pool))
        liar.set_faults(LIES[lie])
        purchases = []
        for _ in range(3):
            purchases.append(await parties.purchase())
            await asyncio.sleep(0.4)  # a node that lags has to know the blockhash
        transactions = {}
        for purchase in purchases:
            reply = await client.post("/x402/settle", purchase.body())
            assert reply.status in {200, 503}, reply.text
            if reply.status == 200:
                assert reply["success"] or reply["errorReason"] == "settlement_pending", reply.body
                transactions[purchase] = reply["transaction"]
                if reply["success"]:
                    assert net.chain.find(reply["transaction"]) is not None
        liar.set_faults(None)

        async def answered(purchase):
            await move_settlements(worker, older_seconds=0)
            reply = await client.post("/x402/settle", purchase.body())
            is_final = reply.status == 200 and reply.body.get("errorReason") != "settlement_pending"
            return reply.body if is_final else None

        for purchase in purchases:
            final = await eventually(lambda one=purchase: answered(one), seconds=30, pause=0.1)
            assert final["success"] or final["errorReason"] == "duplicate_settlement", final
            assert final["transaction"] == transactions.get(purchase, final["transaction"])
    assert net.chain.true_token_balance(token_account(parties.shop, USDC)) == 3 * 10_000
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 3
    assert await check_invariants(pool) == []
