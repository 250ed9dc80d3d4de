"""What cannot be healed is not excused from audits: it is counted, named and shown."""

from indexer.main import running_indexer
from localnet import payments as pay
from tests.support.ledger_checks import eventually, fast_settings, ledger_equals_chain


async def pays(market, amount):
    payer, recipient = market.payers[0], market.recipients[0].pubkey()
    return await market.pay(pay.plain(payer.pubkey(), recipient, amount), payer)


async def test_an_account_that_cannot_be_healed_is_audited_all_the_same(market, net, database_url, pool):
    settings = fast_settings(INDEXER_AUDIT_SECONDS=0.3)
    account = str(pay.token_account(market.recipients[0].pubkey(), pay.USDC))
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await pays(market, 1)
        await ledger_equals_chain(pool, market)

        async def anchored():
            query = "SELECT audited_slot FROM token_accounts WHERE address = $1"
            return indexer.heal_queue.is_idle and await pool.fetchval(query, account)

        await eventually(anchored)
        # Its history contradicts the ledger for good, and meanwhile a payment is missed.
        net.set_faults({"notificationsLost": 1, "emptyPages": 1})
        await pays(market, 2)
        indexer.heal_queue.want(account)
        await eventually(lambda: indexer.heal_queue.failing)

        async def drift():
            return await pool.fetchval("SELECT drift FROM token_accounts WHERE address = $1", account)

        assert await eventually(drift) == 2
        net.set_faults(None)
        await ledger_equals_chain(pool, market)
        await eventually(lambda: not indexer.heal_queue.failing)
