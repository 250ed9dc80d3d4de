"""Nodes that are not ours: the ledger equals the chain and proves it, whatever a conforming node leaves out."""

import asyncio

import pytest

from indexer.main import running_indexer
from indexer.settings import IndexerSettings
from localnet import Localnet
from localnet import payments as pay
from tests.scenarios.system import ENVIRONMENT, ledger_becomes_the_chain, merchants, whole_audit_is_clean
from tests.support.foreign_node import IN_ITS_OWN_WORDS, NOT_FOUND, ForeignNode
from tests.support.ledger_checks import eventually, ledger_equals_chain

WHIMS = {
    "slots refused": ForeignNode(refused={"slotSubscribe": NOT_FOUND}),
    "slots refused in its own words": ForeignNode(refused={"slotSubscribe": IN_ITS_OWN_WORDS}),
    "slots never sent": ForeignNode(notifies_slots=False),
    "logs refused": ForeignNode(refused={"logsSubscribe": NOT_FOUND}),
    "instantly final": ForeignNode(instant=True),
    "no epochs": ForeignNode(refused={"getEpochInfo": NOT_FOUND}),
    "no single accounts": ForeignNode(refused={"getAccountInfo": IN_ITS_OWN_WORDS}),
    "no block heights": ForeignNode(refused={"getBlockHeight": NOT_FOUND}),
    "no accounts by owner": ForeignNode(refused={"getTokenAccountsByOwner": NOT_FOUND}),
    "nothing but what is needed": ForeignNode(
        refused=dict.fromkeys(
            (
                "getBlock", "getBlockHeight", "getBlockTime", "getBlocks", "getEpochInfo", "getFirstAvailableBlock",
                "getGenesisHash", "getHealth", "getLatestBlockhash", "getVersion",
            ),
            NOT_FOUND,
        )
    ),
}  # fmt: skip
# What is asked for in every run; the rest is asked for only in trouble.
REACHED = {"slotSubscribe", "logsSubscribe", "getTokenAccountsByOwner"}


@pytest.mark.parametrize("whim", WHIMS)
async def test_the_ledger_does_without(whim, net, database_url, pool, capfd):
    settings = IndexerSettings(**ENVIRONMENT)
    async with merchants(net, pool) as market, WHIMS[whim].before(net) as node:
        async with running_indexer(settings, database_url, [node.url], [node.ws_url]):
            if whim == "no accounts by owner":
                # Its accounts come to light with the transaction that opens them, named by the wallet's own.
                for payer in market.payers:
                    for recipient in market.recipients:
                        await market.pay(pay.new_account(payer.pubkey(), recipient.pubkey(), 1), payer)
                await market.settled()
            for payment, payer in [*market.every_kind(), *market.every_kind()]:
                await market.pay(payment, payer)
            await ledger_becomes_the_chain(pool, market, net)
        await whole_audit_is_clean(database_url, net)
    assert not {method for method in WHIMS[whim].refused if method not in WHIMS[whim].asked} & REACHED
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err


async def test_fees_that_a_node_does_not_show_keep_no_payment_out_of_the_ledger(net, database_url, pool, capfd):
    """Two transfers into one account: only the mint's configuration tells the fee of each."""
    node = ForeignNode(refused={"getEpochInfo": IN_ITS_OWN_WORDS})
    async with merchants(net, pool) as market, node.before(net):
        payer, recipient = market.payers[0], market.recipients[0].pubkey()
        async with running_indexer(IndexerSettings(**ENVIRONMENT), database_url, [node.url], [node.ws_url]) as indexer:
            for amounts in ((1_000, 2_000), (3_000, 4_000)):
                parts = [pay.with_fee(payer.pubkey(), recipient, amount, stated=False) for amount in amounts]
                instructions = [one for part in parts for one in part.instructions]
                await market.pay(pay.Payment("fees", instructions, ()), payer)

            async def recorded():
                return await pool.fetchval("SELECT count(*) FROM balance_changes WHERE unexplained <> 0") == 2

            await eventually(recorded)
            assert indexer.metrics.refusals.labels("fee rules")._value.get() >= 2
    reported = capfd.readouterr()
    assert (reported.out + reported.err).count("node_refuses") == 1


async def test_payments_are_polled_for_while_no_socket_shows_them(net, database_url, pool):
    node = ForeignNode(refused={"logsSubscribe": NOT_FOUND})
    settings = IndexerSettings(**{**ENVIRONMENT, "INDEXER_AUDIT_SECONDS": 3600, "INDEXER_SILENCE_SECONDS": 0.5})
    async with (
        merchants(net, pool) as market,
        node.before(net),
        running_indexer(settings, database_url, [node.url], [node.ws_url]) as indexer,
    ):
        for amount in (1, 2):
            payer = market.payers[0]
            await market.pay(pay.plain(payer.pubkey(), market.recipients[0].pubkey(), amount), payer)
            await ledger_equals_chain(pool, market)
        assert indexer.feed.watching == 0


async def test_a_chain_that_moves_only_with_payments_and_is_final_at_once(database_url, pool):
    """Most of the time it stands still, as development nodes do that make a block for each transaction."""
    async with Localnet.start(slot_seconds=None, confirm_slots=0) as net:
        ticking = asyncio.create_task(tick_for_ever(net.chain))
        node = ForeignNode(instant=True)
        async with (
            merchants(net, pool) as market,
            node.before(net),
            running_indexer(IndexerSettings(**ENVIRONMENT), database_url, [node.url], [node.ws_url]) as indexer,
        ):
            await eventually(lambda: indexer.feed.watching >= 4)
            ticking.cancel()
            for n in range(8):
                payer = market.payers[0]
                await market.pay(pay.plain(payer.pubkey(), market.recipients[0].pubkey(), 10 + n), payer)
                await asyncio.sleep(0.3)  # audits come in between, some of them in the middle of a slot
                net.chain.tick()
            await ledger_becomes_the_chain(pool, market, net)
        await whole_audit_is_clean(database_url, net)


async def tick_for_ever(chain):
    while True:
        await asyncio.sleep(0.05)
        chain.tick()


async def test_a_node_that_takes_the_slot_to_have_seen_for_a_filter_hides_no_payment(net, database_url, pool):
    """Told to have seen a slot, it leaves out all that landed before: what was missed looks as if it never was."""
    node = ForeignNode(filters_by_slot=True)
    settings = IndexerSettings(**ENVIRONMENT)
    async with merchants(net, pool) as market, node.before(net):
        payer, recipient = market.payers[0], market.recipients[0].pubkey()
        # Of an account that nothing is known of, and of one with a cursor.
        for amount in (1, 2):
            await market.pay(pay.plain(payer.pubkey(), recipient, amount), payer)
            await market.settled()
            async with running_indexer(settings, database_url, [node.url], [node.ws_url]) as indexer:
                await ledger_equals_chain(pool, market)
                await eventually(lambda indexer=indexer: indexer.heal_queue.is_idle)
        assert await pool.fetchval("SELECT count(*) FROM token_accounts WHERE heal_wanted_at IS NOT NULL") == 0
