"""A wallet is removed, or hands its token account over, while it is being paid: what becomes of that is decided."""

import asyncio
import base64

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from ledger.invariants import check_invariants
from tests.support.api_client import key_for, running_api
from tests.support.ledger_checks import eventually, follow
from tests.support.wallets import SOL, SPL, USDC, signed, token_account
from tests.support.x402_parties import settled
from worker.settlements import move_settlements


def held(net, owner):
    return net.chain.true_token_balance(token_account(owner, USDC)) or 0


@pytest.fixture
async def client(database_url, redis_url, net, parties, pool):
    settings = {**parties.settings, "X402_WAIT_SECONDS": 0.3}
    async with running_api(database_url, redis_url, [net.rpc_url], **settings) as api:
        yield api.holding(await key_for(pool))


async def pending(net, client, purchase):
    net.set_faults({"transactionsLost": 1})
    assert (await settled(client, purchase))["errorReason"] == "settlement_pending"


async def landed(net, parties, pool, owner):
    """Have the stored bytes land, and wait until they are final."""
    net.set_faults(None)
    wire = base64.b64encode(await pool.fetchval("SELECT wire FROM settlements")).decode()
    await parties.call("sendTransaction", wire, {"encoding": "base64", "skipPreflight": True})
    await eventually(lambda: held(net, owner) == 10_000)
    net.chain.tick(20)


async def decided(passes, pool):
    async def is_decided():
        await move_settlements(passes, older_seconds=0)
        return await pool.fetchrow("SELECT status::text, reason FROM settlements WHERE decided_at IS NOT NULL")

    return await eventually(is_decided)


@pytest.mark.parametrize("removed_for_seconds", [0, 2])
async def test_what_is_on_its_way_to_a_wallet_that_is_removed_is_settled(
    client, net, parties, pool, following, passes, removed_for_seconds
):
    purchase = await parties.purchase()
    await pending(net, client, purchase)
    assert (await client.delete(f"/recipients/{parties.shop}")).status in {200, 204}
    # Time for the indexer to forget it.
    await asyncio.sleep(removed_for_seconds)
    await landed(net, parties, pool, parties.shop)
    assert tuple(await decided(passes, pool)) == ("settled", None)
    assert (await settled(client, purchase))["success"]
    assert await check_invariants(pool) == []
    # Nothing is on its way any more: nobody follows it.
    await eventually(lambda: not following.feed.watching)


async def test_what_is_on_its_way_to_a_wallet_that_is_removed_may_die(client, net, parties, pool, following, passes):
    purchase = await parties.purchase()
    await pending(net, client, purchase)
    await client.delete(f"/recipients/{parties.shop}")
    net.chain.tick(300)
    assert tuple(await decided(passes, pool)) == ("failed", "invalid_transaction_state")
    assert (await settled(client, purchase))["errorReason"] == "invalid_transaction_state"
    assert (await settled(client, await parties.purchase()))["errorReason"] == "invalid_payment_requirements"


@pytest.mark.parametrize("heir_is_followed", [False, True])
async def test_what_reaches_an_account_that_was_handed_over_has_failed(
    client, net, parties, pool, following, passes, heir_is_followed
):
    shop, heir = Keypair(), Keypair()
    await parties.call("requestAirdrop", str(shop.pubkey()), SOL)
    await parties.fund(shop.pubkey(), 0)
    await follow(pool, shop.pubkey())
    if heir_is_followed:
        await follow(pool, heir.pubkey())
    await eventually(lambda: following.feed.watching >= 4)
    purchase = await parties.purchase(pay_to=shop.pubkey())
    await pending(net, client, purchase)
    net.set_faults(None)
    account = token_account(shop.pubkey(), USDC)
    # SetAuthority of the token program, for the owner of the account.
    data = bytes([6, 2, 1]) + bytes(heir.pubkey())
    hand_over = Instruction(SPL, data, [AccountMeta(account, False, True), AccountMeta(shop.pubkey(), True, False)])
    net.chain.send(signed([hand_over], [shop], await parties.blockhash()))
    net.chain.tick(3)
    await landed(net, parties, pool, shop.pubkey())
    # By then the ledger would have settled it.
    await pool.execute("UPDATE settlements SET created_at = created_at - interval '1 minute'")
    assert tuple(await decided(passes, pool)) == ("failed", "invalid_exact_svm_payload_recipient_mismatch")
    answer = await settled(client, purchase)
    assert (answer["success"], answer["errorReason"]) == (False, "invalid_exact_svm_payload_recipient_mismatch")
    assert "another wallet" in answer["errorMessage"]
    assert await check_invariants(pool) == []
