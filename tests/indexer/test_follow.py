"""From the chain to the ledger: every kind of payment arrives, once."""

import asyncio

import pytest
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from pay402.indexer.main import running_indexer
from pay402.localnet import payments as pay
from tests.indexer.shop import Shop, eventually, fast_settings, follow, ledger_equals_chain


@pytest.fixture
async def shop(net, pool):
    async with AsyncClient(net.rpc_url) as client:
        opened = await Shop.open(net, client)
        for merchant in opened.merchants:
            await follow(pool, merchant.pubkey())
        yield opened


@pytest.fixture
async def indexer(shop, net, database_url):
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]) as running:
        await eventually(lambda: running.feed.watching >= 6)
        yield running


async def pay_every_kind(shop, net):
    a, b = shop.payers
    first, second = shop.merchants
    both = [first.pubkey(), second.pubkey()]
    await shop.pay(pay.plain(a.pubkey(), first.pubkey(), 1_000), a)
    reference = Keypair().pubkey()
    await shop.pay(pay.checked(b.pubkey(), second.pubkey(), 2_000, reference, "order 7"), b)
    await shop.pay(pay.batched(a.pubkey(), both, 3_000), a)
    await shop.pay(pay.inner(a, first, 4_000), a)
    await shop.pay(pay.with_fee(a.pubkey(), first.pubkey(), 5_000, stated=True), a)
    await shop.pay(pay.with_fee(b.pubkey(), first.pubkey(), 6_000, stated=False), b)
    await shop.pay(pay.wrapped_sol(a.pubkey(), second.pubkey(), 7_000), a)
    await shop.pay(pay.native_sol(b.pubkey(), second.pubkey(), 8_000_000), b)
    await shop.pay(pay.several(a.pubkey(), both, 9_000), a)
    await shop.pay(pay.new_account(b.pubkey(), second.pubkey(), 10_000), b)
    await shop.pay(pay.failing(a.pubkey(), first.pubkey(), 11_000), a)
    table = await lookup_table(shop, a, [pay.token_account(first.pubkey(), pay.USDC)])
    await shop.pay(pay.looked_up(a.pubkey(), first.pubkey(), 12_000, table), a)
    return reference


async def lookup_table(shop, authority, addresses):
    slot = (await shop.client.get_slot("confirmed")).value
    instructions, table = pay.create_lookup_table(authority.pubkey(), slot, addresses)
    await shop.pay(pay.Payment("create table", instructions, []), authority)
    await eventually(lambda: _newer(shop.client, slot + 3))
    return table


async def _newer(client, slot):
    return (await client.get_slot("confirmed")).value > slot


async def test_every_kind_of_payment_arrives_once(shop, net, indexer, pool):
    reference = await pay_every_kind(shop, net)
    await ledger_equals_chain(pool, shop, [m.pubkey() for m in shop.merchants])
    row = await pool.fetchrow("SELECT * FROM transfers WHERE $1 = ANY(reference_keys)", str(reference))
    assert (row["amount"], row["memos"]) == (2_000, ["order 7"])
    assert await pool.fetchval("SELECT count(*) FROM balance_changes WHERE unexplained <> 0") == 0
    await balances_agree(pool, net)


async def balances_agree(pool, net):
    """The last recorded balance of every token account is its balance on chain."""
    rows = await pool.fetch(
        """
        SELECT DISTINCT ON (account) account, post FROM balance_changes
        WHERE finality <> 'orphaned' AND mint <> $1 ORDER BY account, slot DESC, recorded_at DESC
        """,
        str(Pubkey.default()),
    )
    assert rows
    for row in rows:
        assert net.chain.true_token_balance(Pubkey.from_string(row["account"])) == row["post"], row["account"]


async def test_a_recipient_added_while_it_runs_is_followed_at_once(shop, net, indexer, pool):
    newcomer = Keypair()
    net.chain.faucet.fund_token(newcomer.pubkey(), pay.USDC, 0)
    await follow(pool, newcomer.pubkey())
    await eventually(lambda: indexer.feed.watching >= 8, seconds=1.0)
    payer = shop.payers[0]
    await shop.pay(pay.plain(payer.pubkey(), newcomer.pubkey(), 5), payer)

    await ledger_equals_chain(pool, shop, [newcomer.pubkey()])


async def test_what_happened_while_the_socket_was_cut_is_healed(shop, net, indexer, pool):
    payer, merchant = shop.payers[0], shop.merchants[0]
    for n in range(3):
        await shop.pay(pay.plain(payer.pubkey(), merchant.pubkey(), 100 + n), payer)
        net.pubsub.cut_all()
        await shop.pay(pay.plain(payer.pubkey(), merchant.pubkey(), 200 + n), payer)
        await asyncio.sleep(0.3)

    await ledger_equals_chain(pool, shop, [merchant.pubkey()])
    assert indexer.metrics.disconnects._value.get() >= 3
