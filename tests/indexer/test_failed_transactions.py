"""Failed transactions are notified too: they move no tokens, and cost their payer a fee."""

from localnet import payments as pay
from tests.support.ledger_checks import eventually, follow

FEE_LAMPORTS = 5_000


async def test_the_fee_of_a_followed_wallet_is_recorded_and_nothing_else(market, net, indexer, pool):
    payer, recipient = market.payers[0], market.recipients[0]
    before = indexer.feed.watching
    await follow(pool, payer.pubkey())
    await eventually(lambda: indexer.feed.watching > before)
    signature = await market.pay(pay.failing(payer.pubkey(), recipient.pubkey(), 5), payer)
    await market.settled()
    query = "SELECT account, pre - post AS cost FROM balance_changes WHERE signature = $1"
    rows = await eventually(lambda: pool.fetch(query, signature))
    assert [tuple(row) for row in rows] == [(str(payer.pubkey()), FEE_LAMPORTS)]
    assert await pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", signature) == 0


async def test_one_that_names_only_a_followed_token_account_is_not_even_fetched(market, net, indexer, pool):
    payer, recipient = market.payers[1], market.recipients[0]
    failed = await market.pay(pay.failing(payer.pubkey(), recipient.pubkey(), 5), payer)
    good = await market.pay(pay.plain(payer.pubkey(), recipient.pubkey(), 6), payer)
    await market.settled()
    await eventually(lambda: pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", good))
    for table in ("transfers", "balance_changes"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table} WHERE signature = $1", failed) == 0
