"""From the chain to the ledger: every kind of payment arrives, once."""

import asyncio

import pytest
from solders.keypair import Keypair

from indexer.main import running_indexer
from localnet import Localnet
from localnet import payments as pay
from localnet.market import open_market
from tests.support.ledger_checks import (
    balances_agree,
    eventually,
    fast_settings,
    follow,
    ledger_equals_chain,
)
from tests.support.plain_payments import one_event_each, plain


async def test_every_kind_of_payment_arrives_once(market, net, indexer, pool):
    for payment, payer in market.every_kind():
        await market.pay(payment, payer)
    await ledger_equals_chain(pool, market)
    await balances_agree(pool, net)
    row = await pool.fetchrow("SELECT * FROM transfers WHERE reference_keys <> '{}'")
    assert row["memos"][0].startswith("order ")
    assert await one_event_each(pool, "transfer.confirmed")


async def test_a_recipient_added_while_it_runs_is_followed_at_once(market, net, indexer, pool):
    newcomer = Keypair().pubkey()
    net.chain.faucet.fund_token(newcomer, pay.USDC, 0)
    before = indexer.feed.watching
    await follow(pool, newcomer)
    # Well below the five seconds at which the table would be read anyway in production.
    await eventually(lambda: indexer.feed.watching == before + 2, seconds=1.0)
    await plain(market, 5, newcomer)
    await ledger_equals_chain(pool, market, [str(newcomer)])


async def test_a_token_account_opened_behind_the_wallets_back_is_found(market, net, indexer, pool):
    """Opened with the owner only in instruction data, so that no notification names the wallet."""
    merchant, payer = market.recipients[0].pubkey(), market.payers[0]
    hidden = Keypair()
    await market.pay(pay.hidden_account(payer.pubkey(), merchant, hidden), payer)
    await market.pay(pay.to_account(payer.pubkey(), hidden.pubkey(), 42), payer)
    await ledger_equals_chain(pool, market)


async def test_what_happened_while_the_socket_was_cut_is_healed(market, net, indexer, pool):
    for n in range(3):
        await plain(market, 100 + n)
        net.pubsub.cut_all()
        await plain(market, 200 + n)
        await asyncio.sleep(0.3)
    await ledger_equals_chain(pool, market)
    assert indexer.metrics.disconnects._value.get() >= 3


async def test_what_happened_while_no_indexer_ran_is_healed_at_start(market, net, database_url, pool):
    for n in range(5):
        await plain(market, 100 + n)
    await market.settled()
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]):
        await ledger_equals_chain(pool, market)
    for n in range(5):
        await plain(market, 200 + n)
    await market.settled()
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]):
        await ledger_equals_chain(pool, market)
    await balances_agree(pool, net)


async def test_two_indexers_on_one_database_record_everything_once(market, net, indexer, database_url, pool):
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]):
        for payment, payer in market.every_kind():
            await market.pay(payment, payer)
        await ledger_equals_chain(pool, market)
    await balances_agree(pool, net)
    assert await one_event_each(pool, "transfer.confirmed")


async def test_history_before_a_wallet_is_followed_stays_out(market, net, database_url, pool):
    newcomer = Keypair().pubkey()
    net.chain.faucet.fund_token(newcomer, pay.USDC, 0)
    await plain(market, 7, newcomer)
    await market.settled()
    market.sent.clear()
    first_slot = net.chain.slot("processed") + 1
    await eventually(lambda: net.chain.slot("processed") >= first_slot)
    await follow(pool, newcomer, from_slot=first_slot)
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]):
        await plain(market, 8, newcomer)
        await ledger_equals_chain(pool, market, [str(newcomer)])
    (change,) = await pool.fetch(
        "SELECT pre, post FROM balance_changes WHERE mint = $1 AND owner = $2", str(pay.USDC), str(newcomer)
    )
    assert (change["pre"], change["post"]) == (7, 15), "the opening balance is what was there before"


async def test_a_cursor_moves_only_to_what_is_final_and_recorded(market, net, indexer, pool):
    await plain(market, 1)
    await ledger_equals_chain(pool, market)
    account = str(pay.token_account(market.recipients[0].pubkey(), pay.USDC))
    cursor = "SELECT cursor_slot, cursor_signature FROM token_accounts WHERE address = $1"
    landed = await pool.fetchrow(
        "SELECT slot, signature FROM balance_changes WHERE account = $1 ORDER BY slot DESC LIMIT 1", account
    )
    indexer.heal_queue.want(account)
    await eventually(lambda: indexer.heal_queue.is_idle)
    if net.chain.slot("finalized") < landed["slot"]:
        assert (await pool.fetchrow(cursor, account))["cursor_slot"] < landed["slot"]
    await eventually(lambda: net.chain.slot("finalized") >= landed["slot"])
    indexer.heal_queue.want(account)
    await eventually(lambda: indexer.heal_queue.is_idle)
    row = await pool.fetchrow(cursor, account)
    assert (row["cursor_slot"], row["cursor_signature"]) == (landed["slot"], landed["signature"])


async def test_healing_goes_on_when_the_chain_stands_still(database_url, pool):
    """The newest slots are never confirmed then, so that asking for them would wait for ever."""
    async with Localnet.start(slot_seconds=None) as still:
        newcomer = Keypair().pubkey()
        still.chain.faucet.fund_token(newcomer, pay.USDC, 9)
        still.chain.tick(40)
        await follow(pool, newcomer)
        async with running_indexer(fast_settings(), database_url, [still.rpc_url], [still.ws_url]):

            async def healed():
                return await pool.fetchval("SELECT count(*) FROM token_accounts WHERE healed_at IS NOT NULL") == 2

            still.chain.tick(1)
            await eventually(healed, seconds=40)
        assert await pool.fetchval("SELECT sum(post - pre) FROM balance_changes WHERE mint = $1", str(pay.USDC)) == 9


@pytest.mark.parametrize("block_time", [0, -5, 1_700_000_000_000, 2**53])
async def test_a_node_with_absurd_block_times_and_without_batches_is_good_enough(block_time, database_url, pool):
    other = Localnet.start(slot_seconds=0.05, finalize_slots=8, accept_batches=False, clock=lambda: block_time)
    async with other as node, open_market(node.rpc_url, payers=2, recipients=2) as market:
        await market.prepare()
        for wallet in market.wallets:
            await follow(pool, wallet)
        async with running_indexer(fast_settings(), database_url, [node.rpc_url], [node.ws_url]):
            for payment, payer in market.every_kind():
                await market.pay(payment, payer)
            await ledger_equals_chain(pool, market)
    assert await pool.fetchval("SELECT count(block_time) FROM transfers") == 0, "no time is better than a wrong one"
